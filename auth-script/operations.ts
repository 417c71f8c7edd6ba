/** One request of the server: read, checked, carried out. Whatever happens in here, only a backend's yes becomes "allow". */
import type { Answer, Authenticator } from '../server-core/auth/authenticator.ts'
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import type { Throttle } from '../server-core/auth/throttle.ts'
import { decodeRequest, isOperation, type Operation, type Request } from '../server-core/extauth/packets.ts'
import type { Logger } from '../server-core/log.ts'
import { prepareHost, prepareUser } from '../server-core/xmpp/jid.ts'
import type { Learner } from './learner.ts'
import type { Outcome, Result, Signals } from './outcome.ts'
import type { Deployment } from './plan.ts'
import { type RecentChanges, replayWindow } from './recent-changes.ts'

export interface OperationsOptions {
  readonly deployment: Deployment
  readonly allowed: readonly Operation[]
  readonly throttle: Throttle
  readonly learner?: Learner | undefined
  readonly recent: RecentChanges
  readonly log: Logger
}

/** In characters, of a name that is none. */
const maxLogged = 1023
/** In bytes. */
const maxPassword = 4096
/** What ejabberd's `ban_account` sets as the password: this, time, random characters and the reason, between `--`. */
const banPrefix = 'BANNED_ACCOUNT--'

const noPassword = Buffer.alloc(0)

interface Call {
  readonly op: Operation
  readonly user: string
  readonly host: string
  readonly password: Buffer
  readonly authenticator: Authenticator
  readonly signals: Signals
  readonly options: OperationsOptions
}

const operations: Readonly<Record<Operation, (call: Call) => Promise<Answer>>> = {
  auth,
  isuser,
  removeuser,
  removeuser3,
  setpass,
  tryregister,
}

export class Operations {
  readonly #options: OperationsOptions
  /** When the last warning about a request that cannot be read was logged. */
  #warned = Number.NEGATIVE_INFINITY

  constructor(options: OperationsOptions) {
    this.#options = options
  }

  carryOut(payload: Buffer, signals: Signals): Promise<Result> {
    const call = this.#read(payload, signals)
    return 'outcome' in call ? Promise.resolve(call) : this.#answer(call)
  }

  /** What is to be done, or what is said to a request that is none. */
  #read(payload: Buffer, signals: Signals): Call | Result {
    const options = this.#options
    const { deployment } = options
    const request = decodeRequest(payload, deployment.hosts)
    if (request === undefined) {
      this.#warn({ bytes: payload.length }, 'a request that cannot be read: not op:user:host, or no UTF-8')
      return { outcome: deny('malformed') }
    }
    const { op } = request
    if (!isOperation(op)) {
      this.#warn({ op: op.slice(0, 40) }, 'an operation that is not known')
      return { outcome: deny('unknown operation'), op: op.slice(0, 40) }
    }
    const user = prepareUser(request.user)
    const host = prepareHost(request.host)
    if (!options.allowed.includes(op)) {
      return {
        ...refused('operation not allowed', request),
        outcome: this.#refusal(op, 'operation not allowed'),
      }
    }
    if (user === undefined) return refused('not a user', request)
    const authenticator = host && isHost(host, deployment.hosts) ? deployment.authenticator(host) : undefined
    if (!host || authenticator === undefined) return refused('not a host of this program', request)
    if (!isPassword(request)) return { outcome: this.#refusal(op, 'not a password'), op, user, host }
    const password = request.password ?? noPassword
    return { op, user, host, password, authenticator, signals, options }
  }

  async #answer(call: Call): Promise<Result> {
    const { op, user, host } = call
    try {
      // A password that is being written to another backend must not come after the change.
      if (op !== 'auth' && op !== 'isuser') await call.options.learner?.settled(user, host)
      const answer = await operations[op](call)
      const outcome: Outcome = answer.ok ? { kind: 'allow' } : this.#refusal(op, answer.reason)
      return { outcome, op, user, host, backend: answer.backend }
    } catch (error) {
      return { outcome: this.#failure(error, call.signals), op, user, host }
    }
  }

