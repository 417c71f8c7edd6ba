/** client bytes → recipient bytes: login by every mechanism, then what one client says is what the other hears. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SaslFailure, TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child } from '../harness/stanza.ts'

let server: Server
let port: number
let tlsPort: number

beforeAll(async () => {
  server = await startServer()
  ;({ port, tlsPort } = server)
  for (const user of ['alice', 'bob'])
    await server.must('register_identified', user, 'localhost', `${user}'s pw`)
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

const alice = (more = {}) => TestClient.login({ port, user: 'alice', password: "alice's pw", ...more })
const bob = (more = {}) => TestClient.login({ port, user: 'bob', password: "bob's pw", ...more })

describe('login', () => {
  const mechanisms = [
    'SCRAM-SHA-256-PLUS',
    'SCRAM-SHA-1-PLUS',
    'SCRAM-SHA-256',
    'SCRAM-SHA-1',
    'PLAIN',
  ] as const

  it('is offered strongest first, the same over STARTTLS and direct TLS', async () => {
    for (const tls of ['starttls', 'direct'] as const) {
      const client = await TestClient.connect({ port: tls === 'direct' ? tlsPort : port, tls })
      await client.open()
      if (tls === 'starttls') {
        expect(client.features?.children.map(({ name }) => name)).toEqual(['starttls'])
        expect(at(client.features, 'starttls', 'required')).toBeDefined()
        await client.startTls()
      }
      expect(child(client.features, 'starttls')).toBeUndefined()
      expect(client.mechanisms).toEqual(mechanisms)
      expect(client.features?.children.map(({ name }) => name)).toEqual([
        'mechanisms',
        'sasl-channel-binding',
        'limits',
      ])
      expect(at(client.features, 'limits', 'max-bytes')?.text).toBe('10000')
      expect(at(client.features, 'limits', 'idle-seconds')?.text).toBe('300')
      client.destroy()
    }
  })

  for (const tls of ['starttls', 'direct'] as const) {
    for (const mechanism of mechanisms) {
      it(`by ${mechanism} over ${tls === 'direct' ? 'direct TLS' : 'STARTTLS'}`, async () => {
        const client = await alice({ port: tls === 'direct' ? tlsPort : port, tls, mechanism })
        expect(client.jid).toMatch(/^alice@localhost\/.+/)
        expect(at(client.features, 'limits', 'max-bytes')?.text).toBe('262144')
        await client.close()
      })
    }
  }

  it('gives each stream an id of its own', async () => {
    const ids = new Set<string | undefined>()
    const client = await TestClient.connect({ port })
    await client.open()
    ids.add(client.header['id'])
    await client.startTls()
    ids.add(client.header['id'])
    await client.authenticate('alice', "alice's pw")
    ids.add(client.header['id'])
    expect(ids.size).toBe(3)
    expect(client.header).toMatchObject({ from: 'localhost', version: '1.0' })
    await client.close()
  })

  it.each(mechanisms)('by %s says the same of a wrong password and of nobody', async (mechanism) => {
    for (const user of ['alice', 'nobody']) {
      const client = await TestClient.connect({ port: tlsPort, tls: 'direct' })
      await client.open()
      const failure = await client.authenticate(user, 'wrong', mechanism).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(SaslFailure)
      expect((failure as SaslFailure).condition).toBe('not-authorized')
      // the stream goes on: the next attempt may be right
      await client.authenticate('alice', "alice's pw", mechanism)
      client.destroy()
    }
  })

  it('prepares user names: ALICE is alice', async () => {
    const client = await alice({ user: 'ALICE', mechanism: 'PLAIN' })
    expect(client.jid).toMatch(/^alice@localhost\//)
    await client.close()
  })

  it('leaves one line in the log for each, without a password', async () => {
    const client = await alice({ mechanism: 'PLAIN' })
    await client.close()
    const lines = server.log().split('\n')
    const login = lines.filter((line) => line.includes('"msg":"login"')).map((line) => JSON.parse(line))
    expect(login.at(-1)).toMatchObject({ user: 'alice', host: 'localhost', mechanism: 'PLAIN', secure: true })
    expect(lines.some((line) => line.includes("alice's pw"))).toBe(false)
    const failed = lines
      .filter((line) => line.includes('"msg":"login failed"'))
      .map((line) => JSON.parse(line))
    expect(failed[0]).toMatchObject({ condition: 'not-authorized', address: '127.0.0.1' })
  })
})

describe('what one says is what the other hears', () => {
  let a: TestClient
  let b: TestClient
  beforeAll(async () => {
    a = await alice({ resource: 'balcony' })
    b = await bob({ resource: 'garden' })
  })
  afterAll(async () => {
    await a.close()
    await b.close()
  })

  it('in both directions, to bare and full addresses, in order', async () => {
    for (let n = 0; n < 50; n++) a.message(n % 2 ? 'bob@localhost' : 'bob@localhost/garden', `${n}`)
    const heard: string[] = []
    while (heard.length < 50) heard.push(child(await b.waitFor('message'), 'body')?.text ?? '')
    expect(heard).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`))
    b.message(a.jid, 'reply')
    expect(child(await a.waitFor('message'), 'body')?.text).toBe('reply')
  })

  it('with the full address of the sender, whatever he wrote, and with his id and language', async () => {
    a.send(
      "<message from='alice@localhost' to='bob@localhost' id='m1' xml:lang='it' type='chat'><body>ciao</body></message>",
    )
    const heard = await b.waitFor('message')
    expect(heard.attrs).toEqual({
      from: 'alice@localhost/balcony',
      to: 'bob@localhost',
      id: 'm1',
      'xml:lang': 'it',
      type: 'chat',
    })
  })

  it('with every character that XML can carry', async () => {
    const text = 'quotes \' " <angle> & amp; \t tab \u00e9 \u4e2d \u{1f339} \u{10fffd} ]]> end'
    a.message('bob@localhost', text)
    expect(child(await b.waitFor('message'), 'body')?.text).toBe(text)
  })

  it('in single bytes, and many in one packet', async () => {
    const bytes = Buffer.from("<message to='bob@localhost' type='chat'><body>\u{1f339}</body></message>")
    for (const byte of bytes) {
      a.send(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(child(await b.waitFor('message'), 'body')?.text).toBe('\u{1f339}')
    a.send(Buffer.concat(Array.from({ length: 100 }, () => bytes)))
    for (let n = 0; n < 100; n++) await b.waitFor('message')
  })

  it('with children of namespaces that nobody knows, prefixes and all', async () => {
    a.send(
      "<message to='bob@localhost'><x:data xmlns:x='urn:example:x' x:kind='1'><x:inner/><plain/></x:data></message>",
    )
    const heard = await b.waitFor('message')
    const data = child(heard, 'data', 'urn:example:x')
    expect(data?.attrs).toEqual({ 'x:kind': '1' })
    expect(data?.children.map(({ name, xmlns }) => [name, xmlns])).toEqual([
      ['inner', 'urn:example:x'],
      ['plain', 'jabber:client'],
    ])
  })

  it('also when prefixes are declared on the stream: the other stream has none of them', async () => {
    const declared = " xmlns:c='jabber:client' xmlns:y='urn:example:y'"
    const client = await TestClient.connect({ port: tlsPort, tls: 'direct' })
    await client.open()
    const plain = Buffer.from("\0alice\0alice's pw").toString('base64')
    client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`)
    await client.waitFor('success')
    await client.open(declared)
    await client.bind('prefixed')
    client.send("<c:message to='bob@localhost'><c:body>one</c:body><y:z y:a='1'/></c:message>")
    client.send("<message to='bob@localhost'><y:z y:a='1'/></message>")
    const one = await b.waitFor('message')
    expect([one.xmlns, child(one, 'body', 'jabber:client')?.text]).toEqual(['jabber:client', 'one'])
    expect(child(one, 'z', 'urn:example:y')).toBeDefined()
    expect(child(await b.waitFor('message'), 'z', 'urn:example:y')).toBeDefined()
    await client.close()
  })

  it('or an error comes back, when there is nobody', async () => {
    a.message('nobody@localhost', 'x')
    a.message('bob@elsewhere.example', 'x')
    const [first, second] = [await a.waitFor('message'), await a.waitFor('message')]
    expect([first.attrs['from'], at(first, 'error')?.children[0]?.name]).toEqual([
      'nobody@localhost',
      'service-unavailable',
    ])
    expect([second.attrs['from'], at(second, 'error')?.children[0]?.name]).toEqual([
      'bob@elsewhere.example',
      'remote-server-not-found',
    ])
  })

  it('to himself and to his other resources too', async () => {
    const other = await alice({ resource: 'kitchen' })
    await a.waitFor((stanza) => stanza.name === 'presence' && stanza.attrs['from'] === other.jid)
    a.message(other.jid, 'from the balcony')
    expect(child(await other.waitFor('message'), 'body')?.text).toBe('from the balcony')
    a.message(a.jid, 'a note')
    expect(child(await a.waitFor('message'), 'body')?.text).toBe('a note')
    await other.close()
    const gone = await a.waitFor((stanza) => stanza.attrs['type'] === 'unavailable')
    expect(gone.attrs['from']).toBe('alice@localhost/kitchen')
  })
})
