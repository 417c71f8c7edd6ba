/** The server itself: its state, its hosts, its log. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { type LogLevel, logLevelOf, logLevels, setLogLevel } from '../../log.ts'
import type { AdminServer } from '../admin-server.ts'
import { byText } from '../order.ts'
import { kickReason, sessionsOf } from './account.ts'
import { host, user, word } from './arguments.ts'
import { inOrder } from './sessions.ts'
import { kindly, stopArguments } from './stopping.ts'

/** Most silent first. */
const levelNames = Object.keys(logLevels) as LogLevel[]

export function coreCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  return [
    defineCommand({
      name: 'connected_users',
      doc: 'List all established sessions',
      category,
      tags: ['session'],
      args: {},
      result: { kind: 'list', columns: [{ name: 'jid', type: 'string' }] },
      example: 'connected_users',
      run: () => inOrder(server.sessions.all()).map((session) => [session.jid.text]),
    }),
    defineCommand({
      name: 'connected_users_number',
      doc: 'Get the number of established sessions',
      category,
      tags: ['session', 'stats'],
      args: {},
      result: { kind: 'integer', name: 'num_sessions' },
      example: 'connected_users_number',
      run: () => server.sessions.count(),
    }),
    defineCommand({
      name: 'get_loglevel',
      doc: 'Get how much is logged',
      category,
      tags: ['logs', 'server'],
      args: {},
      result: { kind: 'restuple' },
      example: 'get_loglevel',
      run() {
        const level = logLevelOf(server.log)
        const text = `global loglevel is ${levelNames.indexOf(level)}, which means '${level}'`
        return { ok: true, text }
      },
    }),
    defineCommand({
      name: 'kick_user',
      doc: 'End all sessions of a user, and say how many there were',
      category,
      tags: ['session'],
      args: { user: user(), host: host() },
      result: { kind: 'integer', name: 'num_resources' },
      example: 'kick_user alice localhost',
      async run(args) {
        const sessions = sessionsOf(server, args.user, args.host)
        const [first] = sessions
        if (first) {
          const { user, host } = first.jid
          await server.hooks.run('sm_kick_user', host, { user, host })
        }
        for (const session of sessions) session.tell({ type: 'kicked', reason: kickReason('') })
        return sessions.length
      },
    }),
    defineCommand({
      name: 'registered_vhosts',
      doc: 'List all registered vhosts',
      category,
      tags: ['server'],
      args: {},
      result: { kind: 'list', columns: [{ name: 'vhost', type: 'string' }] },
      example: 'registered_vhosts',
      run: () => [...server.hosts].sort(byText).map((name) => [name]),
    }),
    defineCommand({
      name: 'set_loglevel',
      doc: 'Set how much is logged, until the configuration is read again',
      category,
      tags: ['logs', 'server'],
      args: { loglevel: word(levelNames.join(', '), levelNames) },
      result: { kind: 'rescode' },
      example: 'set_loglevel debug',
      run(args) {
        const level = levelNames.find((name) => name === args.loglevel)
        if (!level)
          throw new CommandError(`Wrong level: ${args.loglevel}. Choose one of: ${levelNames.join(', ')}`)
        setLogLevel(server.log, level)
        return undefined
      },
    }),
    defineCommand({
      name: 'status',
      doc: 'Get status of the server',
      category,
      tags: ['server'],
      args: {},
      result: { kind: 'restuple' },
      example: 'status',
      run: () => ({ ok: server.state === 'started', text: statusText(server) }),
    }),
    defineCommand({
      name: 'stop',
      doc: 'Stop the server, at once or after an announcement to everybody who is connected',
      category,
      tags: ['server'],
      args: stopArguments,
      forms: [{ names: [] }, { names: ['delay', 'announcement'] }],
      result: { kind: 'rescode' },
      example: 'stop',
      run: (args, caller) => kindly(server, args, caller, 'stop'),
    }),
    defineCommand({
      name: 'stop_kindly',
      doc: 'Stop the server after an announcement to everybody who is connected',
      category,
      tags: ['server'],
      args: { delay: word('seconds to wait'), announcement: word('what the users are told at once') },
      result: { kind: 'rescode' },
      example: 'stop_kindly 60 "The server will be back in an hour"',
      run: (args, caller) => kindly(server, args, caller, 'stop'),
    }),
    defineCommand({
      name: 'user_resources',
      doc: "List user's connected resources",
      category,
      tags: ['session'],
      args: { user: user(), host: host() },
      result: { kind: 'list', columns: [{ name: 'resource', type: 'string' }] },
      example: 'user_resources alice localhost',
      run: (args) =>
        inOrder(sessionsOf(server, args.user, args.host)).map((session) => [session.jid.resource]),
    }),
  ]
}

function statusText(server: AdminServer): string {
  const uptime = Math.max(0, Math.floor((Date.now() - server.startedAt) / 1_000))
  return [
    `gatehouse node '${server.node}':`,
    `    operating system pid: ${server.pid}`,
    `    status: ${server.state} (of: starting | started | stopping)`,
    `    version: ${server.version} (as gatehouse)`,
    `    uptime: ${uptimeText(uptime)}`,
    `    hosts: ${server.hosts.join(', ')}`,
    `    sessions: ${server.sessions.count()}`,
    `    logs: ${server.logDestination}`,
  ].join('\n')
}

function uptimeText(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0')
  const clock = `${two((seconds % 86_400) / 3_600)}:${two((seconds % 3_600) / 60)}:${two(seconds % 60)}`
  return `${Math.floor(seconds / 86_400)} days ${clock}`
}
