/** Logging in as before SASL (XEP-0078): off by default, over TLS, as little as needed. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

const password = 'Calli0pe & <ü>'
let server: Server

beforeAll(async () => {
  server = await startServer({
    config: {
      hosts: ['localhost', 'hashed.example', 'modern.example', 'down.example'],
      auth_attempts: 3,
      resource_conflict: 'refuse',
      host_config: {
        localhost: { auth_password_format: 'plain', modules: { mod_legacy_auth: null } },
        'hashed.example': { modules: { mod_legacy_auth: null } },
        'down.example': {
          auth_method: 'external',
          extauth_program: '/bin/false',
          modules: { mod_legacy_auth: null },
        },
      },
    },
  })
  for (const host of ['localhost', 'hashed.example']) {
    await server.must('register_identified', 'bill', host, password)
    await server.must('register_identified', 'closed', host, password)
    await server.must('ban_account', 'closed', host, 'for a test')
  }
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

/** A stream of before 1.0, over direct TLS; the server's header has come. */
async function open(domain = 'localhost', version = ''): Promise<TestClient> {
  const client = await TestClient.connect({ port: server.tlsPort, tls: 'direct', domain })
  client.send(
    `<stream:stream to='${domain}' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'${version}>`,
  )
  return client
}

const escaped = password.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const auth = (...fields: [string, string][]) =>
  `<query xmlns='jabber:iq:auth'>${fields.map(([name, value]) => `<${name}>${value}</${name}>`).join('')}</query>`
const bill: [string, string] = ['username', 'bill']
const globe: [string, string] = ['resource', 'globe']
const right: [string, string] = ['password', escaped]

function digest(client: TestClient, secret = password): [string, string] {
  return ['digest', createHash('sha1').update(`${client.header['id']}${secret}`).digest('hex')]
}

/** `result`, or the condition and what else the error holds. */
function outcome(answer: Stanza): string {
  if (answer.attrs['type'] !== 'error') return answer.attrs['type'] ?? ''
  expect(answer.children.map(({ name }) => name)).toEqual(['error'])
  return child(answer, 'error')?.children.find(({ name }) => name !== 'text')?.name ?? ''
}

const names = (stanza: Stanza) => at(stanza, 'query')?.children.map(({ name }) => name)

