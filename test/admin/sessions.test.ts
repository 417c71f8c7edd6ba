/** Commands that act on clients that are connected. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'
import { at, child } from '../harness/stanza.ts'

let server: ServerInPlace
const clients: TestClient[] = []

beforeAll(async () => {
  server = await serverInPlace()
  for (const user of ['alice', 'bob']) await server.ctl(['register', user, 'localhost', 'secret'])
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close().catch(() => undefined)))
})
afterAll(() => server.stop())

async function online(user: string, resource: string, presence = ''): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.port,
    user,
    password: 'secret',
    resource,
    available: false,
  })
  clients.push(client)
  if (presence !== 'none') await client.available(presence)
  return client
}

async function lines(...words: string[]): Promise<string[]> {
  const result = await server.ctl(words)
  expect(result.stderr).toBe('')
  return result.stdout === '' ? [] : result.stdout.replace(/\n$/, '').split('\n')
}

test('kick_session ends one session with conflict and the reason', async () => {
  const phone = await online('alice', 'phone')
  const desk = await online('alice', 'desk')
  expect(
    await server.ctl(['kick_session', 'alice', 'localhost', 'phone', 'Come back "later"']),
  ).toMatchObject({
    code: 0,
    stdout: '',
  })
  expect(await phone.streamError()).toEqual({ condition: 'conflict', text: 'Come back "later"' })
  await phone.closed()
  expect(await lines('user_resources', 'alice', 'localhost')).toEqual(['desk'])
  await server.ctl(['kick_session', 'alice', 'localhost', 'desk', ''])
  expect(await desk.streamError()).toEqual({ condition: 'conflict', text: 'Kicked by administrator' })
})

test('ban_account ends the sessions and refuses the next login; unban_account lets in again', async () => {
  const phone = await online('bob', 'phone')
  await server.ctl(['ban_account', 'bob', 'localhost', 'Sent spam'])
  expect(await phone.streamError()).toEqual({ condition: 'conflict', text: 'Sent spam' })
  await expect(online('bob', 'phone')).rejects.toThrow('account-disabled')
  await server.ctl(['unban_account', 'bob', 'localhost'])
  await online('bob', 'phone')
})

test('lists of sessions are sorted, typed, and complete', async () => {
  await online('bob', 'b', '<show>away</show><status>at\tlunch\nback</status><priority>-3</priority>')
  await online('alice', 'z', '<priority>5</priority>')
  await online('alice', 'a', 'none')
  const rows = (await lines('connected_users_info')).map((line) => line.split('\t'))
  expect(rows.map(([jid, connection, ip, , priority]) => [jid, connection, ip, priority])).toEqual([
    ['alice@localhost/a', 'c2s_tls', '127.0.0.1', 'undefined'],
    ['alice@localhost/z', 'c2s_tls', '127.0.0.1', '5'],
    ['bob@localhost/b', 'c2s_tls', '127.0.0.1', '-3'],
  ])
  expect(rows[0]?.[5]).toMatch(/^gatehouse@/)
  expect(await lines('connected_users')).toEqual([
    'alice@localhost/a',
    'alice@localhost/z',
    'bob@localhost/b',
  ])
  expect(await lines('connected_users_number')).toEqual(['3'])
  expect(await lines('num_resources', 'alice', 'localhost')).toEqual(['2'])
  expect(await lines('resource_num', 'alice', 'localhost', '2')).toEqual(['z'])
  expect((await lines('user_sessions_info', 'bob', 'localhost')).length).toBe(1)
  expect((await lines('connected_users_vhost', 'localhost')).length).toBe(3)
  expect(await lines('connected_users_vhost', 'elsewhere.example')).toEqual([])
  expect(await lines('status_list', 'away')).toEqual(['bob\tlocalhost\tb\t-3\tat\\tlunch\\nback'])
  expect(await lines('status_num', 'away,unavailable')).toEqual(['2'])
  expect(await lines('status_list_host', 'localhost', 'unavailable')).toEqual([
    'alice\tlocalhost\ta\tundefined\t',
  ])
  expect(await lines('status_num', 'available')).toEqual(['1'])
  expect(await lines('status_num_host', 'all', 'all')).toEqual(['3'])
  expect(await lines('stats', 'onlineusers')).toEqual(['3'])
  expect(await lines('stats', 'onlineusersnode')).toEqual(['3'])
  expect(await lines('stats_host', 'onlineusers', 'localhost')).toEqual(['3'])
  const json = await server.ctl([
    'user_sessions_info',
    'alice',
    'localhost',
    '--output',
    'json',
    '--fields',
    'jid,priority',
  ])
  expect(JSON.parse(json.stdout)).toEqual([
    { jid: 'alice@localhost/a', priority: null },
    { jid: 'alice@localhost/z', priority: 5 },
  ])
  const table = await server.ctl(['status_list', 'all'], { columns: 100, environment: { NO_COLOR: '1' } })
  expect(table.stdout).toBe(
    [
      'user   host       resource  priority  status',
      'alice  localhost  a                -',
      'alice  localhost  z                5',
      'bob    localhost  b               -3  at\\tlunch\\nback',
      '',
    ].join('\n'),
  )
})

test('kick_user says how many sessions it ended', async () => {
  const clientsOfAlice = [await online('alice', 'a'), await online('alice', 'b')]
  expect(await lines('kick_user', 'alice', 'localhost')).toEqual(['2'])
  for (const client of clientsOfAlice) expect((await client.streamError()).condition).toBe('conflict')
})

test('send_message_chat reaches each resource of a bare address, and what is offline is stored', async () => {
  const [a, b] = [await online('alice', 'a', '<priority>-1</priority>'), await online('alice', 'b')]
  await server.ctl(['send_message_chat', 'pope@vatican.example', 'alice@localhost', 'Pax  <vobis>\ncum'])
  for (const client of [a, b]) {
    const message = await client.waitFor('message')
    expect(message.attrs).toMatchObject({ from: 'pope@vatican.example', to: client.jid, type: 'chat' })
    expect(message.attrs['id']).toMatch(/^[0-9a-f]{16}$/)
    expect(child(message, 'body')?.text).toBe('Pax  <vobis>\ncum')
  }
  await server.ctl(['send_message_chat', 'pope@vatican.example', 'bob@localhost', 'later'])
  const bob = await online('bob', 'x')
  expect(child(await bob.waitFor('message'), 'body')?.text).toBe('later')
})

test('send_message_headline carries a subject', async () => {
  const client = await online('alice', 'a')
  await server.ctl(['send_message_headline', 'admin@localhost', 'alice@localhost/a', 'News', 'Hot'])
  const message = await client.waitFor('message')
  expect(message.attrs['type']).toBe('headline')
  expect([child(message, 'subject')?.text, child(message, 'body')?.text]).toEqual(['News', 'Hot'])
})

test('send_stanza_c2s speaks for a client', async () => {
  await online('alice', 'a')
  const bob = await online('bob', 'b')
  const send = (stanza: string) => server.ctl(['send_stanza_c2s', 'alice', 'localhost', 'a', stanza])
  expect(await send("<message to='bob@localhost/b'><body>Hi</body></message>")).toMatchObject({
    code: 0,
    stdout: 'Stanza has been sent\n',
  })
  const message = await bob.waitFor('message')
  expect(message.attrs['from']).toBe('alice@localhost/a')
  for (const wrong of [
    '<message>',
    'hello',
    '<stanza/>',
    "<message xmlns='x'/>",
    '<message/><message/>',
    '',
  ]) {
    expect(await send(wrong)).toMatchObject({ code: 1, stdout: 'Stanza is incorrect\n' })
  }
})

test('set_presence is as if the client had sent it', async () => {
  const phone = await online('alice', 'phone')
  const desk = await online('alice', 'desk')
  await desk.settled()
  await server.ctl(['set_presence', 'alice', 'localhost', 'phone', 'available', 'dnd', 'In a meeting', '7'])
  const presence = await desk.waitFor(
    (stanza) => stanza.name === 'presence' && child(stanza, 'show')?.text === 'dnd',
  )
  expect(presence.attrs['from']).toBe('alice@localhost/phone')
  expect(at(presence, 'status')?.text).toBe('In a meeting')
  expect(await lines('status_list', 'dnd')).toEqual(['alice\tlocalhost\tphone\t7\tIn a meeting'])
  await server.ctl(['set_presence', 'alice', 'localhost', 'phone', 'unavailable', '', '', ''])
  await desk.waitFor((stanza) => stanza.name === 'presence' && stanza.attrs['type'] === 'unavailable')
  await phone.settled()
})

test('roster commands push what they change', async () => {
  const client = await online('alice', 'a')
  await client.iq('get', "<query xmlns='jabber:iq:roster'/>")
  await server.ctl(['add_rosteritem', 'alice', 'localhost', 'bob', 'localhost', 'Bob', 'Friends', 'to'])
  const push = await client.waitFor((stanza) => stanza.name === 'iq' && stanza.attrs['type'] === 'set')
  expect(at(push, 'query', 'item')?.attrs).toMatchObject({
    jid: 'bob@localhost',
    subscription: 'to',
    name: 'Bob',
  })
  await server.ctl(['process_rosteritems', 'delete', 'any', 'any', 'alice@localhost', 'any', '--yes'])
  const removal = await client.waitFor((stanza) => stanza.name === 'iq' && stanza.attrs['type'] === 'set')
  expect(at(removal, 'query', 'item')?.attrs).toMatchObject({ jid: 'bob@localhost', subscription: 'remove' })
})

test('unregister ends the sessions of the account', async () => {
  await server.ctl(['register', 'carol', 'localhost', 'secret'])
  const client = await online('carol', 'a')
  expect(await server.ctl(['unregister', 'carol', 'localhost'])).toMatchObject({ code: 0, stdout: '' })
  expect((await client.streamError()).condition).toBe('not-authorized')
})

test.each([
  ['send_message_chat', 'alice@localhost', 'bob@localhost', 'a\u0001b'],
  ['send_message_chat', 'alice@localhost', 'bob@localhost', 'a\uffffb'],
  ['add_rosteritem', 'alice', 'localhost', 'eve', 'localhost', 'E\u0001ve', '', 'both'],
  ['add_rosteritem', 'alice', 'localhost', 'eve', 'localhost', 'Eve', 'F\u0001', 'both'],
  ['set_presence', 'alice', 'localhost', 'phone', 'available', '', 'a\u0001b', '0'],
  ['set_vcard', 'alice', 'localhost', 'FN', 'Al\u0001ice'],
  ['kick_session', 'alice', 'localhost', 'phone', 'a\u0001b'],
  ['private_get', 'alice', 'localhost', 'a', 'n\u0001'],
])('what no stanza can hold is wrong usage: %s', async (...words) => {
  const client = await online('alice', 'phone')
  const result = await server.ctl(words)
  expect(result).toMatchObject({ code: 2, stdout: '' })
  expect(result.stderr).toMatch(/^Error: "Argument '\w+' has a character that no stanza can hold/)
  await client.settled()
})

test('add_rosteritem writes nothing that a client could not have written', async () => {
  const add = (user: string, nick: string, groups: string) =>
    server.ctl(['add_rosteritem', 'alice', 'localhost', user, 'localhost', nick, groups, 'both'])
  const long = 'é'.repeat(512)
  expect(await add('ALICE', 'Me', '')).toMatchObject({
    code: 1,
    stderr: 'Error: "An account cannot be a contact of its own"\n',
  })
  expect(await add('eve', long, '')).toMatchObject({
    code: 1,
    stderr: 'Error: "the name is longer than 1023 bytes"\n',
  })
  expect(await add('eve', 'Eve', `a;${long}`)).toMatchObject({
    code: 1,
    stderr: 'Error: "the group is longer than 1023 bytes"\n',
  })
  expect(await lines('get_roster', 'alice', 'localhost')).toEqual([])
})

test('private_get asks for a name where it wants one', async () => {
  expect(await server.ctl(['private_get', 'alice', 'localhost', 'a b', 'ns'])).toMatchObject({
    code: 1,
    stderr: `Error: "'a b' is not the name of an element"\n`,
  })
})
