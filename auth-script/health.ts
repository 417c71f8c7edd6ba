/** Whether the backends of a plan can be asked: each is opened and asked for an account that nobody has. */
import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type AuthBackend, BackendUnavailable } from '../server-core/auth/backend.ts'
import type { ServerHealth } from '../server-core/auth/ldap.ts'
import { StorageUnavailable } from '../server-core/storage/storage.ts'
import { type Finding, ok, type Section, warning, wrong } from './findings.ts'
import type { Plan, PlannedBackend } from './plan.ts'
import { SqliteBackend } from './sqlite.ts'

/** An account that is asked for to see whether there is an answer. */
const nobody = 'gatehouse-extauth-check'
/** For one backend, in milliseconds. */
const timeout = 10_000

/** `uid`: who asks; files of other users are left alone. */
export async function healthOf(plan: Plan, uid: number | undefined): Promise<Section[]> {
  return Promise.all(
    plan.backends.map(async (planned) => ({
      title: planned.name === planned.type ? planned.name : `${planned.name} (${planned.type})`,
      findings: await findingsOf(planned, hostOf(plan, planned.name), uid),
    })),
  )
}

/** A host that has the backend in its chain: any, where every host is served; undefined when none has. */
function hostOf({ hosts }: Plan, backend: string): string | undefined {
  if (hosts === undefined) return 'localhost'
  for (const [host, chain] of hosts) if (chain.includes(backend)) return host
  return undefined
}

async function findingsOf(
  planned: PlannedBackend,
  host: string | undefined,
  uid: number | undefined,
): Promise<readonly Finding[]> {
  const { backend } = planned
  if (host === undefined)
    return [warning('no host has it in its chain, so it is never asked', 'hosts: {HOST: {chain: […]}}')]
  try {
    if (backend instanceof SqliteBackend) return [await accounts(backend, uid)]
    if (hasHealth(backend)) return (await backend.health(AbortSignal.timeout(timeout))).map(ofServer)
    const exists = await backend.accountExists(nobody, host, AbortSignal.timeout(timeout))
    if (exists) return [warning(`it says that ${nobody}@${host} exists`, everybodyExists)]
    return [ok(planned.paths[0] === undefined ? 'it answers' : `it answers: ${planned.paths[0]}`)]
  } catch (error) {
    const isOutage = error instanceof BackendUnavailable || error instanceof StorageUnavailable
    const message = error instanceof Error ? error.message : 'it failed'
    return [
      wrong(message, isOutage ? `logins of ${host} cannot be answered until this is repaired` : reportFault),
    ]
  }
}

const everybodyExists =
  'an isuser that is always true makes the server keep mail for accounts that nobody has; ask whether the account exists'
const reportFault = 'this is a fault of gatehouse-extauth: please report it with this line'

function hasHealth(
  backend: AuthBackend,
): backend is AuthBackend & { health(signal: AbortSignal): Promise<readonly ServerHealth[]> } {
  return 'health' in backend
}

function ofServer({ server, problem }: ServerHealth): Finding {
  return problem === undefined
    ? ok(server)
    : wrong(`${server}: ${problem}`, 'docs/ldap.md has a list of these')
}

async function accounts(backend: SqliteBackend, uid: number | undefined): Promise<Finding> {
  const { file } = backend
  if (!existsSync(file)) {
    if (!existsSync(dirname(file)))
      return wrong(`there is no folder ${dirname(file)}`, 'make it for the user of the server')
    return ok(`${file} does not exist yet: the first request makes it`)
  }
  if (!mayOpen(file, uid)) {
    const owner = statSync(file).uid
    return warning(
      `${file} belongs to user id ${owner}, so it was not opened`,
      `run this as that user: sudo -u '#${owner}' …`,
    )
  }
  await backend.open()
  const hosts = await backend.accounts.hosts()
  const counts = await Promise.all(hosts.map((host) => backend.accounts.count(host)))
  const total = counts.reduce((sum, count) => sum + count, 0)
  return ok(
    `${file}: ${total} ${total === 1 ? 'account' : 'accounts'}${hosts.length === 0 ? '' : ` at ${hosts.join(', ')}`}`,
  )
}

/** Files that somebody else makes beside a database would lock its owner out; one that is not there is made by its owner. */
export function mayOpen(file: string, uid: number | undefined): boolean {
  const owner = statSync(file, { throwIfNoEntry: false })?.uid
  return owner !== undefined && (uid === undefined || uid === owner)
}
