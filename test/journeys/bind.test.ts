/** Resources: who gets which, and what becomes of the one before (RFC 6120 §7). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

const bindNs = 'urn:ietf:params:xml:ns:xmpp-bind'

const condition = (stanza: Stanza) => child(stanza, 'error')?.children[0]?.name

function suite(name: string, config: Record<string, unknown>, tests: (login: Login) => void): void {
  describe(name, () => {
    let server: Server
    const clients: TestClient[] = []
    beforeAll(async () => {
      server = await startServer({ config })
      for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
    })
    afterEach(async () => {
      for (const client of clients.splice(0)) await client.close().catch(() => client.destroy())
    })
    afterAll(async () => {
      expect(await server.stop()).toBe(0)
    })
    tests({
      server: () => server,
      async authenticated(user = 'alice') {
        const client = await TestClient.connect({ port: server.tlsPort, tls: 'direct' })
        clients.push(client)
        await client.open()
        await client.authenticate(user, 'pw', 'PLAIN')
        return client
      },
      async bound(resource, user = 'alice') {
        const client = await this.authenticated(user)
        await client.bind(resource)
        return client
      },
    })
  })
}

interface Login {
  server(): Server
  authenticated(user?: string): Promise<TestClient>
  bound(resource?: string, user?: string): Promise<TestClient>
}

const request = (resource: string) => `<bind xmlns='${bindNs}'><resource>${resource}</resource></bind>`

suite('a resource', { bind_attempts: 3, max_user_sessions: 3 }, (login) => {
  it('is the one asked for, prepared', async () => {
    const client = await login.authenticated()
    const result = await client.iq('set', request('Balcony \u2168'))
    // resourceprep keeps case and maps compatibility characters
    expect(at(result, 'bind', 'jid')?.text).toBe('alice@localhost/Balcony IX')
  })

  it.each(['none', 'an empty one'])('is random when %s is asked for', async (what) => {
    const jids = new Set<string | undefined>()
    for (let n = 0; n < 2; n++) {
      const client = await login.authenticated()
      const result = await client.iq('set', what === 'none' ? `<bind xmlns='${bindNs}'/>` : request(''))
      jids.add(at(result, 'bind', 'jid')?.text)
    }
    expect(jids.size).toBe(2)
    for (const jid of jids) expect(jid).toMatch(/^alice@localhost\/[0-9a-f]{32}$/)
  })

  it.each([
    ['too long', 'x'.repeat(1_024)],
    ['too long in bytes', 'é'.repeat(512)],
    ['of what may not be in one', 'a\u200eb\ue000'],
  ])('that is %s is refused with bad-request, and another can be asked for', async (_what, resource) => {
    const client = await login.authenticated()
    expect(condition(await client.iq('set', request(resource)))).toBe('bad-request')
    expect(await client.bind('fine')).toBe('alice@localhost/fine')
  })

  it('can be asked for only so often', async () => {
    const client = await login.authenticated()
    for (let n = 0; n < 3; n++) client.send(`<iq type='set' id='${n}'>${request('\ue000')}</iq>`)
    client.send(`<iq type='set' id='3'>${request('fine')}</iq>`)
    expect((await client.streamError()).condition).toBe('policy-violation')
  })

  it('is bound once: the second request is refused', async () => {
    const client = await login.bound('one')
    expect(condition(await client.iq('set', request('two')))).toBe('not-allowed')
    expect((await client.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe(
      'result',
    )
  })

  it('is needed before anything else', async () => {
    const client = await login.authenticated()
    client.send("<message to='localhost' id='m'><body>x</body></message>")
    expect(condition(await client.waitFor('message'))).toBe('unexpected-request')
    const roster = await client.iq('get', "<query xmlns='jabber:iq:roster'/>")
    expect(condition(roster)).toBe('unexpected-request')
    expect(await client.bind('then')).toBe('alice@localhost/then')
    expect(
      (await client.iq('set', "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")).attrs['type'],
    ).toBe('result')
  })

  it('beyond max_user_sessions is refused where the option says so, until another one ends', async () => {
    const other = await startServer({
      config: { max_user_sessions: 2, max_user_sessions_action: 'refuse' },
    })
    try {
      await other.must('register_identified', 'alice', 'localhost', 'pw')
      const account = { port: other.port, user: 'alice', password: 'pw' }
      const [one] = [await TestClient.login(account), await TestClient.login({ ...account, resource: 'two' })]
      const three = await TestClient.connect(account)
      await three.open()
      await three.startTls()
      await three.authenticate('alice', 'pw')
      expect(condition(await three.iq('set', request('three')))).toBe('resource-constraint')
      // to take the place of one's own is no more than before
      expect(await three.bind('two')).toBe('alice@localhost/two')
      await one.close()
      await (await TestClient.login(account)).close()
    } finally {
      await other.stop()
    }
  })

  it('beyond max_user_sessions ends the oldest session, and no other account feels it', async () => {
    const bystander = await login.bound('b', 'bob')
    const all: TestClient[] = []
    for (const name of ['1', '2', '3', '4']) all.push(await login.bound(name))
    expect((await (all[0] as TestClient).streamError()).condition).toBe('conflict')
    for (const client of all.slice(1)) {
      expect((await client.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe(
        'result',
      )
    }
    expect((await bystander.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe(
      'result',
    )
  })
})

suite('a resource that is taken, by default,', {}, (login) => {
  it('goes to the new one: the old one gets conflict, and is gone when the new one hears of it', async () => {
    const old = await login.bound('r')
    const fresh = await login.bound('r')
    const error = await old.streamError()
    expect(error).toEqual({ condition: 'conflict', text: 'Replaced by new connection' })
    await old.closed()
    const bob = await login.bound('b', 'bob')
    bob.message('alice@localhost/r', 'for whom?')
    expect(child(await fresh.waitFor('message'), 'body')?.text).toBe('for whom?')
    expect(await login.server().must('num_resources', 'alice', 'localhost')).toBe('1')
  })

  it('goes to one of many that ask at the same time; the others have conflict', async () => {
    const asking = await Promise.all(Array.from({ length: 5 }, () => login.authenticated()))
    const outcomes = await Promise.all(
      asking.map(async (client) => {
        client.send(`<iq type='set' id='b'>${request('same')}</iq>`)
        await client.waitFor(({ attrs, name }) => attrs['id'] === 'b' || name === 'error')
        return client
      }),
    )
    expect(await login.server().must('num_resources', 'alice', 'localhost')).toBe('1')
    const alive: TestClient[] = []
    for (const client of outcomes) {
      const pong = await client
        .iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')
        .then(() => client)
        .catch(() => undefined)
      if (pong) alive.push(pong)
    }
    expect(alive).toHaveLength(1)
  })

  it('is not taken by another account', async () => {
    const [alice, bob] = [await login.bound('r'), await login.bound('r', 'bob')]
    expect([alice.jid, bob.jid]).toEqual(['alice@localhost/r', 'bob@localhost/r'])
    expect((await alice.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe('result')
  })
})

suite('a resource that is taken, with refuse,', { resource_conflict: 'refuse' }, (login) => {
  it('stays with the old one; the new one may ask for another', async () => {
    const old = await login.bound('r')
    const fresh = await login.authenticated()
    expect(condition(await fresh.iq('set', request('r')))).toBe('conflict')
    expect(await fresh.bind('other')).toBe('alice@localhost/other')
    expect((await old.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe('result')
  })
})

suite('a resource that is taken, with rename,', { resource_conflict: 'rename' }, (login) => {
  it('stays with the old one; the new one gets a random one', async () => {
    const old = await login.bound('r')
    const fresh = await login.bound('r')
    expect(fresh.jid).toMatch(/^alice@localhost\/[0-9a-f]{32}$/)
    expect((await old.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')).attrs['type']).toBe('result')
  })
})
