/**
 * Requests in, answers out: one at a time and in their order, each by its deadline, which runs from its arrival. No request
 * ends this; its end is the end of input, an output that nobody reads, or `stop`. Failures become bytes here and nowhere else.
 */
import type { Readable, Writable } from 'node:stream'
import type { Outcome } from './outcome.ts'
import { Requests, type RequestsOptions, type Running } from './requests.ts'
import type { Wire } from './wire.ts'

/** Where answers go. */
export interface Output {
  readonly stream: Writable
  /**
   * Writes what there is room for now, and says how many bytes that was; for 0 the stream may know why. A stream takes as long to write
   * an answer as it takes to find most of them out. Absent: all goes through the stream.
   */
  readonly writeNow?: (bytes: Buffer) => number
}

export interface ServeOptions extends RequestsOptions {
  readonly input: Readable
  readonly output: Output
  readonly wire: Wire
  /** performance.now() since when requests may have been waiting that are there at once; absent: they have just come. */
  readonly since?: number
  /** So many requests, or bytes of them, are read ahead. */
  readonly maxAhead?: { readonly requests: number; readonly bytes: number }
}

/** How it ended: between requests, inside one, or because nobody reads the answers. */
export type End = 'done' | 'cut' | 'unread'

const defaultAhead = { requests: 1000, bytes: 1_048_576 }
/** What is read so soon after the start, in milliseconds, was there before it. */
const soon = 100
/** So many bytes of answers are on their way at once. */
const maxUnwritten = 16_384

interface Arrived {
  readonly payload: Buffer
  /** performance.now() of its arrival. */
  readonly at: number
}

export class Serving {
  readonly #options: ServeOptions
  readonly #requests: Requests
  readonly #began = performance.now()
  readonly #maxAhead: { readonly requests: number; readonly bytes: number }
  /** What has arrived; those before `#first` are done. */
  #ahead: Arrived[] = []
  #first = 0
  #bytesAhead = 0
  #running: Running | undefined
  /** Answers that are not on their way yet. */
  #unsaid: Buffer[] = []
  #unwritten = 0
  #writingSince: number | undefined
  #written: (() => void)[] = []
  #hasFlushSoon: boolean = false
  /** Why no change is made any more. */
  #noChanges: string | undefined
  #hasEnded: boolean = false
  #isStopping: boolean = false
  #isUnread: boolean = false
  #wake: () => void = () => undefined

  constructor(options: ServeOptions) {
    this.#options = options
    this.#maxAhead = options.maxAhead ?? defaultAhead
    this.#requests = new Requests(options)
    const { input, output } = options
    input.on('data', (chunk: Buffer) => this.#read(chunk))
    input.once('end', () => this.#inputEnded())
    input.on('error', (error) => {
      options.log.error({ reason: error.message }, 'requests cannot be read')
      this.#inputEnded()
    })
    output.stream.on('error', () => this.#unread())
    output.stream.once('close', () => this.#unread())
  }

  get isBusy(): boolean {
    return this.#running !== undefined
  }

  /** performance.now() since when answers wait for somebody who reads them. */
  get writingSince(): number | undefined {
    return this.#writingSince
  }

  /** Until the end; every answer that was due has been written then. */
  async run(): Promise<End> {
    for (;;) {
      const next = this.#take() ?? (await this.#arrival())
      if (next === undefined) break
      // No change is made while it is not known whether the answers before it could be written.
      const isChange = !isQuestion(next.payload)
      if (isChange || this.#unwritten > maxUnwritten) await this.#flushed()
      if (isChange) await inputSeen()
      if (this.#isUnread) break
      this.#running = this.#requests.begin(next.payload, next.at, this.#noChanges)
      const outcome = await this.#running.outcome
      this.#running = undefined
      this.#say(outcome)
    }
    await this.#flushed()
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
    const now = performance.now()
    const at = now < this.#began + soon ? (this.#options.since ?? now) : now
    for (const payload of this.#options.wire.push(chunk)) {
      this.#ahead.push({ payload, at })
      this.#bytesAhead += payload.length
    }
    const waiting = this.#ahead.length - this.#first
    if (waiting > this.#maxAhead.requests || this.#bytesAhead > this.#maxAhead.bytes)
      this.#options.input.pause()
    this.#wake()
  }

  /** The next request, if it is here. */
  #take(): Arrived | undefined {
    if (this.#isStopping || this.#isUnread) return undefined
    const next = this.#ahead[this.#first]
    if (next !== undefined) this.#taken(next)
    return next
  }

  /** Waits for the next request; undefined when none is to be carried out any more. */
  async #arrival(): Promise<Arrived | undefined> {
    for (;;) {
      this.#flush()
      if (this.#isStopping || this.#isUnread || this.#hasEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      const next = this.#take()
      if (next !== undefined) return next
    }
  }

  #taken(next: Arrived): void {
    this.#bytesAhead -= next.payload.length
    if (++this.#first === this.#ahead.length) {
      this.#ahead = []
      this.#first = 0
    }
    const { input } = this.#options
    const waiting = this.#ahead.length - this.#first
    if (
      input.isPaused() &&
      waiting <= this.#maxAhead.requests / 2 &&
      this.#bytesAhead <= this.#maxAhead.bytes / 2
    ) {
      input.resume()
    }
  }

  /** Answers that are there at the same time leave together; none waits for a request that takes its time. */
  #say(outcome: Outcome): void {
    const bytes = this.#options.wire.encode(outcome)
    this.#unsaid.push(bytes)
    this.#unwritten += bytes.length
    if (this.#hasFlushSoon || this.#first === this.#ahead.length) return
    this.#hasFlushSoon = true
    setImmediate(() => {
      this.#hasFlushSoon = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#unsaid.length === 0 || this.#isUnread) return
    const [only] = this.#unsaid
    const bytes = this.#unsaid.length === 1 && only ? only : Buffer.concat(this.#unsaid)
    this.#unsaid = []
    const { stream, writeNow } = this.#options.output
    const written = this.#writingSince === undefined ? (writeNow?.(bytes) ?? 0) : 0
    this.#unwritten -= written
    if (written === bytes.length) return
    this.#writingSince ??= performance.now()
    stream.write(bytes.subarray(written), (error) => {
      if (error) this.#unread()
      this.#unwritten -= bytes.length - written
      this.#writingSince = this.#unwritten > 0 ? performance.now() : undefined
      if (this.#unwritten === 0) this.#allWritten()
    })
  }

  /** Resolves when all answers are written, or nobody reads them. */
  async #flushed(): Promise<void> {
    this.#flush()
    if (this.#unwritten === 0 || this.#isUnread) return
    await new Promise<void>((resolve) => this.#written.push(resolve))
  }

  #allWritten(): void {
    for (const resolve of this.#written.splice(0)) resolve()
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
    this.#allWritten()
    this.#wake()
  }

  #stopChanges(reason: string): void {
    this.#noChanges ??= reason
    this.#running?.stopChange(reason)
  }
}

/**
 * Lets the event loop look at the input once more: an end that has come already is known then, also when the requests before
 * were answered without a pause. The first turn may be one that has looked already.
 */
async function inputSeen(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Whether it only asks; it needs not be well-formed. */
function isQuestion(payload: Buffer): boolean {
  return begins(payload, isuser) || begins(payload, auth)
}

function begins(payload: Buffer, word: Buffer): boolean {
  for (let at = 0; at < word.length; at++) if (payload[at] !== word[at]) return false
  return true
}

const auth = Buffer.from('auth:')
const isuser = Buffer.from('isuser:')
