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

  async function connect(tls: 'starttls' | 'direct' = 'starttls'): Promise<TestClient> {
    const client = await TestClient.connect({ port: tls === 'direct' ? server.tlsPort : server.port, tls })
    clients.push(client)
    return client
  }

  it.each<[string, () => Promise<TestClient>]>([
    ['nothing at all', () => connect()],
    ['white space for ever', () => connect()],
    [
      'a stream, and nothing else',
      async () => {
        const client = await connect()
        await client.open()
        return client
      },
    ],
    [
      'a login that is never finished',
      async () => {
        const client = await connect('direct')
        await client.open()
        client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'/>`)
        await client.waitFor('challenge')
        return client
      },
    ],
    [
      'a login, and no bind',
      async () => {
        const client = await connect('direct')
        await client.open()
        await client.authenticate('alice', 'pw', 'PLAIN')
        return client
      },
    ],
    [
      'half a stanza',
      async () => {
        const client = await connect('direct')
        await client.open()
        client.send('<iq type=')
        return client
      },
    ],
  ])('%s ends with connection-timeout, and one line in the log', async (what, reach) => {
    const before = linesOf(server, 'connection ended').length
    const client = await reach()
    const dribble = setInterval(() => what.startsWith('white') && client.send(' '), 200)
    expect((await client.streamError()).condition).toBe('connection-timeout')
    await client.closed()
    clearInterval(dribble)
    const lines = await until('the log', () => {
      const all = linesOf(server, 'connection ended').slice(before)
      return all.length > 0 && all
    })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ level: 'info', address: '127.0.0.1' })
    expect(lines[0]?.['reason']).toMatch(/^connection-timeout/)
  })

  it('logins for ever end with connection-timeout, though each step is in time', async () => {
    const client = await connect('direct')
    await client.open()
    const began = performance.now()
    const again = setInterval(() => client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'/>`), 300)
    expect((await client.streamError()).condition).toBe('connection-timeout')
    clearInterval(again)
    // not by the time for one state, which each of them began anew
    expect(performance.now() - began).toBeGreaterThan(2_000)
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
    for (const wanted of [1, 2, 3]) {
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
