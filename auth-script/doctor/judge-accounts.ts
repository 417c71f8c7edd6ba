/** Whether the server's user may use what the backends work on, and whether stored names can ever be asked for. */
import { closeSync, openSync, readSync, type Stats, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import { prepareHost, prepareUser } from '../../server-core/xmpp/jid.ts'
import { type Finding, ok, warning, wrong } from '../findings.ts'
import { mayOpen } from '../health.ts'
import type { Plan, PlannedBackend } from '../plan.ts'
import { SqliteBackend } from '../sqlite.ts'
import { findPerson, obstacle, type Person } from './person.ts'

/** Names that are looked at, of each backend; and that are shown. */
const maxNames = 200_000
const shown = 5

export function judgeAccess(plan: Plan, person: Person): Finding[] {
  return plan.backends.flatMap((planned) => planned.paths.flatMap((path) => judgePath(planned, path, person)))
}

function judgePath({ type, backend }: PlannedBackend, path: string, person: Person): Finding[] {
  const isOurs = type === 'sqlite'
  const stat = statSync(path, { throwIfNoEntry: false })
  if (isOurs || type === 'sqlite-table') {
    const folder = dirname(path)
    // SQLite makes files beside the database (-wal, -shm, -journal).
    const folderUses = isOurs ? (['read', 'write'] as const) : (['read'] as const)
    const blocked = obstacle(person, folder, ...folderUses)
    if (blocked !== undefined) return [wrong(blocked, `chown ${person.name} ${folder}`)]
    if (stat === undefined && isOurs) return [ok(`${path} is made by the first request of ${person.name}`)]
  }
  const uses =
    isOurs || (type === 'sqlite-table' && changes(backend))
      ? (['read', 'write'] as const)
      : (['read'] as const)
  const blocked = obstacle(person, path, ...uses)
  if (blocked !== undefined)
    return [
      wrong(blocked, stat === undefined ? 'make it, or name another one' : `chown ${person.name} ${path}`),
    ]
  const findings = [ok(`${person.name} may use ${path}`)]
  const isSecret = isOurs || /password|token|secret/.test(path)
  if (isSecret && stat !== undefined && (stat.mode & 0o007) !== 0) {
    findings.push(warning(`every user of this machine may read ${path}`, `chmod o= ${path}`))
  }
  if (stat !== undefined && (isOurs || type === 'sqlite-table')) {
    findings.push(...judgeBeside(path, [...(isOurs ? [person] : []), ownerOf(stat)]))
    if (!isOurs) findings.push(...judgeWriteAhead(path, stat, person))
  }
  return findings
}

/** SQLite's files beside a database: whoever may use that and not these is shut out. */
function judgeBeside(path: string, users: readonly Person[]): Finding[] {
  return ['-wal', '-shm'].flatMap((end) => {
    const beside = path + end
    if (statSync(beside, { throwIfNoEntry: false }) === undefined) return []
    const shutOut = users.find((user) => obstacle(user, beside, 'read', 'write') !== undefined)
    if (shutOut === undefined) return []
    return [
      wrong(
        `${shutOut.name} may not write ${beside}, so the database is closed to it`,
        `chown ${shutOut.name} ${beside}`,
      ),
    ]
  })
}

/** Who reads a database in write-ahead mode (https://www.sqlite.org/wal.html) makes these files when nobody else has it open. */
function judgeWriteAhead(path: string, stat: Stats, person: Person): Finding[] {
  const owner = ownerOf(stat)
  // SQLite gives the files of root to the owner of the database.
  const isTheirs = person.uid !== owner.uid && person.uid !== 0 && (stat.mode & 0o022) === 0
  const makes = obstacle(person, dirname(path), 'write') === undefined
  if (!isTheirs || !makes || !isWriteAhead(path)) return []
  return [
    warning(
      `${path} is ${owner.name}'s and in write-ahead mode: when nobody else has it open, ${person.name} makes ${basename(path)}-wal and -shm, which shut ${owner.name} out`,
      `let ${person.name} only read in ${dirname(path)}, and let what writes the database keep it open`,
    ),
  ]
}

/** The version for reading in the header (https://www.sqlite.org/fileformat.html). */
function isWriteAhead(path: string): boolean {
  const header = Buffer.alloc(20)
  try {
    const file = openSync(path, 'r')
    try {
      return readSync(file, header, 0, header.length, 0) === header.length && header[19] === 2
    } finally {
      closeSync(file)
    }
  } catch {
    return false
  }
}

function ownerOf({ uid, gid }: Stats): Person {
  return findPerson(String(uid)) ?? { name: `user id ${uid}`, uid, gids: [gid] }
}

function changes(backend: AuthBackend): boolean {
  return backend.setPassword !== undefined || backend.register !== undefined || backend.remove !== undefined
}

/**
 * A server asks for prepared names only, so others are accounts that nobody can log in to. `uid`: who asks; a database that
 * is not there or somebody else's is left alone.
 */
export async function judgeNames(
  plan: Plan,
  hosts: readonly string[],
  uid: number | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { name, backend } of plan.backends) {
    if (backend instanceof SqliteBackend && !mayOpen(backend.file, uid)) continue
    const own = backend instanceof SqliteBackend ? await backend.accounts.hosts() : hosts
    for (const host of own) {
      if (prepareHost(host) !== host) {
        findings.push(
          warning(
            `${name}: the host '${host}' is not prepared, so no server asks for it`,
            asPrepared(prepareHost(host)),
          ),
        )
      }
      findings.push(...(await namesOf(name, backend, host)))
    }
  }
  return findings
}

async function namesOf(name: string, backend: AuthBackend, host: string): Promise<Finding[]> {
  const wrongNames: string[] = []
  let count = 0
  for await (const user of backend.list?.(host) ?? []) {
    if (++count > maxNames) break
    if (prepareUser(user) !== user) wrongNames.push(user)
  }
  if (wrongNames.length === 0)
    return count === 0
      ? []
      : [ok(`${name}: ${count} ${count === 1 ? 'name' : 'names'} at ${host}, all as servers ask for them`)]
  const some = wrongNames.slice(0, shown).map((user) => `'${user}'${toPrepared(user)}`)
  const more = wrongNames.length > shown ? `, and ${wrongNames.length - shown} more` : ''
  return [
    warning(
      `${name}: names at ${host} that no server ever asks for: ${some.join(', ')}${more}`,
      'servers ask for prepared names (small letters, normalised): rename these, or let the query compare with lower()',
    ),
  ]
}

function toPrepared(user: string): string {
  const prepared = prepareUser(user)
  return prepared ? ` (asked for as '${prepared}')` : ' (no name of XMPP)'
}

function asPrepared(name: string | undefined): string {
  return name === undefined ? 'it is no host name' : `rename it to '${name}'`
}
