/** Accounts that nobody uses any more: counted, listed, removed. */
import { type Caller, CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { type Jid, makeJid, parseJid, prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { ResultShape, Row } from '../control-protocol.ts'
import { sideBySide } from '../side-by-side.ts'
import { unhurried } from '../unhurried.ts'
import { host, integer, option } from './arguments.ts'
import { endedEarly } from './ended-early.ts'
import { lastService } from './last.ts'

const day = 86_400
const result: ResultShape = { kind: 'list', columns: [{ name: 'text', type: 'string' }] }

export function oldUserCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'accounts'
  const days = () => integer('days without being seen')
  const except = () => option('address that stays whatever its age; may be given several times')
  return [
    defineCommand({
      name: 'delete_old_users',
      doc: 'Delete the users of all hosts that were neither seen nor registered for some days',
      category,
      tags: ['accounts', 'purge'],
      args: { days: days(), except: except() },
      result,
      example: 'delete_old_users 365',
      destroys: 'bulk',
      run: (args, caller) => remove(server, server.hosts, args.days, args.except, caller),
      preview: (args) => preview(server, server.hosts, args.days, args.except),
    }),
    defineCommand({
      name: 'delete_old_users_vhost',
      doc: 'Delete the users of a host that were neither seen nor registered for some days',
      category,
      tags: ['accounts', 'purge'],
      args: { host: host('host of the accounts'), days: days(), except: except() },
      result,
      example: 'delete_old_users_vhost localhost 365',
      destroys: 'bulk',
      run: (args, caller) => remove(server, served(server, args.host), args.days, args.except, caller),
      preview: (args) => preview(server, served(server, args.host), args.days, args.except),
    }),
    defineCommand({
      name: 'num_active_users',
      doc: 'Get the number of users of a host that were seen in the last days',
      category,
      tags: ['accounts', 'stats'],
      args: { host: host('host of the accounts'), days: integer('how many days back') },
      result: { kind: 'integer', name: 'users' },
      example: 'num_active_users localhost 30',
      run(args) {
        const [name] = served(server, args.host)
        return name === undefined ? 0 : server.storage.last.countSince(name, now() - args.days * day)
      },
    }),
  ]
}

function now(): number {
  return Math.floor(Date.now() / 1_000)
}

function served(server: AdminServer, name: string): readonly string[] {
  const prepared = prepareHost(name)
  return prepared !== undefined && server.hosts.includes(prepared) ? [prepared] : []
}

/** Registration counts as activity, whoever is online stays; without mod_last nothing is known, so nobody is old. */
async function oldUsers(
  server: AdminServer,
  hosts: readonly string[],
  days: number,
  except: string | undefined,
): Promise<Jid[]> {
  if (days < 0) throw new CommandError('days must not be negative')
  const kept = keptAddresses(except)
  const before = now() - days * day
  const services = hosts.map((name) => ({ name, last: lastService(server, name) }))
  const old: Jid[] = []
  for (const { name, last } of services) {
    for await (const user of unhurried(server.storage.accounts.list(name))) {
      const jid = makeJid(user, name)
      if (kept.has(jid.text) || isOnline(server, jid)) continue
      const created = (await server.storage.accounts.get(user, name))?.created ?? now()
      const seen = Math.max(created, (await last.get(user))?.seconds ?? 0)
      if (seen <= before) old.push(jid)
    }
  }
  return old
}

/** Whoever is named wrongly would be deleted, so a name that is no account's address is an error. */
function keptAddresses(except: string | undefined): ReadonlySet<string> {
  const texts = (except ?? '').split(';').filter((text) => text.trim() !== '')
  return new Set(
    texts.map((text) => {
      const jid = parseJid(text.trim())
      if (!jid?.isBare || jid.user === '') {
        throw new CommandError(
          `except: '${text}' is not the address of an account, such as alice@example.org`,
        )
      }
      return jid.text
    }),
  )
}

function isOnline(server: AdminServer, jid: Jid): boolean {
  return server.sessions.ofUser(jid.user, jid.host).length > 0
}

async function preview(
  server: AdminServer,
  hosts: readonly string[],
  days: number,
  except: string | undefined,
): Promise<Row[]> {
  const old = await oldUsers(server, hosts, days, except)
  return [[`Would delete ${old.length} users:`], ...old.map((jid) => [jid.text])]
}

async function remove(
  server: AdminServer,
  hosts: readonly string[],
  days: number,
  except: string | undefined,
  caller: Caller,
): Promise<Row[]> {
  const removed = new Set<Jid>()
  const old = await oldUsers(server, hosts, days, except)
  let looked = 0
  try {
    await sideBySide(old, async (jid) => {
      caller.signal.throwIfAborted()
      // It may have come online meanwhile.
      if (!isOnline(server, jid) && (await server.removeAccount(jid.user, jid.host))) removed.add(jid)
      caller.progress(++looked, old.length, jid.text)
    })
  } catch (error) {
    throw endedEarly(error, caller, `${removed.size} of ${old.length} users were deleted`)
  }
  const gone = old.filter((jid) => removed.has(jid))
  return [[`Deleted ${gone.length} users:`], ...gone.map((jid) => [jid.text])]
}
