/** What an administrator does now and then: copies of the data, messages that nobody wants any more, a look at the memory. */
import { CommandError, type CommandResult, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { StorageUnavailable } from '../../storage/storage.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import { byText } from '../order.ts'
import { host, integer, serverFile } from './arguments.ts'

const day = 86_400_000
const maxDays = 36_500

export function maintenanceCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  const inFile = (text: string, path: string) => `${text} "${path}" at node '${server.node}'`
  const s2sNumber = (name: string, direction: string) =>
    defineCommand({
      name,
      doc: `Get the number of ${direction} connections with other servers`,
      category,
      tags: ['stats', 's2s'],
      args: {},
      result: { kind: 'integer', name: 's2s_number' },
      example: name,
      run: () => 0,
    })
  return [
    defineCommand({
      name: 'backup',
      doc: 'Copy the database, as it is now, into a file of the server; the copy is checked',
      category,
      tags: ['mnesia', 'server'],
      args: { file: serverFile('file that the server writes, for its owner alone') },
      result: { kind: 'restuple' },
      example: 'backup backup.sqlite',
      ownerOnly: true,
      async run(args) {
        const done = await outcome(server.storage.backup(args.file))
        if (done.ok) return undefined
        return { ok: false, text: `${inFile("Can't store backup in", args.file)}: ${done.problem}` }
      },
    }),
    defineCommand({
      name: 'delete_expired_messages',
      doc: 'Delete the offline messages that have expired',
      category,
      tags: ['purge'],
      args: { host: host('of one host; else of all').optional() },
      forms: [{ names: [] }, { names: ['host'] }],
      result: { kind: 'restuple' },
      example: 'delete_expired_messages',
      async run(args) {
        const removed = await server.storage.offline.deleteExpired(served(server, args.host))
        return { ok: true, text: `Removed ${removed} messages` }
      },
    }),
    defineCommand({
      name: 'delete_old_messages',
      doc: 'Delete the offline messages that have waited for some days',
      category,
      tags: ['purge'],
      args: { host: host('of one host; else of all').optional(), days: integer('whole days, from 0') },
      forms: [{ names: ['days'] }, { names: ['host', 'days'] }],
      result: { kind: 'restuple' },
      example: 'delete_old_messages 31',
      destroys: 'bulk',
      async run(args) {
        const name = served(server, args.host)
        const removed = await server.storage.offline.deleteBefore(name, daysAgo(args.days))
        return { ok: true, text: `Removed ${removed} messages` }
      },
      async preview(args): Promise<CommandResult> {
        const name = served(server, args.host)
        const count = await server.storage.offline.countBefore(name, daysAgo(args.days))
        return { ok: true, text: `${count} messages would be removed` }
      },
    }),
    s2sNumber('incoming_s2s_number', 'incoming'),
    defineCommand({
      name: 'memory',
      doc: 'Tell who has how much memory',
      category,
      tags: ['server', 'stats'],
      args: {},
      result: {
        kind: 'list',
        columns: [
          { name: 'holder', type: 'string' },
          { name: 'count', type: 'integer' },
          { name: 'bytes', type: 'integer' },
        ],
      },
      example: 'memory',
      async run() {
        const holders = await server.memory()
        return holders.map(({ name, count, bytes }) => [name, count ?? null, bytes ?? null])
      },
    }),
    s2sNumber('outgoing_s2s_number', 'outgoing'),
    defineCommand({
      name: 'restore',
      doc: 'Replace the whole database by a backup, which is checked before, and restart',
      category,
      tags: ['mnesia', 'server'],
      args: { file: serverFile('file that the server reads') },
      result: { kind: 'restuple' },
      example: 'restore backup.sqlite',
      destroys: 'bulk',
      ownerOnly: true,
      async run(args) {
        await mustStartAgain(server)
        const done = await outcome(server.storage.restore(args.file))
        if (!done.ok) {
          return { ok: false, text: `${inFile("Can't restore backup from", args.file)}: ${done.problem}` }
        }
        // Whoever is connected has read what was there before. The answer goes out first.
        setImmediate(() => server.restart())
        return undefined
      },
      async preview(args) {
        await mustStartAgain(server)
        const found = await outcome(server.storage.backupContent(args.file))
        if (!found.ok) {
          return { ok: false, text: `${inFile("Can't restore backup from", args.file)}: ${found.problem}` }
        }
        const now = await accountsNow(server)
        const text = [
          `The database would be replaced by "${args.file}", which is sound, and the server would restart:`,
          `    accounts now: ${total(now)}`,
          `    accounts then: ${total(found.value)}`,
          `    sessions that would end: ${server.sessions.count()}`,
        ]
        return { ok: true, text: text.join('\n') }
      },
    }),
  ]
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string }

/** What came out of it, or what went wrong, in words. */
async function outcome<T>(done: Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await done }
  } catch (error) {
    if (error instanceof StorageUnavailable) return { ok: false, problem: error.message }
    throw error
  }
}

async function mustStartAgain(server: AdminServer): Promise<void> {
  const plan = await server.reload({ plan: true })
  if (plan.ok) return
  throw new CommandError(`The server could not start again: ${plan.complaints.join('; ')}`)
}

async function accountsNow(server: AdminServer): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (const name of [...server.hosts].sort(byText)) {
    counts.set(name, await server.storage.accounts.count(name))
  }
  return counts
}

/** `3 (example.org: 1, localhost: 2)` */
function total(counts: ReadonlyMap<string, number>): string {
  const sum = [...counts.values()].reduce((all, count) => all + count, 0)
  const hosts = [...counts].map(([name, count]) => `${name}: ${count}`).join(', ')
  return hosts === '' ? String(sum) : `${sum} (${hosts})`
}

function served(server: AdminServer, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  const prepared = prepareHost(name)
  if (prepared === undefined || !server.hosts.includes(prepared)) throw new CommandError('Unknown domain')
  return prepared
}

function daysAgo(days: number): number {
  if (days < 0 || days > maxDays)
    throw new CommandError(`Wrong days: ${days}. It is a number from 0 to ${maxDays}`)
  return Date.now() - days * day
}
