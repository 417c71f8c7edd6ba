/** Submod `sessions`: who is connected, from where, in which state; ending sessions and speaking for them. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { Session } from '../../routing/session.ts'
import { type Element, el, getSubtagCdata } from '../../xml/element.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Column, Row } from '../control-protocol.ts'
import { byTexts } from '../order.ts'
import { kickReason, neededAccount, sessionOf, sessionsOf } from './account.ts'
import { host, integer, resource, user, word } from './arguments.ts'

const sessionColumns: readonly Column[] = [
  { name: 'jid', type: 'string' },
  { name: 'connection', type: 'string' },
  { name: 'ip', type: 'string' },
  { name: 'port', type: 'integer' },
  { name: 'priority', type: 'integer' },
  { name: 'node', type: 'string' },
  { name: 'uptime', type: 'integer' },
]

const statusColumns: readonly Column[] = [
  { name: 'user', type: 'string' },
  { name: 'host', type: 'string' },
  { name: 'resource', type: 'string' },
  { name: 'priority', type: 'integer' },
  { name: 'status', type: 'string' },
]

const statuses = ['available', 'away', 'chat', 'dnd', 'xa', 'unavailable', 'all']
const shows = ['', 'away', 'chat', 'dnd', 'xa']

export function inOrder(sessions: Iterable<Session>): Session[] {
  return [...sessions].sort((a, b) =>
    byTexts([a.jid.bareText, a.jid.resource], [b.jid.bareText, b.jid.resource]),
  )
}

function sessionRow(session: Session): Row {
  const { connection, ip, port, node, since } = session.info
  const uptime = Math.max(0, Math.floor((Date.now() - since) / 1_000))
  return [session.jid.text, connection, ip, port, session.priority ?? null, node, uptime]
}

/** The `show` of the last presence of its own: 'available' without one, 'unavailable' before and after any. */
export function statusOf(session: Session): string {
  if (session.presence === undefined) return 'unavailable'
  const show = getSubtagCdata(session.presence, 'show').trim()
  return shows.includes(show) && show !== '' ? show : 'available'
}

function statusRow(session: Session): Row {
  const { user, host, resource } = session.jid
  const text = session.presence ? getSubtagCdata(session.presence, 'status') : ''
  return [user, host, resource, session.priority ?? null, text]
}

/** Of several, as ejabberd takes them: `away,xa`, also with `;` or `:`. */
function withStatus(sessions: Iterable<Session>, status: string): Session[] {
  const wanted = status.split(/[,;:]/)
  const isAny = wanted.includes('all')
  return [...sessions].filter((session) => isAny || wanted.includes(statusOf(session)))
}

function ofHost(server: AdminServer, name: string): Iterable<Session> {
  if (name === 'all') return server.sessions.all()
  const prepared = prepareHost(name)
  return prepared === undefined ? [] : server.sessions.ofHost(prepared)
}

