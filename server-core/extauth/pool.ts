/**
 * A pool of runs of one external authentication program. A call waits for a free one, in a line of limited length and until
 * its deadline; no call is ever made twice. Whatever is not a plain yes or no is BackendUnavailable, and a program that ended,
 * hung or said what it must not is replaced, ever more slowly while it keeps failing.
 */
import { type BackendLoad, BackendUnavailable } from '../auth/backend.ts'
import type { Logger } from '../log.ts'
import { encodeRequest, type Request } from './packets.ts'
import { Program, type ProgramAnswer } from './program.ts'

export interface ExtauthPoolOptions {
  /** A command line for the shell. */
  readonly program: string
  /** How many run. */
  readonly size: number
  /** From the call to the answer, waiting included, in milliseconds. */
  readonly timeout: number
  readonly log: Logger
  readonly maxWaiting?: number
  /** How long to wait before a program is started again: at first, and at most; in milliseconds. */
  readonly pauses?: { readonly first: number; readonly longest: number }
}

interface Call {
  readonly request: Buffer
  /** performance.now() when it is too late. */
  readonly until: number
  readonly settle: (result: boolean | Error) => void
}

interface Place {
  program: Program | undefined
  call: Call | undefined
  /** Since the last answer. */
  failures: number
  /** performance.now() of the next start; 0 while a program runs. */
  startsAt: number
  timer: NodeJS.Timeout | undefined
}

export class ExtauthPool {
  readonly #options: ExtauthPoolOptions
  readonly #pauses: { readonly first: number; readonly longest: number }
  readonly #places: readonly Place[]
  readonly #ending = new Set<Promise<void>>()
  #waiting: Call[] = []
  #isClosed: boolean = false

  constructor(options: ExtauthPoolOptions) {
    this.#options = options
    this.#pauses = options.pauses ?? { first: 100, longest: 30_000 }
    this.#places = Array.from({ length: options.size }, () => ({
      program: undefined,
      call: undefined,
      failures: 0,
      startsAt: 0,
      timer: undefined,
    }))
    for (const place of this.#places) this.#start(place)
  }

  /**
   * Whether the program says yes. Rejects with RequestRefused for fields that cannot be sent, with BackendUnavailable when
   * the program gave no answer, with the signal's reason when that comes first (the program may have done it all the same).
   */
  async call(request: Request, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted()
    const bytes = encodeRequest(request)
    const until = performance.now() + this.#options.timeout
    if (this.#isClosed) throw new BackendUnavailable('the authentication programs are being ended')
    if (this.#waiting.length >= (this.#options.maxWaiting ?? 1000)) {
      throw new BackendUnavailable('too many requests wait for the authentication program')
    }
    const next = Math.min(...this.#places.map((place) => place.startsAt))
    if (next > until) throw new BackendUnavailable('the authentication program keeps failing')
    return new Promise<boolean>((resolve, reject) => {
      const call: Call = {
        request: bytes,
        until,
        settle: (result) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', onAbort)
          if (typeof result === 'boolean') resolve(result)
          else reject(result)
        },
      }
      const timer = setTimeout(() => this.#expire(call), this.#options.timeout)
      const onAbort = () => {
        this.#waiting = this.#waiting.filter((waiting) => waiting !== call)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(call)
      this.#dispatch()
    })
  }

  /** Programs, those of them that are answering, and requests that wait for one. */
  get load(): BackendLoad {
    return {
      running: this.#places.filter(({ program }) => program !== undefined).length,
      busy: this.#places.filter(({ call }) => call !== undefined).length,
      waiting: this.#waiting.length,
    }
  }

  /** Ends the programs; resolves when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true
    const error = new BackendUnavailable('the authentication programs are being ended')
    for (const call of this.#waiting.splice(0)) call.settle(error)
    for (const place of this.#places) {
      clearTimeout(place.timer)
      if (place.program !== undefined) this.#end(place.program)
    }
    await Promise.all(this.#ending)
    for (const place of this.#places) place.call?.settle(error)
  }

  /** Gives waiting calls to programs without one. */
  #dispatch(): void {
    for (const place of this.#places) {
      if (place.program === undefined || place.call !== undefined) continue
      const call = this.#waiting.shift()
      if (call === undefined) return
      place.call = call
      place.program.send(call.request)
    }
  }

  #start(place: Place): void {
    place.startsAt = 0
    const program: Program = new Program(
      this.#options.program,
      {
        onAnswer: (answer) => this.#answered(place, answer),
        onGone: (reason) => {
          if (place.program === program) this.#replace(place, reason)
        },
      },
      this.#options.log,
    )
    place.program = program
    this.#options.log.info({ program_pid: program.pid }, 'the authentication program was started')
    this.#dispatch()
  }

  #answered(place: Place, answer: ProgramAnswer): void {
    const { call } = place
    place.call = undefined
    place.failures = 0
    if (answer === 'neither')
      call?.settle(new BackendUnavailable('the authentication program could not find out'))
    else call?.settle(answer === 'yes')
    this.#dispatch()
  }

  /** The answer might still come, and be taken for that of the next request: the program has to go. */
  #expire(call: Call): void {
    const error = new BackendUnavailable('the authentication program gave no answer in time')
    const place = this.#places.find((one) => one.call === call)
    if (place === undefined) {
      this.#waiting = this.#waiting.filter((waiting) => waiting !== call)
      call.settle(error)
    } else {
      this.#replace(place, 'it gave no answer in time')
    }
  }

  #replace(place: Place, reason: string): void {
    const { program, call } = place
    place.program = undefined
    place.call = undefined
    if (program !== undefined) this.#end(program)
    call?.settle(new BackendUnavailable(`the authentication program failed: ${reason}`))
    if (this.#isClosed) return
    const pause = Math.min(this.#pauses.first * 2 ** place.failures, this.#pauses.longest)
    place.failures++
    place.startsAt = performance.now() + pause
    place.timer = setTimeout(() => this.#start(place), pause)
    this.#options.log.warn(
      { program_pid: program?.pid, reason, again_in_ms: pause },
      'the authentication program failed',
    )
    this.#failHopeless()
  }

  /** Nobody waits for a program that is not started before the deadline. */
  #failHopeless(): void {
    const next = Math.min(...this.#places.map((place) => place.startsAt))
    const hopeless = this.#waiting.filter((call) => next > call.until)
    this.#waiting = this.#waiting.filter((call) => next <= call.until)
    for (const call of hopeless)
      call.settle(new BackendUnavailable('the authentication program keeps failing'))
  }

  #end(program: Program): void {
    const ended = program.end().finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }
}
