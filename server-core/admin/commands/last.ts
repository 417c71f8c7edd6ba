/** Submod `last`: when accounts were last seen. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { LastService } from '../../extend/provided.ts'
import type { AdminServer } from '../admin-server.ts'
import { doesNotExist, existingAccount, neededAccount, sessionsOf } from './account.ts'
import { host, integer, user, word } from './arguments.ts'

export function lastService(server: AdminServer, name: string): LastService {
  const service = server.provided(name, 'last')
  if (!service) throw new CommandError(`Module mod_last is not loaded on host ${name}`)
  return service
}

export function dateText(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z')
}

/** With microseconds, as ejabberd has it. */
function nowText(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1_000)
  const rest = String(micros % 1_000_000).padStart(6, '0')
  return dateText(Math.floor(micros / 1_000_000)).replace('Z', `.${rest}Z`)
}

/** ejabberd's words, which scripts look for. */
const neverSeen = "Registered but didn't login"

/** The last second of the year 9999: dates have four digits. */
const latest = 253_402_300_799

export function lastCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'last'
  const tags = ['last']
  return [
    defineCommand({
      name: 'get_last',
      doc: 'Get when an account was last seen, and what it said then',
      category,
      tags,
      args: { user: user(), host: host() },
      result: {
        kind: 'tuple',
        columns: [
          { name: 'timestamp', type: 'string' },
          { name: 'status', type: 'string' },
        ],
      },
      example: 'get_last alice localhost',
      async run(args, caller) {
        const account = await neededAccount(server, args.user, args.host, caller.signal)
        if (sessionsOf(server, args.user, args.host).length > 0) return [[nowText(), 'ONLINE']]
        const last = await lastService(server, account.host).get(account.user)
        if (last) return [[dateText(last.seconds), last.status]]
        const record = await server.storage.accounts.get(account.user, account.host)
        if (!record) throw new CommandError(`User ${args.user}@${args.host} has never been seen`)
        return [[dateText(record.created), neverSeen]]
      },
    }),
    defineCommand({
      name: 'get_offline_count',
      doc: 'Get the number of messages that wait for a user',
      category,
      tags: ['offline'],
      args: { user: user(), host: host() },
      result: { kind: 'integer', name: 'value' },
      example: 'get_offline_count alice localhost',
      async run(args, caller) {
        const account = await neededAccount(server, args.user, args.host, caller.signal)
        return server.storage.offline.count(account.user, account.host)
      },
    }),
    defineCommand({
      name: 'set_last',
      doc: 'Set when an account was last seen',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        timestamp: integer('Unix time in seconds'),
        status: word('what it said then; may be empty'),
      },
      result: { kind: 'restuple' },
      example: 'set_last alice localhost 1500045311 "Gone fishing"',
      async run(args, caller) {
        const { timestamp, status } = args
        if (timestamp < 0 || timestamp > latest) {
          throw new CommandError(
            `Wrong timestamp: ${timestamp}. It is a number of seconds since 1970, from 0 to ${latest}`,
          )
        }
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        await lastService(server, account.host).set(account.user, { seconds: timestamp, status })
        const who = `user ${args.user}@${args.host}`
        return { ok: true, text: `Last activity for ${who} is set as ${timestamp} with status ${status}` }
      },
    }),
  ]
}
