/**
 * Requests in, answers out: one at a time and in their order, each by its deadline, which runs from its arrival. No request
 * ends this; its end is the end of input, an output that nobody reads, or `stop`. Failures become bytes here and nowhere else.
 */
import type { Readable, Writable } from 'node:stream'
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import type { Logger } from '../server-core/log.ts'
import type { Outcome, Result, Signals } from './operations.ts'
import type { Wire } from './wire.ts'

export interface ServeOptions {
  readonly input: Readable
  readonly output: Writable
  readonly wire: Wire
  /** How long a request may take, from its arrival, in milliseconds; asked for each. */
  deadline(): number
  carryOut(payload: Buffer, signals: Signals): Promise<Result>
  readonly log: Logger
}

/** How it ended: between requests, inside one, or because nobody reads the answers. */
export type End = 'done' | 'cut' | 'unread'

/** So many requests, or bytes of them, are read ahead. */
const maxAhead = { requests: 1000, bytes: 1_048_576 }
/** How long after its deadline a change may tell whether it was made, in milliseconds. */
const grace = 250

interface Arrived {
  readonly payload: Buffer
  /** performance.now() of its arrival. */
  readonly at: number
}

interface Running {
  readonly deadline: AbortController
  readonly change: AbortController
}

export class Serving {
  readonly #options: ServeOptions
  readonly #ahead: Arrived[] = []
  readonly counts = new Map<string, number>()
  #bytesAhead = 0
  #running: Running | undefined
  /** Why no change is made any more. */
  #noChanges: string | undefined
  #hasEnded: boolean = false
  #isStopping: boolean = false
  #isUnread: boolean = false
  #wake: () => void = () => undefined
  #requests = 0

  constructor(options: ServeOptions) {
    this.#options = options
    const { input, output } = options
    input.on('data', (chunk: Buffer) => this.#read(chunk))
    input.once('end', () => this.#inputEnded())
    input.on('error', (error) => {
      options.log.error({ reason: error.message }, 'requests cannot be read')
      this.#inputEnded()
    })
    output.on('error', () => this.#unread())
    output.once('close', () => this.#unread())
  }

  /** Until the end; every answer that was due has been written then. */
  async run(): Promise<End> {
    for (let next = await this.#next(); next !== undefined; next = await this.#next()) {
      const outcome = await this.#answerTo(next)
      if (!(await this.#write(outcome))) break
    }
    this.#options.input.pause()
    if (this.#isUnread) return 'unread'
    if (this.#hasEnded && !this.#isStopping && this.#options.wire.waiting > 0) {
      this.#options.log.error({ bytes: this.#options.wire.waiting }, 'the input ended inside a request')
      return 'cut'
    }
    return 'done'
  }

  /** The running request is answered, later ones are not carried out. */
  stop(): void {
    this.#isStopping = true
    this.#wake()
  }

  #read(chunk: Buffer): void {
    const at = performance.now()
    for (const payload of this.#options.wire.push(chunk)) {
      this.#ahead.push({ payload, at })
      this.#bytesAhead += payload.length
    }
    if (this.#ahead.length > maxAhead.requests || this.#bytesAhead > maxAhead.bytes)
      this.#options.input.pause()
    this.#wake()
  }

  async #next(): Promise<Arrived | undefined> {
    for (;;) {
      if (this.#isStopping || this.#isUnread) return undefined
      const next = this.#ahead.shift()
      if (next !== undefined) {
        this.#bytesAhead -= next.payload.length
        if (this.#ahead.length < maxAhead.requests / 2 && this.#bytesAhead < maxAhead.bytes / 2) {
          this.#options.input.resume()
        }
        return next
      }
      if (this.#hasEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async #answerTo({ payload, at }: Arrived): Promise<Outcome> {
    const id = ++this.#requests
    const left = this.#options.deadline() - (performance.now() - at)
    const result =
      left > 0 ? await this.#carryOut(payload, left) : { outcome: failure('it waited for too long') }
    this.#record(id, result, performance.now() - at)
    return result.outcome
  }

  async #carryOut(payload: Buffer, left: number): Promise<Result> {
    const running = { deadline: new AbortController(), change: new AbortController() }
    if (this.#noChanges !== undefined) running.change.abort(new Error(this.#noChanges))
    const late = new Error('no answer in time')
    const timer = setTimeout(() => {
      running.change.abort(late)
      running.deadline.abort(late)
    }, left)
    this.#running = running
    const tooLate = new Promise<Result>((resolve) => {
      running.deadline.signal.addEventListener('abort', () => {
        setTimeout(() => resolve({ outcome: failure(late.message) }), grace)
      })
    })
    try {
      const signals = { deadline: running.deadline.signal, change: running.change.signal }
      return await Promise.race([this.#settled(payload, signals), tooLate])
    } finally {
      clearTimeout(timer)
      this.#running = undefined
    }
  }

  /** Never rejects: whatever was thrown, it is not known what the answer is. */
  async #settled(payload: Buffer, signals: Signals): Promise<Result> {
    try {
      return await this.#options.carryOut(payload, signals)
    } catch (error) {
      if (error instanceof BackendUnavailable) return { outcome: failure(error.message) }
      this.#options.log.error({ err: error }, 'a fault while a request was carried out')
      return { outcome: failure('a fault') }
    }
  }

  /** Resolves when the answer is on its way: no request is begun before the one before it could be answered. */
  #write(outcome: Outcome): Promise<boolean> {
    if (this.#isUnread) return Promise.resolve(false)
    return new Promise((resolve) => {
      this.#options.output.write(this.#options.wire.encode(outcome), (error) => {
        if (error) this.#unread()
        resolve(!error)
      })
    })
  }

  #inputEnded(): void {
    this.#hasEnded = true
    // A server that goes away closes input and output together.
    this.#stopChanges('the input has ended')
    this.#wake()
  }

  #unread(): void {
    if (this.#isUnread) return
    this.#isUnread = true
    this.#stopChanges('nobody reads the answers')
    this.#wake()
  }

  #stopChanges(reason: string): void {
    this.#noChanges ??= reason
    this.#running?.change.abort(new Error(reason))
  }

  #record(id: number, { outcome, op, user, host, backend }: Result, ms: number): void {
    const name = `${op ?? '?'} ${outcome.kind}`
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    const reason = outcome.kind === 'allow' ? undefined : outcome.reason
    const fields = {
      id,
      op,
      user,
      host,
      outcome: outcome.kind,
      reason,
      backend,
      ms: Math.round(ms * 10) / 10,
    }
    const isQuiet = op === 'isuser' || (op === 'auth' && outcome.kind === 'allow')
    const level = outcome.kind === 'failure' ? 'warn' : isQuiet ? 'debug' : 'info'
    this.#options.log[level](fields, 'request')
  }
}

function failure(reason: string): Outcome {
  return { kind: 'failure', reason }
}
