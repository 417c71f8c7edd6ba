/**
 * Keeps the program in service: it starts whatever the configuration looks like, answers "could not find out" until there is
 * a usable one, and changes over to a newer one between two requests. A program that ended at its start instead would be
 * started so often that ejabberd gives up on external authentication for ever.
 */
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import { Throttle } from '../server-core/auth/throttle.ts'
import type { Logger } from '../server-core/log.ts'
import { allOperations, type HostKind, HostKindMistake, type HostKindName, hostKinds } from './host-kind.ts'
import { Learner } from './learner.ts'
import { Operations } from './operations.ts'
import type { Result, Signals } from './outcome.ts'
import { Deployment, type Plan } from './plan.ts'
import { RecentChanges } from './recent-changes.ts'
import { SqliteBackend } from './sqlite.ts'
import type { Statistics } from './statistics.ts'
import type { FailureReply } from './wire.ts'

/** How long until a configuration with mistakes is read again: at first, and at most; in milliseconds. */
const pauses = { first: 1000, longest: 15_000 }

/** How long an answer is held back where there is room for that, in milliseconds. */
const longestHold = 5000

export class Keeper {
  readonly #load: () => Promise<Plan>
  readonly #log: Logger
  readonly #statistics: Statistics
  readonly #recent = new RecentChanges()
  #kindName: HostKindName
  #inUse: InUse | undefined
  #problem = 'it has not started yet'
  #timer: NodeJS.Timeout | undefined
  #isClosed: boolean = false
  #reloading: Promise<void> = Promise.resolve()
  /** Called with each configuration that has come into use. */
  changed: (plan: Plan) => Promise<void> = () => Promise.resolve()

  /** `kind`: what is known of it without a configuration. */
  constructor(
    load: () => Promise<Plan>,
    log: Logger,
    statistics: Statistics,
    kind: HostKindName = 'ejabberd',
  ) {
    this.#kindName = kind
    this.#load = load
    this.#log = log
    this.#statistics = statistics
  }

  get kindName(): HostKindName {
    return this.#kindName
  }

  get kind(): HostKind {
    return hostKinds[this.#kindName]
  }

  /** As asked for, where the server survives it: also a configuration that cannot be used says which server that is. */
  failureReply(asked: FailureReply | undefined): FailureReply {
    const { kind } = this
    if (!kind.takesErrorFrames) return 'deny'
    return asked ?? this.plan?.failureReply ?? kind.failureReply
  }

  get plan(): Plan | undefined {
    return this.#inUse?.deployment.plan
  }

  /** In milliseconds. */
  get deadline(): number {
    return this.plan?.deadline ?? this.kind.deadline
  }

  /** How long an answer may be held back where that holds others, in milliseconds. */
  get shortHold(): number {
    return this.plan?.throttle ?? 0
  }

  /** Tries once; a failure is logged, and tried again later. */
  async start(pause: number = pauses.first): Promise<void> {
    try {
      await this.reload()
    } catch (error) {
      if (error instanceof HostKindMistake && this.#inUse === undefined) this.#kindName = error.hostKind
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
    // One after the other, or an older configuration could come into use after a newer one.
    const before = this.#reloading
    const now = before.then(() => this.#reload())
    this.#reloading = now.catch(() => undefined)
    await now
  }

  async #reload(): Promise<void> {
    const plan = await this.#load()
    if (this.#isClosed) return
    const old = this.#inUse
    const deployment = new Deployment(plan, this.#log)
    this.#kindName = plan.hostKind ?? 'ejabberd'
    const { kind } = this
    const allowed = (plan.operations ?? allOperations).filter((op) => kind.operations.includes(op))
    const throttle = new Throttle(plan.throttle === 0 ? 0 : longestHold)
    const learner =
      plan.learn === undefined ? undefined : new Learner(plan.learn, this.#log, this.#statistics)
    const operations = new Operations({
      deployment,
      allowed,
      throttle,
      learner,
      recent: this.#recent,
      log: this.#log,
    })
    this.#inUse = new InUse(deployment, operations, learner)
    clearTimeout(this.#timer)
    for (const { backend } of plan.backends) if (backend instanceof SqliteBackend) void this.#tryOut(backend)
    await this.changed(plan)
    await old?.retire()
  }

  carryOut(payload: Buffer, signals: Signals): Promise<Result> {
    if (this.#inUse === undefined) return Promise.reject(new BackendUnavailable(this.#problem))
    return this.#inUse.carryOut(payload, signals)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#inUse?.close()
  }

  /** Trouble with the file is to be in the log at the start, and not with the first login. */
  async #tryOut(backend: SqliteBackend): Promise<void> {
    try {
      await backend.open()
    } catch (error) {
      if (this.#isClosed) return
      this.#log.error({ reason: (error as Error).message }, 'cannot answer yet: the accounts cannot be used')
    }
  }
}

/** A deployment with what is asked of it now: it is closed when nothing is. */
class InUse {
  readonly deployment: Deployment
  readonly #operations: Operations
  readonly #learner: Learner | undefined
  #running = 0
  #idle: () => void = () => undefined

  constructor(deployment: Deployment, operations: Operations, learner: Learner | undefined) {
    this.deployment = deployment
    this.#operations = operations
    this.#learner = learner
  }

  async carryOut(payload: Buffer, signals: Signals): Promise<Result> {
    this.#running++
    try {
      return await this.#operations.carryOut(payload, signals)
    } finally {
      if (--this.#running === 0) this.#idle()
    }
  }

  /** Waits for what runs. */
  async retire(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    await this.close()
  }

  async close(): Promise<void> {
    await this.#learner?.close()
    await this.deployment.close()
  }
}
