/** From the first byte to an open session: what is offered when, what is said of limits, what each state takes (RFC 6120 §4–§7). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { attr, el } from '../../server-core/xml/element.ts'
import { Rig } from '../c2s/rig.ts'
import { type ConnectOptions, TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const right = Buffer.from('\0alice\0pw').toString('base64')

let server: Server
const clients: TestClient[] = []
beforeAll(async () => {
  server = await startServer({
    listener: { max_stanza_size: 100_000, pre_auth_max_stanza_size: 5_000 },
    config: { ping_interval: '4 minutes', auth_password_format: 'plain' },
  })
  await server.must('register_identified', 'alice', 'localhost', 'pw')
})
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

async function connect(options: Omit<ConnectOptions, 'port'> = {}): Promise<TestClient> {
  const port = options.tls === 'direct' ? server.tlsPort : server.port
  const client = await TestClient.connect({ port, ...options })
  clients.push(client)
  return client
}

async function secure(): Promise<TestClient> {
  const client = await connect()
  await client.open()
  await client.startTls()
  return client
}

async function direct(): Promise<TestClient> {
  const client = await connect({ tls: 'direct' })
  await client.open()
  return client
}

async function authenticated(): Promise<TestClient> {
  const client = await secure()
  await client.authenticate('alice', 'pw')
  return client
}

/** Names of features, in order. */
const names = (features: Stanza | undefined) => features?.children.map(({ name }) => name)
const limits = (features: Stanza | undefined) =>
  child(features, 'limits', 'urn:xmpp:stream-limits:0')?.children.map(({ name, text }) => [name, text])
const condition = (stanza: Stanza) =>
  child(stanza, 'error')?.children.find(({ name }) => name !== 'text')?.name

describe('features', () => {
  it('in the clear are starttls alone, where it is required', async () => {
    const client = await connect()
    expect(names(await client.open())).toEqual(['starttls'])
    expect(at(client.features, 'starttls', 'required')).toBeDefined()
  })

  it('behind TLS are those for the login, in order, with the limits before it', async () => {
    for (const [client, bytes] of [
      [await secure(), '5000'],
      [await direct(), '10000'],
    ] as const) {
      expect(names(client.features)).toEqual(['mechanisms', 'sasl-channel-binding', 'limits'])
      expect(client.mechanisms).toEqual([
        'SCRAM-SHA-512-PLUS',
        'SCRAM-SHA-256-PLUS',
        'SCRAM-SHA-1-PLUS',
        'SCRAM-SHA-512',
        'SCRAM-SHA-256',
        'SCRAM-SHA-1',
        'PLAIN',
      ])
      expect(client.bindingTypes).toEqual(['tls-exporter', 'tls-server-end-point'])
      expect(limits(client.features)).toEqual([
        // the listener for direct TLS has the usual one
        ['max-bytes', bytes],
        ['idle-seconds', '240'],
      ])
    }
  })

  it('have no tls-exporter over TLS 1.2', async () => {
    const client = await connect({ tls: 'direct', maxVersion: 'TLSv1.2' })
    await client.open()
    expect(client.bindingTypes).toEqual(['tls-server-end-point'])
  })

  it('behind the login are those of a session, in order, with the limits of one', async () => {
    const client = await authenticated()
    const order = names(client.features) ?? []
    expect(order.slice(0, 4)).toEqual(['limits', 'bind', 'session', 'sm'])
    expect(order.slice(4)).toEqual(['ver', 'sub'])
    expect(at(client.features, 'session', 'optional')).toBeDefined()
    expect(limits(client.features)).toEqual([
      ['max-bytes', '100000'],
      ['idle-seconds', '240'],
    ])
    // nothing to log in with, and no TLS, for a second time
    expect(order).not.toContain('mechanisms')
  })

  it('where TLS is not required stand beside starttls, without PLAIN and without bindings', async () => {
    const other = await startServer({ listener: { starttls_required: false } })
    try {
      await other.must('register_identified', 'alice', 'localhost', 'pw')
      const client = await TestClient.connect({ port: other.port })
      expect(names(await client.open())).toEqual(['starttls', 'mechanisms', 'limits'])
      expect(client.mechanisms).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-1'])
      client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${right}</auth>`)
      expect((await client.waitFor('failure')).children[0]?.name).toBe('encryption-required')
      await client.authenticate('alice', 'pw', 'SCRAM-SHA-256')
      expect(await client.bind('r')).toBe('alice@localhost/r')
      await client.close()
    } finally {
      await other.stop()
    }
  })

  it('are announced limits that hold: the stanza as large as that passes, one more byte does not', async () => {
    const padded = (bytes: number) => {
      const [head, tail] = ["<message to='alice@localhost/r' id='m'><body>", '</body></message>']
      return `${head}${'x'.repeat(bytes - head.length - tail.length)}${tail}`
    }
    const client = await authenticated()
    await client.bind('r')
    client.send(padded(100_000))
    expect(at(await client.waitFor('message'), 'body')?.text.length).toBeGreaterThan(99_000)
    client.send(padded(100_001))
    expect((await client.streamError()).condition).toBe('policy-violation')
    const before = await secure()
    before.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${'='.repeat(5_000)}</auth>`)
    expect((await before.streamError()).condition).toBe('policy-violation')
  })
})

