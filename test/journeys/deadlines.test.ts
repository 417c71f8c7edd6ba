/** Peers that say nothing, read nothing, or never come to an end: each is given up in time, and nobody else waits. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Server, startServer } from '../harness/server.ts'
import { Bystanders, linesOf, logged } from './bystanders.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'

describe('before the session is open', () => {
  let server: Server
  let bystanders: Bystanders
  const clients: TestClient[] = []

  beforeAll(async () => {
    server = await startServer({
      config: {
        state_timeout: '1500ms',
        negotiation_timeout: '3s',
        tls_handshake_timeout: '1s',
        close_timeout: '300ms',
      },
    })
    await server.must('register_identified', 'alice', 'localhost', 'pw')
    bystanders = await Bystanders.join(server)
  })
  afterEach(async () => {
    await bystanders.talk()
    for (const client of clients.splice(0)) client.destroy()
  })
  afterAll(async () => {
    expect(await server.stop()).toBe(0)
  })

  async function connect(): Promise<TestClient> {
    const client = await TestClient.connect({ port: server.port })
    clients.push(client)
    return client
  }

  /** What a client does, and then nothing more. */
  const stories: Readonly<Record<string, (client: TestClient) => Promise<void> | void>> = {
    'nothing at all': () => undefined,
    'white space for ever': (client) => {
      timers.push(setInterval(() => client.send(' '), 200))
    },
    'a stream': async (client) => {
      await client.open()
    },
    'a login that is never finished': async (client) => {
      await client.open()
      await client.startTls()
      client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'/>`)
      await client.waitFor('challenge')
    },
    'a login, and no bind': async (client) => {
      await client.open()
      await client.startTls()
      await client.authenticate('alice', 'pw', 'PLAIN')
    },
    'half a stanza': async (client) => {
      await client.open()
      client.send('<iq type=')
    },
    'logins for ever, each in time': async (client) => {
      await client.open()
      await client.startTls()
      timers.push(setInterval(() => client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'/>`), 300))
    },
  }
  const timers: NodeJS.Timeout[] = []

  it(`end with connection-timeout, and one line in the log each: ${Object.keys(stories).join('; ')}`, async () => {
    const began = performance.now()
    const took: Record<string, number> = {}
    await Promise.all(
      Object.entries(stories).map(async ([name, story]) => {
        const client = await connect()
        await story(client)
        expect([name, (await client.streamError()).condition]).toEqual([name, 'connection-timeout'])
        took[name] = performance.now() - began
        await client.closed()
      }),
    )
    for (const timer of timers.splice(0)) clearInterval(timer)
    // each login began a state anew: what ended them is the time for all states together
    expect(took['logins for ever, each in time']).toBeGreaterThan((took['nothing at all'] ?? 0) + 500)
    const lines = await logged(server, 'connection ended', Object.keys(stories).length - 1)
    expect(lines).toHaveLength(Object.keys(stories).length)
    for (const line of lines) {
      expect(line).toMatchObject({ level: 'info', address: '127.0.0.1' })
      expect(line['reason']).toMatch(/^connection-timeout/)
    }
  })

  it('a handshake that never comes ends the connection', async () => {
    const client = await connect()
    await client.open()
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await client.waitFor('proceed')
    await client.closed()
    const [line] = await logged(server, 'TLS failed')
    expect(line).toMatchObject({ level: 'info', address: '127.0.0.1' })
    expect(line?.['reason']).toMatch(/timed out/)
  })

  it('a hundred at once cost nobody anything', async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => connect()))
    for (const client of all) client.send('<stream:stream ')
    await bystanders.talk()
    await (await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })).close()
    for (const client of all) await client.closed()
  })
})

describe('in a session', () => {
  let server: Server
  let bystanders: Bystanders
  let answering: () => void = () => undefined

  beforeAll(async () => {
    server = await startServer({
      config: {
        ping_interval: '1s',
        ping_timeout: '1s',
        send_timeout: '1s',
        close_timeout: '300ms',
        modules: { mod_roster: {}, mod_offline: {}, mod_disco: {}, mod_ping: {} },
      },
    })
    for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
    bystanders = await Bystanders.join(server)
    const { carol, dave } = bystanders
    // well-behaved clients answer when they are asked whether they are there
    const timer = setInterval(() => {
      for (const client of [carol, dave]) {
        for (const one of client.inbox.splice(0)) {
          if (one.name === 'iq' && one.attrs['type'] === 'get') {
            client.send(`<iq type='result' id='${one.attrs['id']}' to='localhost'/>`)
          } else client.inbox.push(one)
        }
      }
    }, 100)
    answering = () => clearInterval(timer)
  })
  afterEach(() => bystanders.talk())
  afterAll(async () => {
    answering()
    expect(await server.stop()).toBe(0)
  })

  const login = (user: string) =>
    TestClient.login({ port: server.tlsPort, tls: 'direct', user, password: 'pw' })
  const endOf = (jid: string) =>
    until(`the end of ${jid}`, () => linesOf(server, 'connection ended').find((line) => line['jid'] === jid))

  it('whoever answers nothing is given up; whoever answers, also with an error, stays', async () => {
    const [alice, bob] = [await login('alice'), await login('bob')]
    for (const wanted of [1, 2]) {
      const ping = await bob.waitFor('iq')
      expect([wanted, ping.attrs['from'], ping.attrs['type']]).toEqual([wanted, 'localhost', 'get'])
      bob.send(
        `<iq type='error' id='${ping.attrs['id']}' to='localhost'><error type='cancel'>` +
          "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
      )
    }
    await alice.closed()
    expect(await endOf(alice.jid)).toMatchObject({ level: 'info', reason: 'the client does not answer' })
    expect((await bob.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe('result')
    await bob.close()
  })

  it('whoever reads nothing is given up, and what was for him later is kept for the next time', async () => {
    const [alice, bob] = [await login('alice'), await login('bob')]
    bob.pause()
    const body = 'x'.repeat(60_000)
    let sent = 0
    while (!linesOf(server, 'connection ended').some((line) => line['jid'] === bob.jid) && sent < 2_000) {
      for (let n = 0; n < 10; n++, sent++) alice.message('bob@localhost', body)
      await alice.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')
      await bystanders.talk()
    }
    const line = await endOf(bob.jid)
    expect(line['reason']).toMatch(/the client does not read/)
    bob.destroy()
    alice.message('bob@localhost', 'behind it')
    await alice.settled()
    const again = await login('bob')
    await again.waitFor(
      (one) => one.name === 'message' && one.children.some(({ text }) => text === 'behind it'),
    )
    await again.close()
    await alice.close()
  })
})