export function sessionCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'sessions'
  const tags = ['session']
  const status = () =>
    word('available, away, chat, dnd, xa, unavailable, all, or several with commas', statuses)
  const anyHost = () => host("host, or 'all'")
  return [
    defineCommand({
      name: 'connected_users_info',
      doc: 'List all established sessions and their information',
      category,
      tags,
      args: {},
      result: { kind: 'list', columns: sessionColumns },
      example: 'connected_users_info',
      run: () => inOrder(server.sessions.all()).map(sessionRow),
    }),
    defineCommand({
      name: 'connected_users_vhost',
      doc: 'Get the list of established sessions in a vhost',
      category,
      tags,
      args: { host: host('host of the sessions') },
      result: { kind: 'list', columns: sessionColumns },
      example: 'connected_users_vhost localhost',
      run: (args) => inOrder(ofHost(server, args.host)).map(sessionRow),
    }),
    defineCommand({
      name: 'get_presence',
      doc: 'Get the presence of the resource of a user that others would reach',
      category,
      tags,
      args: { user: user(), host: host() },
      result: {
        kind: 'tuple',
        columns: [
          { name: 'jid', type: 'string' },
          { name: 'show', type: 'string' },
          { name: 'status', type: 'string' },
        ],
      },
      example: 'get_presence alice localhost',
      async run(args, caller) {
        const account = await neededAccount(server, args.user, args.host, caller.signal)
        const [best] = sessionsOf(server, account.user, account.host)
          .filter((session) => session.presence !== undefined)
          .sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))
        if (!best?.presence) return [[`${account.user}@${account.host}`, 'unavailable', '']]
        return [[best.jid.text, statusOf(best), getSubtagCdata(best.presence, 'status')]]
      },
    }),
    defineCommand({
      name: 'kick_users',
      doc: 'End all sessions of a host, and say how many there were',
      category,
      tags,
      args: { host: host('host of the sessions') },
      result: { kind: 'integer', name: 'num_sessions' },
      example: 'kick_users localhost',
      destroys: 'bulk',
      run(args) {
        const sessions = [...ofHost(server, args.host)]
        for (const session of sessions) session.tell({ type: 'kicked', reason: kickReason('') })
        return sessions.length
      },
      preview: (args) => [...ofHost(server, args.host)].length,
    }),
    defineCommand({
      name: 'kick_session',
      doc: 'Kick a user session',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        resource: resource(),
        reason: word('what the client is told'),
      },
      result: { kind: 'rescode' },
      example: 'kick_session alice localhost phone "Please come back later"',
      run(args) {
        const session = sessionOf(server, args.user, args.host, args.resource)
        if (!session) throw new CommandError('No active session')
        session.tell({ type: 'kicked', reason: kickReason(args.reason) })
        return undefined
      },
    }),
    defineCommand({
      name: 'num_resources',
      doc: 'Get the number of resources of a user',
      category,
      tags,
      args: { user: user(), host: host() },
      result: { kind: 'integer', name: 'resources' },
      example: 'num_resources alice localhost',
      run: (args) => sessionsOf(server, args.user, args.host).length,
    }),
    defineCommand({
      name: 'resource_num',
      doc: 'Resource string of a session number',
      category,
      tags,
      args: { user: user(), host: host(), num: integer('which of the resources, by name; the first is 1') },
      result: { kind: 'string', name: 'resource' },
      example: 'resource_num alice localhost 1',
      run(args) {
        const session = sessionsOf(server, args.user, args.host)[args.num - 1]
        if (!session) throw new CommandError(`Wrong resource number: ${args.num}`)
        return session.jid.resource
      },
    }),
    defineCommand({
      name: 'set_presence',
      doc: 'Set presence of a session',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        resource: resource(),
        type: word('available, or unavailable', ['available', 'unavailable']),
        show: word('empty, away, chat, dnd, or xa', shows),
        status: word('text that others see; may be empty'),
        priority: word('a number from -128 to 127; empty is 0'),
      },
      result: { kind: 'rescode' },
      example: 'set_presence alice localhost phone available away "At lunch" 1',
      run(args) {
        const presence = presenceOf(args.type, args.show, args.status, args.priority)
        const session = sessionOf(server, args.user, args.host, args.resource)
        if (!session) throw new CommandError('No active session')
        session.tell({ type: 'inject', element: presence })
        return undefined
      },
    }),
    defineCommand({
      name: 'status_list',
      doc: 'List of logged users with this status',
      category,
      tags,
      args: { status: status() },
      result: { kind: 'list', columns: statusColumns },
      example: 'status_list dnd',
      run: (args) => inOrder(withStatus(server.sessions.all(), args.status)).map(statusRow),
    }),
    defineCommand({
      name: 'status_list_host',
      doc: 'List of users logged in host with their statuses',
      category,
      tags,
      args: { host: anyHost(), status: status() },
      result: { kind: 'list', columns: statusColumns },
      example: 'status_list_host localhost dnd',
      run: (args) => inOrder(withStatus(ofHost(server, args.host), args.status)).map(statusRow),
    }),
    defineCommand({
      name: 'status_num',
      doc: 'Number of logged users with this status',
      category,
      tags: ['session', 'stats'],
      args: { status: status() },
      result: { kind: 'integer', name: 'users' },
      example: 'status_num dnd',
      run: (args) => withStatus(server.sessions.all(), args.status).length,
    }),
    defineCommand({
      name: 'status_num_host',
      doc: 'Number of logged users with this status in host',
      category,
      tags: ['session', 'stats'],
      args: { host: anyHost(), status: status() },
      result: { kind: 'integer', name: 'users' },
      example: 'status_num_host localhost dnd',
      run: (args) => withStatus(ofHost(server, args.host), args.status).length,
    }),
    defineCommand({
      name: 'user_sessions_info',
      doc: 'Get information about all sessions of a user',
      category,
      tags,
      args: { user: user(), host: host() },
      result: { kind: 'list', columns: sessionColumns },
      example: 'user_sessions_info alice localhost',
      run: (args) => inOrder(sessionsOf(server, args.user, args.host)).map(sessionRow),
    }),
  ]
}

/** The presence as the client would send it, without empty children; throws what is wrong with the words. */
function presenceOf(type: string, show: string, status: string, priority: string): Element {
  if (!['', 'available', 'unavailable'].includes(type)) {
    throw new CommandError(`Wrong type: ${type}. Choose one of: available, unavailable`)
  }
  if (!shows.includes(show))
    throw new CommandError(`Wrong show: ${show}. Choose one of: away, chat, dnd, xa, or empty`)
  const number = priority === '' ? 0 : Number(priority)
  if (!/^(|[+-]?\d{1,3})$/.test(priority) || number < -128 || number > 127) {
    throw new CommandError(`Wrong priority: ${priority}. It is a number from -128 to 127`)
  }
  return el(
    'presence',
    { xmlns: 'jabber:client', type: type === 'unavailable' ? type : undefined },
    show === '' ? undefined : el('show', {}, show),
    status === '' ? undefined : el('status', {}, status),
    priority === '' ? undefined : el('priority', {}, String(number)),
  )
}