  /** A no; but to a change of the password, where the server would take that for a yes. */
  #refusal(op: Operation, reason: string): Outcome {
    const { refusedSetpass } = this.#options.deployment.plan
    return op === 'setpass' && refusedSetpass === 'error-frame' ? { kind: 'failure', reason } : deny(reason)
  }

  /** Whatever was thrown: it is not known what the answer is. */
  #failure(error: unknown, signals: Signals): Outcome {
    const { aborted, reason } = signals.change
    if (aborted && error === reason) return { kind: 'failure', reason: (reason as Error).message }
    if (error instanceof BackendUnavailable) return { kind: 'failure', reason: error.message }
    this.#options.log.error({ err: error }, 'a fault while a request was carried out')
    return { kind: 'failure', reason: 'a fault' }
  }

  #warn(fields: object, message: string): void {
    const now = performance.now()
    if (now - this.#warned < 60_000) return
    this.#warned = now
    this.#options.log.warn(fields, `${message} (said once a minute)`)
  }
}

async function auth(call: Call): Promise<Answer> {
  const { user, password, authenticator, options } = call
  const answer = await checkPassword(call)
  if (answer.ok) options.learner?.learn(authenticator, user, password, answer.backend)
  return answer
}

async function checkPassword({
  user,
  host,
  password,
  authenticator,
  signals,
  options,
}: Call): Promise<Answer> {
  const answer = await authenticator.checkPassword(user, password, signals.deadline)
  if (answer.ok) {
    options.throttle.right(user, host)
  } else {
    const ms = options.throttle.wrong(user, host)
    if (ms > 0) await signals.hold(ms)
  }
  return answer
}

/** A closed account exists. */
async function isuser({ user, authenticator, signals }: Call): Promise<Answer> {
  const exists = await authenticator.exists(user, signals.deadline)
  return exists ? { ok: true, backend: '' } : { ok: false, reason: 'unknown', backend: '' }
}

async function setpass({ user, password, authenticator, signals, options }: Call): Promise<Answer> {
  if (!options.deployment.plan.banPrefix) return authenticator.setPassword(user, password, signals.change)
  const text = password.toString('utf8')
  if (text.startsWith(banPrefix)) {
    const reason = text.split('--').slice(3).join('--')
    return authenticator.setBan(user, { reason, by: 'ban_account' }, signals.change)
  }
  const answer = await authenticator.setPassword(user, password, signals.change)
  // A password that is set by hand is how such a ban is lifted.
  if (answer.ok) await authenticator.setBan(user, undefined, signals.change)
  return answer
}

async function tryregister({ user, host, password, authenticator, signals, options }: Call): Promise<Answer> {
  const change = { op: 'tryregister', user, host, password } as const
  const answer = await authenticator.register(user, password, signals.change)
  if (answer.ok) options.recent.add(change)
  if (answer.ok || answer.reason !== 'exists') return answer
  // Who sends it again may have lost another process over it: then only the account tells.
  if (!options.recent.has(change) && !(await isNew(user, authenticator, signals))) return answer
  const again = await authenticator.checkPassword(user, password, signals.deadline)
  return again.ok ? again : answer
}

async function isNew(user: string, authenticator: Authenticator, signals: Signals): Promise<boolean> {
  const created = await authenticator.created(user, signals.deadline)
  // A clock that was set back makes an account seem to be made in the future.
  return created !== undefined && Math.abs(Date.now() - created * 1000) < replayWindow
}

/** Whoever is gone already is removed as wanted. */
async function removeuser({ user, authenticator, signals }: Call): Promise<Answer> {
  const answer = await authenticator.remove(user, signals.change)
  return !answer.ok && answer.reason === 'unknown' ? { ok: true, backend: answer.backend } : answer
}

async function removeuser3(call: Call): Promise<Answer> {
  const { user, host, password, options } = call
  const change = { op: 'removeuser3', user, host, password } as const
  const answer = await checkPassword(call)
  if (!answer.ok) {
    const isAgain = answer.reason === 'unknown' && options.recent.has(change)
    return isAgain ? { ok: true, backend: answer.backend } : answer
  }
  const removed = await removeuser(call)
  if (removed.ok) options.recent.add(change)
  return removed
}

/** The names are as they came, but for their length. */
function refused(reason: string, { op, user, host }: Request): Result {
  return { outcome: deny(reason), op, user: user.slice(0, maxLogged), host: host.slice(0, maxLogged) }
}

function deny(reason: string): Outcome {
  return { kind: 'deny', reason }
}

/** A colon is only in hosts that are configured, and in IPv6 literals; elsewhere the request has too many fields. */
function isHost(host: string, hosts: readonly string[] | undefined): boolean {
  return !host.includes(':') || /^\[[0-9a-f:.]+\]$/.test(host) || (hosts?.includes(host) ?? false)
}

function isPassword({ password }: Request): boolean {
  if (password === undefined) return true
  return password.length > 0 && password.length <= maxPassword && !password.includes(0)
}
