/** `moved`: how many accounts the backend that learns has, and how many are still to come where the others can tell. */
import type { Command } from 'commander'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import { createLogger } from '../../server-core/log.ts'
import type { AddCommand, ExtauthContext } from '../context.ts'
import { loadPlan } from '../load-plan.ts'
import type { Flags } from '../options.ts'
import { UsageError } from '../options.ts'
import { Deployment } from '../plan.ts'
import { SqliteBackend } from '../sqlite.ts'
import { Refusal } from './account-of.ts'

export const moved: AddCommand = (program, context, done) => {
  program
    .command('moved')
    .description('count the accounts of each host that have moved to the backend that learns')
    .action(async (_own: object, command: Command) => {
      done(await count(context, command.optsWithGlobals<Flags>()))
    })
}

async function count(context: ExtauthContext, flags: Flags): Promise<number> {
  const log = await createLogger({ level: 'error', file: flags.logFile, pretty: false })
  let deployment: Deployment | undefined
  try {
    deployment = new Deployment(await loadPlan(flags, log), log)
    const out = context.openAnswers().stream
    for (const host of await hostsOf(deployment)) out.write(`${await line(deployment, host)}\n`)
    return 0
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof Error)) throw error
    context.stderr.write(`gatehouse-extauth: ${error.message}\n`)
    return 1
  } finally {
    await deployment?.close()
  }
}

async function hostsOf({ plan, hosts }: Deployment): Promise<readonly string[]> {
  if (plan.learn === undefined) throw new Refusal('no backend learns: name it with `learn:` in extauth.yml')
  if (hosts !== undefined) return hosts
  const target = plan.backends.find(({ name }) => name === plan.learn)?.backend
  if (target instanceof SqliteBackend) return target.accounts.hosts()
  throw new Refusal('the hosts are not known: name them with `hosts:` in extauth.yml')
}

/** Tab-separated: host, how many have moved, how many are left, or ? when an older backend cannot list its users. */
async function line({ plan }: Deployment, host: string): Promise<string> {
  const chain = plan.backends.filter(({ name }) => plan.hosts?.get(host)?.includes(name) ?? true)
  const target = chain.find(({ name }) => name === plan.learn)?.backend
  if (target?.list === undefined) return `${host}\tmoved ?\tleft ?`
  let moved = 0
  for await (const _ of target.list(host)) moved++
  const left = new Set<string>()
  for (const { backend } of chain) {
    if (backend === target) continue
    if (backend.list === undefined) return `${host}\tmoved ${moved}\tleft ?`
    for await (const user of backend.list(host)) if (!(await has(target, user, host))) left.add(user)
  }
  return `${host}\tmoved ${moved}\tleft ${left.size}`
}

function has(backend: AuthBackend, user: string, host: string): Promise<boolean> {
  return backend.accountExists(user, host, AbortSignal.timeout(10_000))
}
