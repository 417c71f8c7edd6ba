/** Making and removing accounts, one by one and by the file. */
import { randomBytes } from 'node:crypto'
import type { Verdict } from '../../auth/backend.ts'
import {
  type Caller,
  CommandError,
  type CommandResult,
  type CommandSpec,
  defineCommand,
} from '../../extend/command.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Row } from '../control-protocol.ts'
import { csvRecords } from '../csv.ts'
import { unhurried } from '../unhurried.ts'
import { authDeadline, doesNotExist, existingAccount, findAccount, sessionsOf } from './account.ts'
import { file, host, newSecret, newUser, user } from './arguments.ts'

export function registrationCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  return [
    defineCommand({
      name: 'import_users',
      doc: 'Make the accounts of a CSV file: user,host,password',
      category,
      tags: ['accounts'],
      args: { file: file('CSV file without a heading: user,host,password') },
      result: {
        kind: 'list',
        columns: [
          { name: 'result', type: 'string' },
          { name: 'user', type: 'string' },
        ],
      },
      example: 'import_users users.csv',
      run: (args, caller) => importUsers(server, args.file, caller),
    }),
    defineCommand({
      name: 'register',
      doc: 'Register a user; without a name, one is made up',
      category,
      tags: ['accounts'],
      args: {
        user: newUser().optional(),
        host: host('host of the new account'),
        password: newSecret('its password'),
      },
      forms: [
        { names: ['host', 'password'], hostAt: 0 },
        { names: ['user', 'host'], hostAt: 1 },
        { names: ['user', 'host', 'password'] },
      ],
      result: { kind: 'restuple' },
      example: 'register alice localhost secret',
      run: (args, caller) => register(server, args.user ?? randomName(), args.host, args.password, caller),
    }),
    defineCommand({
      name: 'register_identified',
      doc: 'Register a user',
      category,
      tags: ['accounts'],
      args: {
        user: newUser(),
        host: host('host of the new account'),
        password: newSecret('its password'),
      },
      result: { kind: 'restuple' },
      example: 'register_identified alice localhost secret',
      run: (args, caller) => register(server, args.user, args.host, args.password, caller),
    }),
    defineCommand({
      name: 'registered_users',
      doc: 'List all registered users in a host',
      category,
      tags: ['accounts'],
      args: { host: host('host of the accounts') },
      result: { kind: 'list', columns: [{ name: 'user', type: 'string' }] },
      example: 'registered_users localhost',
      run(args) {
        const prepared = prepareHost(args.host)
        const auth = prepared === undefined ? undefined : server.authenticator(prepared)
        return auth ? rows(unhurried(auth.list())) : []
      },
    }),
    defineCommand({
      name: 'unregister',
      doc: 'Unregister a user, with everything that is kept for the account',
      category,
      tags: ['accounts'],
      args: { user: user(), host: host() },
      result: { kind: 'restuple' },
      example: 'unregister alice localhost',
      destroys: 'one',
      async run(args) {
        const account = findAccount(server, args.user, args.host)
        const existed = account !== undefined && (await server.removeAccount(account.user, account.host))
        return existed ? undefined : doesNotExist(args.user, args.host)
      },
      async preview(args, caller) {
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        const sessions = sessionsOf(server, args.user, args.host).length
        const contacts = await server.storage.rosters.count(account.user, account.host)
        const what = `${contacts} contacts and ${sessions} sessions`
        return { ok: true, text: `User ${args.user}@${args.host} would be removed, with ${what}` }
      },
    }),
  ]
}

async function* rows(users: AsyncIterable<string>): AsyncGenerator<Row> {
  for await (const name of users) yield [name]
}

/** 3.4.1's form: three numbers of the time, and 16 random digits. */
function randomName(): string {
  const micros = Date.now() * 1_000
  const parts = [Math.floor(micros / 1e12), Math.floor(micros / 1e6) % 1e6, micros % 1e6]
  return [...parts, randomBytes(8).toString('hex')].join('-')
}

/** What becomes of a new account, in import_users' words. */
type Registered = 'ok' | 'exists' | 'not_allowed' | 'invalid_jid' | 'null_password'

async function tryRegister(
  server: AdminServer,
  name: string,
  hostName: string,
  password: string,
  signal: AbortSignal,
): Promise<Registered> {
  if (password === '') return 'null_password'
  const account = findAccount(server, name, hostName)
  if (!account) {
    const prepared = prepareHost(hostName)
    return prepared !== undefined && !server.hosts.includes(prepared) ? 'not_allowed' : 'invalid_jid'
  }
  const verdict: Verdict = await account.auth.register(
    account.user,
    Buffer.from(password),
    authDeadline(signal),
  )
  if (verdict.ok) {
    await server.hooks.run('register_user', account.host, { user: account.user, host: account.host })
    return 'ok'
  }
  return verdict.reason === 'exists' ? 'exists' : 'not_allowed'
}

async function register(
  server: AdminServer,
  name: string,
  hostName: string,
  password: string,
  caller: Caller,
): Promise<CommandResult> {
  const result = await tryRegister(server, name, hostName, password, caller.signal)
  if (result === 'ok') return { ok: true, text: `User ${name}@${hostName} successfully registered` }
  if (result === 'exists') {
    return { ok: false, text: `User ${name}@${hostName} already registered at node '${server.node}'` }
  }
  return { ok: false, text: `Can't register user ${name}@${hostName} at node '${server.node}': ${result}` }
}

/** So many are registered at the same time; the answers keep the file's order. */
const workers = 10

async function* importUsers(
  server: AdminServer,
  csv: AsyncIterable<string>,
  caller: Caller,
): AsyncGenerator<Row> {
  const running: Promise<Row>[] = []
  let done = 0
  const begun = new Map<string, Promise<Row>>()
  let broken: unknown
  try {
    try {
      for await (const record of csvRecords(csv)) {
        if (running.length >= workers) {
          yield await (running.shift() as Promise<Row>)
          caller.progress(++done, undefined)
        }
        const account = findAccount(server, record[0] ?? '', record[1] ?? '')
        const key = account && `${account.user}@${account.host}`
        // Of several lines about one account the first counts.
        const earlier = key === undefined ? undefined : begun.get(key)
        const row = Promise.resolve(earlier).then(() => importOne(server, record, caller))
        if (key !== undefined) {
          begun.delete(key)
          begun.set(key, row)
          if (begun.size > workers) begun.delete(begun.keys().next().value as string)
        }
        row.catch(() => undefined) // is awaited in its turn
        running.push(row)
      }
    } catch (error) {
      broken = error
    }
    // Also when the file cannot be read on: whoever was registered until there is said to be.
    while (running.length > 0) yield await (running.shift() as Promise<Row>)
    if (broken !== undefined) throw broken
  } finally {
    // Whatever ended it, what was begun is carried out before the answer.
    await Promise.allSettled(running)
  }
}

async function importOne(server: AdminServer, record: readonly string[], caller: Caller): Promise<Row> {
  const [name, hostName, password] = record
  if (record.length !== 3 || name === undefined || hostName === undefined || password === undefined) {
    return ['bad_csv', record.join(',')]
  }
  if (caller.signal.aborted) throw new CommandError('cancelled')
  return [await tryRegister(server, name, hostName, password, caller.signal), name]
}