describe('a stream header of ours', () => {
  it('has an id of its own on each start, and the language that the client said, unless that is too long', async () => {
    const client = await connect()
    const ids = new Set<string | undefined>()
    const seen = async (lang: string) => {
      await client.open(` xml:lang='${lang}'`)
      ids.add(client.header['id'])
      return client.header['xml:lang']
    }
    expect(await seen('de-CH')).toBe('de-CH')
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await client.waitFor('proceed')
    await client.secure()
    expect(await seen('x'.repeat(35))).toBe('x'.repeat(35))
    client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${right}</auth>`)
    await client.waitFor('success')
    expect(await seen('x'.repeat(36))).toBe('en')
    expect(ids.size).toBe(3)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{32,36}$/)
  })

  it.each([
    ['1.0', '1.0'],
    ['1.9', '1.0'],
    ['1.10', '1.0'],
    ['2.0', '1.0'],
    ['10.0', '1.0'],
    ['01.00', '1.0'],
  ])('to version %s answers with %s: the lower, by number', async (version, answered) => {
    const client = await connect()
    client.send(
      `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='${version}'>`,
    )
    await client.waitFor('features')
    expect(client.header['version']).toBe(answered)
  })

  it('names the client only if it named itself', async () => {
    const client = await connect()
    await client.open(" from='alice@localhost'")
    expect(client.header['to']).toBe('alice@localhost')
    const other = await connect()
    await other.open()
    expect(other.header['to']).toBeUndefined()
  })

  it('behind the login may be asked for by the own bare address', async () => {
    const client = await secure()
    client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${right}</auth>`)
    await client.waitFor('success')
    await client.open(" from='Alice@localhost'")
    expect(await client.bind('r')).toBe('alice@localhost/r')
  })

  it("gives its language to the client's stanzas that have none", async () => {
    const client = await secure()
    client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${right}</auth>`)
    await client.waitFor('success')
    await client.open(" xml:lang='it'")
    await client.bind('r')
    client.message(client.jid, 'ciao')
    expect((await client.waitFor('message')).attrs['xml:lang']).toBe('it')
  })
})

describe('TLS', () => {
  it('is not negotiated anew: a client that wants to is refused', async () => {
    const client = await connect({ tls: 'direct', maxVersion: 'TLSv1.2' })
    await client.open()
    const refused = new Promise((resolve) => client.tls.once('error', resolve))
    client.tls.renegotiate({}, () => undefined)
    expect(String(await refused)).toMatch(/no renegotiation/)
  })

  it('begun directly is not offered a second time', async () => {
    const client = await direct()
    expect(names(client.features)).not.toContain('starttls')
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    expect((await client.streamError()).condition).toBe('policy-violation')
  })

  it('where it is not offered is refused, with the end of the stream', async () => {
    const other = await startServer({ listener: { starttls: false, starttls_required: false } })
    try {
      const client = await TestClient.connect({ port: other.port })
      expect(names(await client.open())).not.toContain('starttls')
      client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      expect((await client.streamError()).condition).toBe('policy-violation')
      await client.closed()
    } finally {
      await other.stop()
    }
  })
})

describe('a login that is bound to its connection', () => {
  it.each([
    ['tls-exporter', 'TLSv1.3', 'SCRAM-SHA-512-PLUS'],
    ['tls-server-end-point', 'TLSv1.3', 'SCRAM-SHA-256-PLUS'],
    ['tls-server-end-point', 'TLSv1.2', 'SCRAM-SHA-1-PLUS'],
  ] as const)('by %s over %s with %s', async (type, maxVersion, mechanism) => {
    for (const tls of ['starttls', 'direct'] as const) {
      const client = await connect({ tls, maxVersion })
      await client.open()
      if (tls === 'starttls') await client.startTls()
      await client.authenticate('alice', 'pw', mechanism, type)
      expect(await client.bind('r')).toBe('alice@localhost/r')
    }
  })

  it('is refused when it comes from another connection, though the password is right', async () => {
    const [one, other] = [await secure(), await secure()]
    const elsewhere = other.channelBinding('tls-exporter')
    one.channelBinding = () => elsewhere
    const refused = one.authenticate('alice', 'pw', 'SCRAM-SHA-256-PLUS')
    await expect(refused).rejects.toMatchObject({ condition: 'not-authorized' })
  })

  it.each([
    ['y, as if we could not', 'SCRAM-SHA-256', 'y,,n=alice,r=abc'],
    ['a binding without -PLUS', 'SCRAM-SHA-256', 'p=tls-exporter,,n=alice,r=abc'],
    ['-PLUS without a binding', 'SCRAM-SHA-256-PLUS', 'n,,n=alice,r=abc'],
    ['a binding that nobody knows', 'SCRAM-SHA-256-PLUS', 'p=tls-wish,,n=alice,r=abc'],
  ])('%s is refused', async (_what, mechanism, first) => {
    const client = await secure()
    client.send(
      `<auth xmlns='${sasl}' mechanism='${mechanism}'>${Buffer.from(first).toString('base64')}</auth>`,
    )
    expect((await client.waitFor('failure')).children[0]?.name).toBe('not-authorized')
  })
})

describe('before the login', () => {
  it('compression is refused, and the stream goes on', async () => {
    const client = await secure()
    client.send("<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>")
    const failure = await client.waitFor('failure')
    expect([failure.xmlns, failure.children[0]?.name]).toEqual([
      'http://jabber.org/protocol/compress',
      'setup-failed',
    ])
    await client.authenticate('alice', 'pw')
  })

  it.each([
    ['a message', "<message to='bob@localhost'/>", 'not-authorized'],
    ['presence', '<presence/>', 'not-authorized'],
    ['a request', "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", 'not-authorized'],
    [
      'a bind request',
      "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
      'not-authorized',
    ],
    ['an element of nobody', "<x xmlns='y'/>", 'not-authorized'],
    ['starttls', "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", 'policy-violation'],
  ])('in the middle of SASL %s is what it is outside', async (_what, text, expected) => {
    const client = await secure()
    client.send(`<auth xmlns='${sasl}' mechanism='PLAIN'/>`)
    await client.waitFor('challenge')
    client.send(text)
    expect((await client.streamError()).condition).toBe(expected)
    await client.closed()
  })

  it('a request is answered by whoever takes it', async () => {
    const rig = await Rig.start()
    try {
      rig.hooks.add('c2s_unauthenticated_iq', 'localhost', (acc, { iq, address }) =>
        attr(iq, 'id') === 'mine' ? el('iq', { type: 'result', id: 'mine', address }) : acc,
      )
      const client = await TestClient.connect({ port: rig.port, tls: 'none' })
      await client.open()
      client.send("<iq type='get' id='mine'><query xmlns='jabber:iq:register'/></iq>")
      expect((await client.waitFor('iq')).attrs).toMatchObject({ type: 'result', address: '127.0.0.1' })
      client.send("<iq type='get' id='other'><query xmlns='jabber:iq:register'/></iq>")
      expect((await client.streamError()).condition).toBe('not-authorized')
    } finally {
      rig.close()
    }
  })
})

describe('between login and bind', () => {
  it('stream management is refused for now, and the client may bind', async () => {
    const client = await authenticated()
    client.send("<enable xmlns='urn:xmpp:sm:3'/>")
    expect((await client.waitFor('failed')).children[0]?.name).toBe('unexpected-request')
    expect(await client.bind('r')).toBe('alice@localhost/r')
  })

  it.each([
    ['a request without an address', '', 'unexpected-request'],
    ['one to the host', " to='localhost'", 'unexpected-request'],
    ['one to oneself', " to='alice@localhost'", 'unexpected-request'],
  ])('%s is an error, and the client may bind', async (_what, to, expected) => {
    const client = await authenticated()
    client.send(`<iq type='get' id='1'${to}><query xmlns='jabber:iq:roster'/></iq>`)
    expect(condition(await client.waitFor('iq'))).toBe(expected)
    expect(await client.bind('r')).toBe('alice@localhost/r')
  })

  it.each(['bob@localhost', 'elsewhere.example', 'not a jid@@'])(
    'a request to %s ends the stream',
    async (to) => {
      const client = await authenticated()
      client.send(`<iq type='get' id='1' to='${to}'><query xmlns='jabber:iq:roster'/></iq>`)
      expect((await client.streamError()).condition).toBe('not-authorized')
    },
  )
})

describe('a session', () => {
  it('answers the request for one as before RFC 6120, which does nothing', async () => {
    const client = await authenticated()
    await client.bind('r')
    const answer = await client.iq('set', "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")
    expect([answer.attrs['type'], answer.children]).toEqual(['result', []])
  })

  it('is refused with not-allowed where a rule forbids it, and another may be asked for', async () => {
    const rig = await Rig.start()
    try {
      rig.hooks.add('forbidden_session_hook', 'localhost', (_, { jid }) =>
        jid.resource === 'bad' ? stop() : undefined,
      )
      const client = await TestClient.connect({ port: rig.port, tls: 'none' })
      await client.open()
      await client.authenticate('alice', 'pw', 'PLAIN')
      const bad = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bad</resource></bind>"
      expect(condition(await client.iq('set', bad))).toBe('not-allowed')
      expect(await client.bind('good')).toBe('alice@localhost/good')
    } finally {
      rig.close()
    }
  })
})

describe('the end', () => {
  it('of a stream is answered with our closing tag, once, in every state', async () => {
    const stages = [
      async () => {
        const client = await connect()
        await client.open()
        return client
      },
      secure,
      authenticated,
      async () => {
        const client = await authenticated()
        await client.bind()
        return client
      },
    ]
    for (const stage of stages) {
      const client = await stage()
      client.send('</stream:stream>')
      await client.closed()
      expect(client.transcript().match(/<\/stream:stream>/g)).toHaveLength(2)
      expect(client.inbox).toEqual([])
    }
  })

  it('by an error comes once, whatever the client sends behind it', async () => {
    const client = await authenticated()
    await client.bind()
    client.send('<nonsense/><nonsense/></stream:stream><!-- -->\0')
    expect((await client.streamError()).condition).toBe('unsupported-stanza-type')
    await client.closed()
    expect(client.transcript().match(/<stream:error>/g)).toHaveLength(1)
    expect(client.transcript().match(/<- .*<\/stream:stream>/g)).toHaveLength(1)
  })
})
