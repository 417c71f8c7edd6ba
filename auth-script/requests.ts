/** One request from its arrival to its outcome, which is there by its deadline whatever happens. Failures are made here alone. */
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import { isOperation } from '../server-core/extauth/packets.ts'
import type { Logger } from '../server-core/log.ts'
import type { Outcome, Result, Signals } from './outcome.ts'
import { Statistics } from './statistics.ts'

export interface RequestsOptions {
  /** How long a request may take, from its arrival, in milliseconds; asked for each. */
  deadline(): number
  carryOut(payload: Buffer, signals: Signals): Promise<Result>
  /** Holds an answer back for up to so many milliseconds; as long as `pipe` allows when absent. */
  hold?(ms: number): Promise<void>
  readonly log: Logger
  readonly statistics?: Statistics
}

/** How long after its deadline a change may tell whether it was made, in milliseconds. */
const grace = 250
/** An answer that is held back is given this long before its deadline, in milliseconds. */
const early = 1000

/** A request that is being carried out. */
export interface Running {
  /** Never rejects. */
  readonly outcome: Promise<Outcome>
  /** It makes no change from now on. */
  stopChange(reason: string): void
}

/** Requests that begin within so many milliseconds have one signal for their deadlines, as making signals takes time. */
const slice = 50
/** How often deadlines are looked at, in milliseconds: a timer for each request would take longer than many requests do. */
const tick = 25

export class Requests {
  readonly #options: RequestsOptions
  /** In no order; each knows its place, as a set takes a microsecond to forget one. */
  readonly #attempts: Attempt[] = []
  #slice: Slice | undefined
  #ticking: NodeJS.Timeout | undefined
  readonly statistics: Statistics

  constructor(options: RequestsOptions) {
    this.#options = options
    this.statistics = options.statistics ?? new Statistics()
  }

  /** `at`: performance.now() of its arrival. `noChanges`: why it may make none. */
  begin(payload: Buffer, at: number, noChanges?: string): Running {
    const attempt = new Attempt(at + this.#options.deadline(), this.#options.hold ?? delay, this.#deadlineAt)
    if (noChanges !== undefined) attempt.stopChange(noChanges)
    return {
      outcome: this.#outcome(payload, at, attempt),
      stopChange: (reason) => attempt.stopChange(reason),
    }
  }

  /** Aborts at that time or up to `slice` later, which is within the grace. */
  readonly #deadlineAt = (ends: number): AbortSignal => {
    if (this.#slice === undefined || ends > this.#slice.ends || ends < this.#slice.ends - slice) {
      this.#slice = new Slice(ends + slice)
    }
    return this.#slice.signal
  }

  async #outcome(payload: Buffer, at: number, attempt: Attempt): Promise<Outcome> {
    const id = this.statistics.next()
    let result: Result
    if (performance.now() < attempt.ends) {
      this.#watch(attempt)
      result = await attempt.firstOf(this.#options.carryOut(payload, attempt), this.#failed)
      this.#unwatch(attempt)
    } else {
      result = { outcome: failure('it waited for too long') }
    }
    this.#record(id, result, performance.now() - at)
    return result.outcome
  }

  #watch(attempt: Attempt): void {
    attempt.place = this.#attempts.push(attempt) - 1
    this.#ticking ??= setInterval(() => {
      const now = performance.now()
      for (const one of this.#attempts) one.look(now)
      if (this.#attempts.length > 0) return
      clearInterval(this.#ticking)
      this.#ticking = undefined
    }, tick)
  }

  #unwatch(attempt: Attempt): void {
    const last = this.#attempts.pop()
    if (last === undefined || last === attempt) return
    last.place = attempt.place
    this.#attempts[last.place] = last
  }

  /** Whatever was thrown, it is not known what the answer is. */
  readonly #failed = (error: unknown): Result => {
    if (error instanceof BackendUnavailable) return { outcome: failure(error.message) }
    this.#options.log.error({ err: error }, 'a fault while a request was carried out')
    return { outcome: failure('a fault') }
  }

  #record(id: number, { outcome, op, user, host, backend }: Result, ms: number): void {
    this.statistics.record(op !== undefined && isOperation(op) ? op : '?', outcome.kind, ms)
    const { log } = this.#options
    const isQuiet = op === 'isuser' || (op === 'auth' && outcome.kind === 'allow')
    const level = outcome.kind === 'failure' ? 'warn' : isQuiet ? 'debug' : 'info'
    if (!log.isLevelEnabled(level)) return
    const reason = outcome.kind === 'allow' ? undefined : outcome.reason
    const rounded = Math.round(ms * 10) / 10
    log[level]({ id, op, user, host, outcome: outcome.kind, reason, backend, ms: rounded }, 'request')
  }
}

/** The signals of one request, made when somebody asks for them: most requests are answered before. */
class Attempt implements Signals {
  /** performance.now() of its deadline. */
  readonly ends: number
  /** Among those that are watched. */
  place = 0
  readonly #hold: (ms: number) => Promise<void>
  readonly #deadlineAt: (ends: number) => AbortSignal
  #deadline: AbortSignal | undefined
  #change: AbortController | undefined
  #resolve: (result: Result) => void = () => undefined
  #isLate: boolean = false
  /** Why no change may be made. */
  #noChange: Error | undefined

  constructor(ends: number, hold: (ms: number) => Promise<void>, deadlineAt: (ends: number) => AbortSignal) {
    this.ends = ends
    this.#hold = hold
    this.#deadlineAt = deadlineAt
  }

  /** What comes of it, or a failure a moment after the deadline. Never rejects. */
  firstOf(work: Promise<Result>, failed: (error: unknown) => Result): Promise<Result> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      work.then(resolve, (error: unknown) => resolve(failed(error)))
    })
  }

  /** To be called now and then with performance.now(). */
  look(now: number): void {
    if (now < this.ends) return
    if (!this.#isLate) {
      this.#isLate = true
      this.#noChange ??= late
      this.#change?.abort(this.#noChange)
    }
    if (now >= this.ends + grace) this.#resolve({ outcome: failure(late.message) })
  }

  get deadline(): AbortSignal {
    this.#deadline ??= this.#isLate ? AbortSignal.abort(late) : this.#deadlineAt(this.ends)
    return this.#deadline
  }

  get change(): AbortSignal {
    this.#change ??= new AbortController()
    if (this.#noChange !== undefined) this.#change.abort(this.#noChange)
    return this.#change.signal
  }

  async hold(ms: number): Promise<void> {
    const most = Math.min(ms, this.ends - performance.now() - early)
    if (most > 0) await this.#hold(most)
  }

  stopChange(reason: string): void {
    this.#noChange ??= new Error(reason)
    this.#change?.abort(this.#noChange)
  }
}

const late = new Error('no answer in time')

/** One signal for the deadlines that lie close together. */
class Slice {
  /** performance.now() at which the signal aborts. */
  readonly ends: number
  readonly signal: AbortSignal

  constructor(ends: number) {
    const controller = new AbortController()
    this.ends = ends
    this.signal = controller.signal
    setMaxListeners(0, controller.signal)
    setTimeout(() => controller.abort(late), Math.max(0, ends - performance.now())).unref()
  }
}

function failure(reason: string): Outcome {
  return { kind: 'failure', reason }
}
