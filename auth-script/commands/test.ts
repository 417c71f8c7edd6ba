/** `test USER@HOST`: one login as the server would ask for it, and what each backend says to it. */
import type { Command } from 'commander'
import { pino } from 'pino'
import type { AuthBackend, Verdict } from '../../server-core/auth/backend.ts'
import { Throttle } from '../../server-core/auth/throttle.ts'
import type { Logger } from '../../server-core/log.ts'
import { prepareHost, prepareUser } from '../../server-core/xmpp/jid.ts'
import type { AddCommand, ExtauthContext } from '../context.ts'
import { type HostKind, hostKinds } from '../host-kind.ts'
import { loadPlan } from '../load-plan.ts'
import { Operations } from '../operations.ts'
import { type Flags, UsageError } from '../options.ts'
import type { Outcome } from '../outcome.ts'
import { Deployment, type Plan } from '../plan.ts'
import { askPassword } from '../prompt.ts'
import { RecentChanges } from '../recent-changes.ts'

export const test: AddCommand = (program, context, done) => {
  program
    .command('test <jid>')
    .description(
      'try a login: asks for the password, or reads the first line of standard input; status 0 yes, 1 no, 2 unknown',
    )
    .exitOverride()
    .action(async (jid: string, _own: object, command: Command) => {
      done(await carryOut(context, jid, command.optsWithGlobals<Flags>()))
    })
}

const statuses = { allow: 0, deny: 1, failure: 2 } as const

async function carryOut(context: ExtauthContext, jid: string, flags: Flags): Promise<number> {
  const at = jid.lastIndexOf('@')
  const [written, writtenHost] = [jid.slice(0, at), jid.slice(at + 1)]
  if (at < 1 || writtenHost === '') throw new UsageError(`'${jid}' is not an account: write it as user@host`)
  const steps = new Steps()
  const log = stepLogger(steps)
  let deployment: Deployment | undefined
  try {
    const plan = await loadPlan(flags, log)
    const traced = {
      ...plan,
      backends: plan.backends.map((one) => ({ ...one, backend: trace(one.name, one.backend, steps) })),
    }
    deployment = new Deployment(traced, log)
    const password = await askPassword(context, `Password for ${jid}`, { twice: false })
    if (password === undefined) {
      throw new UsageError('no password was given: type it, or give it as the first line of standard input')
    }
    steps.tell('account', describeAccount(written, writtenHost))
    steps.tell('chain', describeChain(plan, writtenHost))
    const begun = performance.now()
    const outcome = await logIn(
      deployment,
      Buffer.concat([Buffer.from(`auth:${jid.slice(0, at)}:${writtenHost}:`), password]),
      log,
    )
    const ms = performance.now() - begun
    const out = context.openAnswers().stream
    for (const line of steps.lines) out.write(`${line}\n`)
    out.write(`${conclusion(outcome)}, after ${ms.toFixed(1)} ms\n`)
    return statuses[outcome.kind]
  } catch (error) {
    if (error instanceof UsageError) throw error
    context.stderr.write(`gatehouse-extauth: ${(error as Error).message}\n`)
    return 2
  } finally {
    await deployment?.close()
  }
}

