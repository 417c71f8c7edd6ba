/** What an administrator does now and then: copies of the data, messages that nobody wants any more, a look at the memory. */
import { CommandError, type CommandResult, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { StorageUnavailable } from '../../storage/storage.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
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
        const failure = await problem(server.storage.backup(args.file))
        if (failure === undefined) return undefined
        return { ok: false, text: `${inFile("Can't store backup in", args.file)}: ${failure}` }
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
      run: () => server.memory().map(({ name, count, bytes }) => [name, count ?? null, bytes ?? null]),
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
        const outcome = await server.reload({ plan: true })
        if (!outcome.ok) {
          throw new CommandError(`The server could not start again: ${outcome.complaints.join('; ')}`)
        }
        const failure = await problem(server.storage.restore(args.file))
        if (failure !== undefined) {
          return { ok: false, text: `${inFile("Can't restore backup from", args.file)}: ${failure}` }
        }
        // Whoever is connected has read what was there before. The answer goes out first.
        setImmediate(() => server.restart())
        return undefined
      },
    }),
  ]
}

/** What went wrong, in words; undefined when nothing did. */
async function problem(done: Promise<void>): Promise<string | undefined> {
  try {
    await done
    return undefined
  } catch (error) {
    if (error instanceof StorageUnavailable) return error.message
    throw error
  }
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
