/** Submod `stats`: counts, always of what is there, never of a counter beside it. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import { host, word } from './arguments.ts'

type Count = (server: AdminServer) => number | Promise<number>

/** A new statistic is one more entry. */
const statistics: Readonly<Record<string, Count>> = {
  onlineusers: (server) => server.sessions.count(),
  onlineusersnode(server) {
    let count = 0
    for (const session of server.sessions.all()) if (session.info.node === server.node) count++
    return count
  },
  async registeredusers(server) {
    const counts = await Promise.all(server.hosts.map((name) => server.storage.accounts.count(name)))
    return counts.reduce((sum, count) => sum + count, 0)
  },
  uptimeseconds: (server) => Math.floor((Date.now() - server.startedAt) / 1_000),
}

const hostStatistics: Readonly<
  Record<string, (server: AdminServer, host: string) => number | Promise<number>>
> = {
  onlineusers: (server, name) => server.sessions.count(name),
  registeredusers: (server, name) => server.storage.accounts.count(name),
}

function named<T>(table: Readonly<Record<string, T>>, name: string): T {
  const entry = Object.hasOwn(table, name) ? table[name] : undefined
  if (entry === undefined) throw new CommandError('Wrong command name.')
  return entry
}

export function statsCommands(server: AdminServer): readonly CommandSpec[] {
  const tags = ['stats']
  return [
    defineCommand({
      name: 'stats',
      doc: `Get statistical value: ${Object.keys(statistics).join(', ')}`,
      category: 'stats',
      tags,
      args: { name: word(`one of ${Object.keys(statistics).join(', ')}`, Object.keys(statistics)) },
      result: { kind: 'integer', name: 'stat' },
      example: 'stats registeredusers',
      run: (args) => named(statistics, args.name)(server),
    }),
    defineCommand({
      name: 'stats_host',
      doc: `Get statistical value for this host: ${Object.keys(hostStatistics).join(', ')}`,
      category: 'stats',
      tags,
      args: {
        name: word(`one of ${Object.keys(hostStatistics).join(', ')}`, Object.keys(hostStatistics)),
        host: host('host that is counted'),
      },
      result: { kind: 'integer', name: 'stat' },
      example: 'stats_host registeredusers localhost',
      run(args) {
        const count = named(hostStatistics, args.name)
        const prepared = prepareHost(args.host)
        return prepared !== undefined && server.hosts.includes(prepared) ? count(server, prepared) : 0
      },
    }),
  ]
}
