/**
 * Keeps the program in service: it starts whatever the configuration looks like, answers "could not find out" until there is
 * a usable one, and changes over to a newer one between two requests. A program that ended at its start instead would be
 * started so often that ejabberd gives up on external authentication for ever.
 */
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import type { Logger } from '../server-core/log.ts'
import { allOperations, type HostKind, hostKinds } from './host-kind.ts'
import { Operations, type Result, type Signals } from './operations.ts'
import { Deployment, type Plan } from './plan.ts'
import { SqliteBackend } from './sqlite.ts'
import { Throttle } from './throttle.ts'

/** How long until a configuration with mistakes is read again: at first, and at most; in milliseconds. */
const pauses = { first: 1000, longest: 15_000 }

export class Keeper {
  readonly #load: () => Promise<Plan>
  readonly #log: Logger
  #deployment: Deployment | undefined
  #operations: Operations | undefined
  #problem = 'it has not started yet'
  #lastRequest: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #isClosed: boolean = false

  constructor(load: () => Promise<Plan>, log: Logger) {
    this.#load = load
    this.#log = log
  }

  get kind(): HostKind {
    return hostKinds[this.#deployment?.plan.hostKind ?? 'ejabberd']
  }

  get plan(): Plan | undefined {
    return this.#deployment?.plan
  }

  /** In milliseconds. */
  get deadline(): number {
    return this.plan?.deadline ?? this.kind.deadline
  }

  /** Tries once; a failure is logged, and tried again later. */
  async start(pause: number = pauses.first): Promise<void> {
    try {
      await this.reload()
    } catch (error) {
      this.#problem = `the configuration has mistakes: ${(error as Error).message}`
      this.#log.error(
        { reason: (error as Error).message },
        'cannot answer yet: the configuration has mistakes',
      )
      if (this.#isClosed) return
      this.#timer = setTimeout(() => void this.start(Math.min(pause * 2, pauses.longest)), pause)
    }
  }

  /** Rejects, and leaves everything as it was, when what is there now has mistakes. */
  async reload(): Promise<void> {
    const plan = await this.#load()
    const old = this.#deployment
    const deployment = new Deployment(plan, this.#log)
    const kind: HostKind = hostKinds[plan.hostKind ?? 'ejabberd']
    const allowed = (plan.operations ?? allOperations).filter((op) => kind.operations.includes(op))
    const throttle = new Throttle(plan.throttle)
    this.#deployment = deployment
    this.#operations = new Operations({ deployment, allowed, throttle, log: this.#log })
    clearTimeout(this.#timer)
    for (const { backend } of plan.backends) if (backend instanceof SqliteBackend) void this.#tryOut(backend)
    if (old === undefined) return
    await this.#lastRequest.catch(() => undefined)
    await old.close()
  }

  async carryOut(payload: Buffer, signals: Signals): Promise<Result> {
    if (this.#operations === undefined) throw new BackendUnavailable(this.#problem)
    const result = this.#operations.carryOut(payload, signals)
    this.#lastRequest = result
    return result
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#deployment?.close()
  }

  /** Trouble with the file is to be in the log at the start, and not with the first login. */
  async #tryOut(backend: SqliteBackend): Promise<void> {
    try {
      await backend.open()
    } catch (error) {
      this.#log.error({ reason: (error as Error).message }, 'cannot answer yet: the accounts cannot be used')
    }
  }
}