describe('a stream without a version, or of 0.x', () => {
  it.each([
    ['', undefined],
    [" version='0.9'", '0.9'],
  ])('%s is answered in kind, and gets no features', async (version, answered) => {
    const client = await open('localhost', version)
    const fields = await client.iq('get', auth())
    expect(client.header['version']).toBe(answered)
    expect(client.header['from']).toBe('localhost')
    expect(client.inbox).toEqual([])
    expect(names(fields)).toEqual(['username', 'resource', 'password', 'digest'])
  })

  it('gets the same fields for a user who is not there, and no digest where passwords are hashed', async () => {
    const client = await open()
    expect(names(await client.iq('get', auth(['username', 'nobody'])))).toEqual(
      names(await client.iq('get', auth(bill))),
    )
    expect(names(await (await open('hashed.example')).iq('get', auth()))).toEqual([
      'username',
      'resource',
      'password',
    ])
  })

  it.each(['localhost', 'hashed.example'])(
    'logs in on %s with a password, and has a session',
    async (domain) => {
      const client = await open(domain)
      expect(outcome(await client.iq('set', auth(bill, right, globe)))).toBe('result')
      client.jid = `bill@${domain}/globe`
      await client.available()
      client.message(client.jid, 'from the past')
      expect(at(await client.waitFor('message'), 'body')?.text).toBe('from the past')
      await client.close()
    },
  )

  it('logs in with a digest, in letters of any case', async () => {
    for (const change of [(text: string) => text, (text: string) => text.toUpperCase()]) {
      const client = await open()
      await client.iq('get', auth(bill))
      const [name, text] = digest(client)
      expect(outcome(await client.iq('set', auth(bill, [name, change(text)], globe)))).toBe('result')
      await client.close()
    }
  })

  it.each<[string, (client: TestClient) => [string, string][], string]>([
    ['a wrong password', () => [bill, ['password', 'wrong'], globe], 'not-authorized'],
    ['nobody', () => [['username', 'nobody'], right, globe], 'not-authorized'],
    ['a wrong digest', (client) => [bill, digest(client, 'wrong'), globe], 'not-authorized'],
    ['a digest of nobody', (client) => [['username', 'nobody'], digest(client, ''), globe], 'not-authorized'],
    [
      'a digest of another stream',
      () => [bill, ['digest', '48fc78be9ec8f86d8ce1c39c320c97c21d62334d'], globe],
      'not-authorized',
    ],
    ['a closed account', () => [['username', 'closed'], right, globe], 'not-authorized'],
    [
      'a digest of a closed account',
      (client) => [['username', 'closed'], digest(client), globe],
      'not-authorized',
    ],
    ['no user', () => [right, globe], 'not-acceptable'],
    ['a user that none can have', () => [['username', 'b@d'], right, globe], 'not-acceptable'],
    ['no resource', () => [bill, right], 'not-acceptable'],
    ['an empty resource', () => [bill, right, ['resource', '']], 'not-acceptable'],
    ['no password', () => [bill, globe], 'not-acceptable'],
    ['an empty password', () => [bill, ['password', ''], globe], 'not-acceptable'],
    ['a resource that none can have', () => [bill, right, ['resource', 'a\u200e']], 'bad-request'],
  ])('with %s is told so, without what it has sent, and may try again', async (_what, fields, condition) => {
    const client = await open()
    await client.iq('get', auth())
    expect(outcome(await client.iq('set', auth(...fields(client))))).toBe(condition)
    expect(outcome(await client.iq('set', auth(bill, right, ['resource', 'again'])))).toBe('result')
    await client.close()
  })

  it('a digest is of no use where the password is hashed', async () => {
    const client = await open('hashed.example')
    await client.iq('get', auth())
    expect(outcome(await client.iq('set', auth(bill, digest(client), globe)))).toBe('not-authorized')
  })

  it('a resource that is in use is refused where the option says so, and another can be had', async () => {
    const one = await open()
    expect(outcome(await one.iq('set', auth(bill, right, ['resource', 'one'])))).toBe('result')
    const two = await open()
    expect(outcome(await two.iq('set', auth(bill, right, ['resource', 'one'])))).toBe('conflict')
    expect(outcome(await two.iq('set', auth(bill, right, ['resource', 'two'])))).toBe('result')
    await one.close()
    await two.close()
  })

  it('anything else is not acceptable; it stays', async () => {
    const client = await open()
    expect(outcome(await client.iq('get', "<query xmlns='jabber:iq:roster'/>"))).toBe('not-acceptable')
    client.send("<message to='bill@localhost' id='m'><body>hi</body></message>")
    expect(outcome(await client.waitFor('message'))).toBe('not-acceptable')
    expect(outcome(await client.iq('set', auth(bill, right, globe)))).toBe('result')
    await client.close()
  })

  it('ends with policy-violation after auth_attempts, and each failure is in the log', async () => {
    const client = await open()
    for (let n = 0; n < 3; n++)
      expect(outcome(await client.iq('set', auth(['username', 'eve'], right, globe)))).toBe('not-authorized')
    expect((await client.streamError()).condition).toBe('policy-violation')
    const line =
      /"user":"eve","host":"localhost","mechanism":"jabber:iq:auth","condition":"not-authorized","address":"127.0.0.1","msg":"login failed"/g
    // the log comes by another way than the answers
    await until('three lines in the log', () => server.log().match(line)?.length === 3)
  })

  it('is told that nobody could find out, which is no attempt', async () => {
    const client = await open('down.example')
    for (let n = 0; n < 4; n++) {
      const answer = await client.iq('set', auth(bill, right, globe))
      expect(outcome(answer)).toBe('internal-server-error')
      expect(child(answer, 'error')?.attrs['type']).toBe('wait')
    }
  }, 20_000)

  it('is refused where the module is not loaded, or TLS is required and not there', async () => {
    expect((await (await open('modern.example')).streamError()).condition).toBe('unsupported-version')
    const clear = await TestClient.connect({ port: server.port })
    clear.send(
      "<stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    )
    expect((await clear.streamError()).condition).toBe('unsupported-version')
  })
})

describe('a stream of XMPP 1.0', () => {
  const connect = async (domain = 'localhost') => {
    const client = await TestClient.connect({ port: server.tlsPort, tls: 'direct', domain })
    const features = await client.open()
    return { client, offered: child(features, 'auth', 'http://jabber.org/features/iq-auth') !== undefined }
  }

  it('is told of it where it is loaded, and can use it', async () => {
    expect((await connect('modern.example')).offered).toBe(false)
    const { client, offered } = await connect()
    expect(offered).toBe(true)
    expect(outcome(await client.iq('set', auth(bill, right, ['resource', 'modern'])))).toBe('result')
    await client.close()
  })

  it('cannot fall back on it when SASL has failed', async () => {
    const { client } = await connect()
    client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGJpbGwAd3Jvbmc=</auth>")
    await client.waitFor('failure')
    client.send(`<iq type='get' id='a'>${auth()}</iq>`)
    expect((await client.streamError()).condition).toBe('policy-violation')
  })

  it('is refused where it is not loaded', async () => {
    const { client } = await connect('modern.example')
    client.send(`<iq type='get' id='a'>${auth()}</iq>`)
    expect((await client.streamError()).condition).toBe('not-authorized')
  })
})

describe('without TLS', () => {
  it('where that is let, a digest is taken and a password is not', async () => {
    const open_ = await startServer({
      listener: { starttls_required: false },
      config: { auth_password_format: 'plain', modules: { mod_legacy_auth: null, mod_roster: null } },
    })
    try {
      await open_.must('register_identified', 'bill', 'localhost', password)
      const client = await TestClient.connect({ port: open_.port })
      client.send(
        "<stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
      )
      expect(names(await client.iq('get', auth()))).toEqual(['username', 'resource', 'digest'])
      expect(outcome(await client.iq('set', auth(bill, right, globe)))).toBe('not-acceptable')
      expect(outcome(await client.iq('set', auth(bill, digest(client), globe)))).toBe('result')
      await client.close()
    } finally {
      await open_.stop()
    }
  })
})