/** The same way as a request of a server takes, without holding back the answer to a wrong password. */
async function logIn(deployment: Deployment, payload: Buffer, log: Logger): Promise<Outcome> {
  const { plan } = deployment
  const kind: HostKind = hostKinds[plan.hostKind ?? 'ejabberd']
  const allowed = (plan.operations ?? kind.operations).filter((op) => kind.operations.includes(op))
  const recent = new RecentChanges()
  const operations = new Operations({ deployment, allowed, throttle: new Throttle(0), recent, log })
  const controller = new AbortController()
  const late = new Error('no answer in time')
  const tooLate = new Promise<Outcome>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve({ kind: 'failure', reason: late.message }))
  })
  const timer = setTimeout(() => controller.abort(late), plan.deadline ?? kind.deadline)
  const signals = {
    deadline: controller.signal,
    change: controller.signal,
    hold: () => Promise.resolve(),
  }
  try {
    const answered = operations.carryOut(payload, signals).then(({ outcome }) => outcome)
    return await Promise.race([answered, tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/** What happened, in order, a line each. */
class Steps {
  readonly lines: string[] = []

  tell(who: string, what: string, ms?: number): void {
    const time = ms === undefined ? '' : ` (${ms.toFixed(1)} ms)`
    this.lines.push(`${who.padEnd(12)} ${what}${time}`)
  }
}

/** What backends would log is said among the steps. */
function stepLogger(steps: Steps): Logger {
  const write = (line: string) => {
    const { msg, ms, server, entry, result, reason } = JSON.parse(line) as Logged
    // The step itself says so.
    if (msg === 'cannot authenticate') return
    const more = [entry, result, reason, server && `at ${server}`].filter((part) => part !== undefined)
    steps.tell('log', more.length === 0 ? msg : `${msg}: ${more.join(', ')}`, ms)
  }
  return pino({ level: 'debug', base: null, timestamp: false }, { write })
}

interface Logged {
  readonly msg: string
  readonly ms?: number
  readonly server?: string
  readonly entry?: string
  readonly result?: string
  readonly reason?: string
}

/** A backend that tells what it was asked for and what it said. */
function trace(name: string, backend: AuthBackend, steps: Steps): AuthBackend {
  const told = async <T>(
    question: string,
    ask: () => Promise<T>,
    inWords: (answer: T) => string,
  ): Promise<T> => {
    const begun = performance.now()
    try {
      const answer = await ask()
      steps.tell(name, `${question}: ${inWords(answer)}`, performance.now() - begun)
      return answer
    } catch (error) {
      const why = error instanceof Error ? error.message : 'it failed'
      steps.tell(name, `${question}: cannot find out: ${why}`, performance.now() - begun)
      throw error
    }
  }
  const over: AuthBackend = {
    checkPassword: (user, host, password, signal) =>
      told('password', () => backend.checkPassword(user, host, password, signal), verdictInWords),
    accountExists: (user, host, signal) =>
      told(
        'account',
        () => backend.accountExists(user, host, signal),
        (exists) => (exists ? 'exists' : 'none'),
      ),
  }
  return new Proxy(backend, {
    get(target, key) {
      if (Object.hasOwn(over, key)) return over[key as keyof AuthBackend]
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const verdictWords = {
  unknown: 'no such account',
  wrong: 'wrong',
  disabled: 'the account is disabled',
  expired: 'the password has expired',
  refused: 'refused',
  exists: 'the account exists',
} as const

function verdictInWords(verdict: Verdict): string {
  return verdict.ok ? 'right' : verdictWords[verdict.reason]
}

function describeAccount(user: string, host: string): string {
  const prepared = `${prepareUser(user) ?? '?'}@${prepareHost(host) ?? '?'}`
  if (prepared.includes('?')) return `${user}@${host} is not a valid address`
  return prepared === `${user}@${host}` ? prepared : `${user}@${host}, which is ${prepared}`
}

function describeChain(plan: Plan, written: string): string {
  if (plan.hosts === undefined) return plan.backends.map(({ name }) => name).join(', then ')
  const chain = plan.hosts.get(prepareHost(written) ?? '')
  if (chain !== undefined) return chain.join(', then ')
  return `${written} is not served; hosts are ${[...plan.hosts.keys()].join(', ')}`
}

function conclusion(outcome: Outcome): string {
  if (outcome.kind === 'allow') return 'yes'
  const reason = Object.hasOwn(verdictWords, outcome.reason)
    ? verdictWords[outcome.reason as keyof typeof verdictWords]
    : outcome.reason
  return outcome.kind === 'deny'
    ? `no: ${reason === 'wrong' ? 'the password is wrong' : reason}`
    : `could not find out: ${reason}`
}
