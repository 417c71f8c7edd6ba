/**
 * Every command there is: it is documented, its example is a command line that works, and what it gives back has the shape
 * that it announces.
 */
import { writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { buildArguments } from '../../ctl/arguments.ts'
import { type Client, findSockets, openClient } from '../../ctl/client.ts'
import { Printer } from '../../ctl/print.ts'
import { type Output, styleFor } from '../../ctl/terminal.ts'
import { extraFamilies } from '../../server-core/admin/commands/index.ts'
import type {
  CommandDescription,
  CommandReply,
  Description,
  ResultShape,
  Row,
} from '../../server-core/admin/control-protocol.ts'
import { bareServer } from '../harness/admin.ts'
import { TestClient } from '../harness/client.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

/** Examples whose command would leave the server of this test without itself. */
const endsTheServer = ['stop', 'stop_kindly', 'restart']
/** Examples that need a plain password. */
const plain = ['check_password_hash']
/** Examples that are about something that is not there. */
const refused = ['remove_node', 'configure_domain', 'delete_domain']
/** Makes an account that must not be there yet. */
const makes = ['register', 'register_identified']

function exampleWords(example: string): { text: string; literal: boolean }[] {
  return [...example.matchAll(/"([^"]*)"|(\S+)/g)]
    .slice(1)
    .map(([, quoted, word]) => ({ text: quoted ?? word ?? '', literal: false }))
}

let server: ServerInPlace
let client: Client
let description: Description

beforeAll(async () => {
  server = await serverInPlace({ auth_password_format: 'plain' })
  client = await openClient(
    await findSockets({ socket: server.socket }, { cwd: '/', environment: {} }),
    'tester',
  )
  description = await client.describe()
})
afterAll(async () => {
  client.close()
  await server.stop()
})

async function run(command: CommandDescription, line: string): Promise<{ reply: CommandReply; rows: Row[] }> {
  const rows: Row[] = []
  const { params, file } = await buildArguments(command, description.hosts, exampleWords(line), {
    cwd: server.folder.path,
    stdin: (async function* () {})(),
    ask: undefined,
  })
  const reply = await client.call(command.name, params, {
    rows: (portion) => void rows.push(...portion),
    file,
  })
  return { reply, rows }
}

function named(name: string): CommandDescription {
  const command = description.commands.find((candidate) => candidate.name === name)
  if (!command) throw new Error(`no command ${name}`)
  return command
}

function checkShape(shape: ResultShape, reply: CommandReply, rows: readonly Row[]): void {
  switch (shape.kind) {
    case 'rescode':
    case 'restuple':
      expect(reply).toHaveProperty('ok')
      break
    case 'integer':
      expect(reply).toEqual({ value: expect.any(Number) })
      break
    case 'string':
      expect(reply).toEqual({ value: expect.any(String) })
      break
    case 'file':
      expect(reply).toEqual({ bytes: expect.any(Number) })
      break
    case 'list':
    case 'tuple': {
      const all = 'rows' in reply ? reply.rows : rows
      expect('rows' in reply || 'count' in reply).toBe(true)
      for (const row of all) {
        expect(row).toHaveLength(shape.columns.length)
        for (const [i, { type }] of shape.columns.entries()) {
          if (row[i] !== null) expect(typeof row[i]).toBe(type === 'integer' ? 'number' : 'string')
        }
      }
    }
  }
}

/** What stands in the JSON of a result of that shape. */
function jsonSchema(shape: ResultShape): z.ZodType {
  switch (shape.kind) {
    case 'rescode':
    case 'restuple':
      return z.strictObject({ ok: z.boolean(), text: z.string() })
    case 'integer':
      return z.strictObject({ [shape.name]: z.int() })
    case 'string':
      return z.strictObject({ [shape.name]: z.string() })
    case 'file':
      return z.never()
    case 'list':
    case 'tuple': {
      const value = (type: string) => (type === 'integer' ? z.int() : z.string()).nullable()
      const row = z.strictObject(
        Object.fromEntries(shape.columns.map(({ name, type }) => [name, value(type)])),
      )
      if (shape.kind === 'tuple') return row
      const [column, ...more] = shape.columns
      return z.array(column && more.length === 0 ? value(column.type) : row)
    }
  }
}

async function printed(shape: ResultShape, reply: CommandReply, rows: readonly Row[]): Promise<string> {
  let text = ''
  const out: Output = {
    isTerminal: false,
    columns: undefined,
    write: async (part) => {
      text += part.toString()
    },
    settled: async () => undefined,
  }
  const printer = new Printer(out, shape, { format: 'json', style: styleFor(out, {}) })
  await printer.rows(rows)
  await printer.finish(reply)
  return text
}

// The table without a server, so that each command is a test of its own.
const names = [
  ...Object.values(extraFamilies).flatMap((family) => family(bareServer())),
  ...(await import('../../server-core/admin/commands/index.ts')).coreFamilies.flatMap((family) =>
    family(bareServer()),
  ),
]
  .map(({ name }) => name)
  .sort((a, b) => (a < b ? -1 : 1))

test('the table has every command once', () => {
  expect(new Set(names).size).toBe(names.length)
  expect(description.commands.map(({ name }) => name)).toEqual(expect.arrayContaining(names))
})

/** name(arguments) → result, and the tags: what scripts and habits of mongooseimctl 3.4.1 rely on. */
const extras: Readonly<Record<string, string>> = {
  accounts: `
    ban_account(user, host, reason) restuple #accounts
    change_password(user, host, newpass) restuple #accounts
    check_account(user, host) restuple #accounts
    check_password(user, host, password) restuple #accounts
    check_password_hash(user, host, passwordhash, hashmethod) restuple #accounts
    delete_old_users(days) list #accounts #purge
    delete_old_users_vhost(host, days) list #accounts #purge
    num_active_users(host, days) integer #accounts #stats`,
  gdpr: `
    retrieve_personal_data(username, domain, path) file #gdpr`,
  last: `
    set_last(user, host, timestamp, status) restuple #last`,
  node: `
    get_cookie() string #erlang
    load_config(file) restuple #server
    remove_node(node) rescode #erlang`,
  private: `
    private_get(user, host, element, ns) string #private
    private_set(user, host, element) restuple #private`,
  roster: `
    add_rosteritem(localuser, localserver, user, server, nick, group, subs) restuple #roster
    delete_rosteritem(localuser, localserver, user, server) restuple #roster
    get_roster(user, host) list #roster
    process_rosteritems(action, subs, asks, users, contacts) list #roster
    push_roster(file, user, host) rescode #roster
    push_roster_all(file) rescode #roster
    push_roster_alltoall(host, group) rescode #roster`,
  sessions: `
    connected_users_info() list #session
    connected_users_vhost(host) list #session
    kick_session(user, host, resource, reason) rescode #session
    num_resources(user, host) integer #session
    resource_num(user, host, num) string #session
    set_presence(user, host, resource, type, show, status, priority) rescode #session
    status_list(status) list #session
    status_list_host(host, status) list #session
    status_num(status) integer #session #stats
    status_num_host(host, status) integer #session #stats
    user_sessions_info(user, host) list #session`,
  stanza: `
    send_message_chat(from, to, body) restuple #stanza
    send_message_headline(from, to, subject, body) restuple #stanza
    send_stanza_c2s(user, host, resource, stanza) restuple #stanza`,
  stats: `
    stats(name) integer #stats
    stats_host(name, host) integer #stats`,
  vcard: `
    get_vcard(user, host, name) list #vcard
    get_vcard2(user, host, name, subname) list #vcard
    get_vcard2_multi(user, host, name, subname) list #vcard
    set_vcard(user, host, name, content) rescode #vcard
    set_vcard2(user, host, name, subname, content) rescode #vcard
    set_vcard2_multi(user, host, name, subname, contents) rescode #vcard`,
}

test.each(Object.entries(extras))('the submod %s is the one that administrators know', (submod, lines) => {
  const wanted = lines.trim().split(/\n\s*/)
  const family = description.commands.filter(({ category }) => category === submod)
  const have = family.map(({ name, forms, result, tags }) => {
    const longest = forms.reduce((a, b) => (b.names.length > a.names.length ? b : a))
    return `${name}(${longest.names.join(', ')}) ${result.kind} ${tags.map((tag) => `#${tag}`).join(' ')}`
  })
  expect(have).toEqual(expect.arrayContaining(wanted))
})

test('there are 44 of them', () => {
  expect(Object.values(extras).flatMap((lines) => lines.trim().split('\n'))).toHaveLength(44)
})

describe.each(names)('%s', (name) => {
  test('says what it does, in one line, and what its arguments are', () => {
    const command = named(name)
    expect(command.doc).toMatch(/^[A-Z][^\n]*[^.\n]$/)
    expect(command.tags.length).toBeGreaterThan(0)
    expect(command.example.split(' ')[0]).toBe(name)
    for (const arg of command.args) {
      expect(arg.doc, arg.name).not.toBe('')
      // The record of a call relies on it.
      if (/pass|secret|token|credential|proof/i.test(arg.name)) expect(arg.secret, arg.name).toBe(true)
    }
    if (command.destroys !== undefined) expect(command.preview, 'it has a --dry-run').toBe(true)
    for (const form of command.forms) {
      expect(command.args.map((arg) => arg.name)).toEqual(expect.arrayContaining([...form.names]))
    }
  })
})

describe('every example', () => {
  let phone: TestClient

  beforeEach(async () => {
    writeFileSync(server.folder.file('users.csv'), 'zoe,localhost,pw\n')
    writeFileSync(server.folder.file('roster.txt'), '[{"bob", "localhost", "workers", "Bob"}].\n')
    await server.ctl(['unregister', 'alice', 'localhost'])
    await server.ctl(['register', 'alice', 'localhost', 'secret'])
    await server.ctl(['add_rosteritem', 'alice', 'localhost', 'bob', 'example.org', 'Bob', '', 'both'])
    phone = await TestClient.login({
      port: server.port,
      user: 'alice',
      password: 'secret',
      resource: 'phone',
    })
  })
  afterEach(() => phone.destroy())

  test.each(names.filter((name) => ![...endsTheServer, ...refused].includes(name)))(
    'of %s works and has the shape',
    async (name) => {
      if (makes.includes(name)) await server.ctl(['unregister', 'alice', 'localhost'])
      if (name.startsWith('get_vcard')) {
        await server.ctl(['set_vcard', 'alice', 'localhost', 'NICKNAME', 'Al'])
        await server.ctl(['set_vcard2', 'alice', 'localhost', 'N', 'FAMILY', 'Liddell'])
      }
      if (name === 'restore') await server.ctl(['backup', 'backup.sqlite'])
      if (name === 'unban_account') await server.ctl(['ban_account', 'alice', 'localhost', 'x'])
      const command = named(name)
      const { reply, rows } = await run(command, command.example)
      checkShape(command.result, reply, rows)
      const json = await printed(command.result, reply, rows)
      if (command.result.kind === 'file') expect(json).toBe('')
      else jsonSchema(command.result).parse(JSON.parse(json))
      if ('ok' in reply) expect(reply.ok, JSON.stringify(reply)).toBe(true)
      expect(plain.every((known) => names.includes(known))).toBe(true)
    },
  )
})

test('stop answers first, and then the server is gone', async () => {
  const own = await serverInPlace()
  const result = await own.ctl(['stop'])
  expect(result).toEqual({ code: 0, stdout: '', stderr: '' })
  const gone = await own.ctl(['stopped', '--timeout', '10'])
  expect(gone.code).toBe(0)
  const status = await own.ctl(['status'])
  expect(status.code).toBe(3)
  expect(status.stderr).toBe(
    `No server answers on ${own.socket} (--socket). Start one with 'gatehouse', or say where it is with --socket or --server.\n`,
  )
  await own.stop()
})
