/** trace: what a user's clients say and hear, while it happens. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { traceCommand, withoutSecrets } from '../../server-core/admin/commands/trace.ts'
import type { Row } from '../../server-core/admin/control-protocol.ts'
import type { Authenticator } from '../../server-core/auth/authenticator.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { bareServer, Wire } from '../harness/admin.ts'
import { TestClient } from '../harness/client.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let server: ServerInPlace

beforeAll(async () => {
  server = await serverInPlace()
  for (const user of ['alice', 'bob']) await server.ctl(['register', user, 'localhost', 'secret'])
})
afterAll(() => server.stop())

const login = (user: string, resource: string) =>
  TestClient.login({ port: server.port, user, password: 'secret', resource })

test('shows logins, stanzas in both directions, and the end, as they happen', async () => {
  const wire = new Wire(server.socket)
  wire.send({ id: 1, method: 'trace', params: { jid: 'alice@localhost', seconds: 60 } })
  // Whoever asks behind it is answered behind its beginning.
  wire.send({ id: 2, method: 'stats', params: { name: 'onlineusers' } })
  await wire.answer(2)
  const alice = await login('alice', 'phone')
  const bob = await login('bob', 'desk')
  bob.message('alice@localhost/phone', 'hello')
  await alice.waitFor('message')
  alice.message('bob@localhost', 'hello yourself')
  await bob.waitFor('message')
  await alice.close()
  const rows: string[][] = []
  while (!rows.some(([, direction]) => direction === 'ended')) {
    const { params } = await wire.next((line) => line['method'] === 'rows')
    rows.push(...(params as { rows: string[][] }).rows)
  }
  const told = rows.map(([, direction, resource, text]) => `${direction}|${resource}|${text}`)
  expect(told[0]).toBe('login||ok SCRAM-SHA-256 127.0.0.1')
  expect(told[1]).toBe('opened|phone|127.0.0.1')
  const whole = told.join('\n')
  expect(whole).toMatch(/to client\|phone\|<message [^>]*from='bob@localhost\/desk'[^>]*><body>hello<\/body>/)
  expect(whole).toMatch(
    /from client\|phone\|<message [^>]*to='bob@localhost'[^>]*><body>hello yourself<\/body>/,
  )
  expect(whole).not.toContain('|desk|')
  for (const [time] of rows) expect(time).toMatch(/^20..-..-..T..:..:..\....Z$/)
  wire.send({ id: 3, method: 'gatehouse.cancel', params: { id: 1 } })
  expect(await wire.answer(3)).toMatchObject({ result: { cancelled: true } })
  expect(await wire.answer(1)).toMatchObject({ error: { message: 'cancelled' } })
  wire.socket.destroy()
  await bob.close()
})

test('of one resource only, and it ends when its time is over', async () => {
  const [phone, desk] = [await login('alice', 'phone'), await login('alice', 'desk')]
  const tracing = server.ctl(['trace', 'alice@localhost/desk', '1'])
  let isOver = false
  void tracing.then(() => {
    isOver = true
  })
  while (!isOver) {
    await desk.iq('get', "<ping xmlns='urn:xmpp:ping'/>")
    await phone.iq('get', "<ping xmlns='urn:xmpp:ping'/>")
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { code, stdout } = await tracing
  expect(code).toBe(0)
  expect(stdout).toContain('\tdesk\t')
  expect(stdout).not.toContain('\tphone\t')
  await phone.close()
  await desk.close()
})

test('leaves nothing behind, shows what was too much as a number, and holds nobody up', async () => {
  const abort = new AbortController()
  const exists = { exists: async () => true } as unknown as Authenticator
  const bare = bareServer({ authenticator: () => exists })
  const caller = { listener: '', login: '', signal: abort.signal, log: bare.log, progress: () => undefined }
  const rows = (await traceCommand(bare).run({ jid: 'alice@localhost' }, caller)) as AsyncGenerator<Row>
  const info = { result: 'ok', user: 'alice', mechanism: 'PLAIN', backend: '', address: '::1' }
  const first = rows.next()
  for (let n = 0; n < 1_500; n++) void bare.hooks.run('c2s_auth_result', 'localhost', info)
  expect(bare.hooks.ownedBy('trace')).toBeGreaterThan(0)
  const told = [(await first).value as Row]
  while (told.at(-1)?.[1] !== 'lost') told.push((await rows.next()).value as Row)
  expect(told).toHaveLength(1_001)
  expect(told.at(-1)?.[3]).toBe('500 were too many to be shown')
  abort.abort()
  expect((await rows.next()).done).toBe(true)
  expect(bare.hooks.ownedBy('trace')).toBe(0)
})

test('what cannot be traced is said', async () => {
  expect((await server.ctl(['trace', 'localhost'])).stdout).toBe('localhost is not the address of a user\n')
  expect((await server.ctl(['trace', 'nobody@localhost'])).stdout).toBe(
    'User nobody@localhost does not exist\n',
  )
  expect((await server.ctl(['trace', 'alice@localhost', '99999'])).code).toBe(2)
})

test.each([
  [
    "<iq type='set'><query xmlns='jabber:iq:register'><username>a</username><password>pw</password></query></iq>",
    "<iq type='set'><query xmlns='jabber:iq:register'><username>a</username><password>[secret]</password></query></iq>",
  ],
  [
    "<x xmlns='jabber:x:data'><field var='muc#roomconfig_roomsecret'><value>pw</value></field><field type='text-private' var='x'><value>pw</value></field><field var='name'><value>n</value></field></x>",
    "<x xmlns='jabber:x:data'><field var='muc#roomconfig_roomsecret'><value>[secret]</value></field><field type='text-private' var='x'><value>[secret]</value></field><field var='name'><value>n</value></field></x>",
  ],
  ["<x><conference password='pw' jid='a@b'/></x>", "<x><conference password='[secret]' jid='a@b'/></x>"],
])('leaves secrets out of %s', (text, expected) => {
  const { element } = parseElement(text)
  expect(element && elementToString(withoutSecrets(element))).toBe(expected)
})
