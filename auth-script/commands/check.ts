/** `check`: is the configuration right, and can the backends be asked? Nothing is served and nothing is changed. */
import type { Command } from 'commander'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import type { Operation } from '../../server-core/extauth/packets.ts'
import { silentLogger } from '../../server-core/log.ts'
import type { AddCommand, ExtauthContext } from '../context.ts'
import {
  type Finding,
  formatSection,
  isAnythingWrong,
  ok,
  type Section,
  summary,
  warning,
} from '../findings.ts'
import { healthOf } from '../health.ts'
import { type HostKind, hostKinds } from '../host-kind.ts'
import { loadPlan } from '../load-plan.ts'
import { type Flags, UsageError } from '../options.ts'
import { Deployment, type Plan } from '../plan.ts'
import type { FailureReply } from '../wire.ts'

export const check: AddCommand = (program, context, done) => {
  program
    .command('check')
    .description('say whether the configuration is right and the backends can be asked')
    .exitOverride()
    .action(async (_own: object, command: Command) => {
      done(await carryOut(context, command.optsWithGlobals<Flags>()))
    })
}

/** Exit status: 0 nothing is wrong, 1 something is. */
async function carryOut(context: ExtauthContext, flags: Flags): Promise<number> {
  let plan: Plan
  try {
    plan = await loadPlan(flags, silentLogger())
  } catch (error) {
    if (error instanceof UsageError) throw error
    context.stderr.write(`${(error as Error).message}\n`)
    return 1
  }
  const deployment = new Deployment(plan, silentLogger())
  try {
    const sections = [whatIsServed(plan), ...(await healthOf(plan, context.uid))]
    const out = context.openAnswers().stream
    for (const section of sections) out.write(formatSection(section))
    out.write(`${summary(sections)}\n`)
    return isAnythingWrong(sections) ? 1 : 0
  } finally {
    await deployment.close()
  }
}

function whatIsServed(plan: Plan): Section {
  const kind: HostKind = hostKinds[plan.hostKind ?? 'ejabberd']
  const hosts = [...(plan.hosts ?? [])].map(([host, chain]) => ok(`${host}: ${chain.join(', then ')}`))
  const everyHost = ok(`every host: ${plan.backends.map(({ name }) => name).join(', then ')}`)
  const operations = (plan.operations ?? kind.operations).filter(
    (op) => kind.operations.includes(op) && plan.backends.some(({ backend }) => can(backend, op)),
  )
  const reply = plan.failureReply ?? kind.failureReply
  return {
    title: 'configuration',
    findings: [
      ...(plan.hosts === undefined ? [everyHost] : hosts),
      ok(`for ${plan.hostKind ?? 'ejabberd'}: ${operations.join(', ')}`),
      ok(
        `each within ${(plan.deadline ?? kind.deadline) / 1000} s; what cannot be found out is answered with ${
          reply === 'deny' ? 'no' : 'an error frame'
        }`,
      ),
      ...refusedSetpass(plan, reply),
    ],
  }
}

function refusedSetpass(plan: Plan, reply: FailureReply): Finding[] {
  if (plan.refusedSetpass !== 'error-frame') return []
  if (reply === 'error-frame')
    return [ok('a password change that is refused is answered with an error frame')]
  return [
    warning(
      'refused_setpass: error-frame does nothing while failures are answered with no',
      'failure_reply: error-frame, unless the server starts this with --failure-reply error-frame',
    ),
  ]
}

function can(backend: AuthBackend, op: Operation): boolean {
  switch (op) {
    case 'auth':
    case 'isuser':
      return true
    case 'removeuser':
    case 'removeuser3':
      return backend.remove !== undefined
    case 'setpass':
      return backend.setPassword !== undefined
    case 'tryregister':
      return backend.register !== undefined
  }
}
