/** What a peer may send wrong: each costs him his stream, with the right error, and nobody else anything. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { MiB, peak } from '../harness/memory.ts'
import { root } from '../harness/paths.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child } from '../harness/stanza.ts'
import { Bystanders, linesOf } from './bystanders.ts'

type Stage = 'connected' | 'clear' | 'secure' | 'authenticated-closed' | 'authenticated' | 'bound'
type Part = string | { readonly hex: string } | { readonly repeat: string; readonly times: number }

interface Case {
  readonly name: string
  readonly stage: Stage
  readonly send: readonly Part[]
  /** Several: the specification leaves the choice. */
  readonly error: string | readonly string[]
  readonly extra?: string
}

const folder = `${root}/fixtures/stanzas/stream-errors`
const files = readdirSync(folder).map((name) => ({
  topic: name.replace('.json', ''),
  ...(JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as { about: string; cases: readonly Case[] }),
}))

/** The harness's listeners share these: see fixtures/stanzas/stream-errors/limits.json. */
const limits = {
  pre_auth_max_stanza_size: 1_000,
  pre_auth_max_stanza_elements: 8,
  pre_auth_max_stanza_depth: 4,
  max_stanza_size: 10_000,
  max_stanza_elements: 16,
  max_stanza_depth: 8,
  max_attributes: 8,
  max_name_bytes: 40,
}

let server: Server
let bystanders: Bystanders
let memory = 0

beforeAll(async () => {
  server = await startServer({
    listener: limits,
    config: { hosts: ['localhost', 'other.example'], auth_attempts: 3 },
  })
  await server.must('register_identified', 'mallory', 'localhost', 'pw')
  bystanders = await Bystanders.join(server)
  memory = peak(server)
})
afterEach(() => bystanders.talk())
afterAll(async () => {
  // all of it together, and what a young heap takes anyway
  expect(peak(server) - memory).toBeLessThan(80 * MiB)
  const broken = linesOf(server, 'a session failed')
  expect(await server.stop()).toBe(0)
  expect(broken).toEqual([])
})

const plainAuth = Buffer.from('\0mallory\0pw').toString('base64')

async function at(stage: Stage): Promise<TestClient> {
  const client = await TestClient.connect({ port: server.port })
  if (stage === 'connected') return client
  await client.open()
  if (stage === 'clear') return client
  await client.startTls()
  if (stage === 'secure') return client
  if (stage === 'authenticated-closed') {
    client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plainAuth}</auth>`)
    await client.waitFor('success')
    client.restart()
    return client
  }
  await client.authenticate('mallory', 'pw', 'PLAIN')
  if (stage === 'authenticated') return client
  await client.bind()
  return client
}

function bytes(parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part)
      return 'hex' in part ? Buffer.from(part.hex, 'hex') : Buffer.from(part.repeat.repeat(part.times))
    }),
  )
}

for (const { topic, about, cases } of files) {
  describe(`${topic}: ${about.replace(/[.:].*/, '')}`, () => {
    for (const one of cases) {
      for (const how of ['whole', 'in pieces'] as const) {
        it(`${one.name}, ${one.stage}, ${how}`, async () => {
          const client = await at(one.stage)
          const data = bytes(one.send)
          if (how === 'whole') client.send(data)
          else {
            // every border falls somewhere, also within a character
            for (let i = 0; i < data.length; i += data.length > 300 ? 97 : 1) {
              client.send(data.subarray(i, i + (data.length > 300 ? 97 : 1)))
              await new Promise((resolve) => setImmediate(resolve))
            }
          }
          const error = await client.waitFor(({ xmlns }) => xmlns === 'http://etherx.jabber.org/streams')
          expect([one.error].flat()).toContain(error.children[0]?.name)
          expect(error.children[0]?.xmlns).toBe('urn:ietf:params:xml:ns:xmpp-streams')
          expect(child(error, one.extra ?? 'none', 'urn:xmpp:errors') !== undefined).toBe(
            one.extra !== undefined,
          )
          expect(client.header).toMatchObject({ from: 'localhost', version: '1.0' })
          expect(client.header['id']).toBeTruthy()
          await client.closed()
          expect(client.transcript().match(/^<- .*<\/stream:stream>$/gm)).toHaveLength(1)
          expect(client.inbox).toEqual([])
        })
      }
    }
  })
}

describe('STARTTLS', () => {
  const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

  it("with bytes behind it in the clear ends the stream: they could be anybody's", async () => {
    const client = await at('clear')
    client.send(
      `${starttls}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plainAuth}</auth>`,
    )
    expect((await client.streamError()).condition).toBe('policy-violation')
    await client.closed()
    expect(client.transcript()).not.toContain('<proceed')
  })

  it('with bytes behind it a moment later ends the connection, and none of them is taken for TLS or XML', async () => {
    const client = await at('clear')
    client.send(starttls)
    client.send(`<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>`)
    await client.closed()
    expect(client.inbox.filter(({ name }) => name !== 'proceed' && name !== 'error')).toEqual([])
  })

  it('passes over white space, which says nothing', async () => {
    const client = await at('clear')
    client.send(`${starttls}\n `)
    await client.waitFor('proceed')
    await client.secure()
    await client.open()
    expect(client.mechanisms).toContain('PLAIN')
    client.destroy()
  })

  it('forgets what was said before it', async () => {
    const client = await TestClient.connect({ port: server.port, domain: 'other.example' })
    await client.open(" from='mallory@other.example' xml:lang='it'")
    expect(client.header).toMatchObject({
      from: 'other.example',
      to: 'mallory@other.example',
      'xml:lang': 'it',
    })
    client.send(starttls)
    await client.waitFor('proceed')
    await client.secure()
    client.restart()
    client.send(
      "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
    )
    await client.waitFor('features')
    expect(client.header).toMatchObject({ from: 'localhost', 'xml:lang': 'en' })
    expect(client.header['to']).toBeUndefined()
    client.destroy()
  })

  it('is asked for before a login: encryption-required, and the stream goes on', async () => {
    const client = await at('clear')
    client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plainAuth}</auth>`)
    const failure = await client.waitFor('failure')
    expect(failure.children[0]?.name).toBe('encryption-required')
    await client.startTls()
    await client.authenticate('mallory', 'pw', 'PLAIN')
    await client.close()
  })
})

describe('what is allowed', () => {
  it('white space between stanzas, character references, CDATA, a second version', async () => {
    const client = await at('bound')
    client.send(" \n\t<message to='carol@localhost'><body>&#x1f339;<![CDATA[<&]]></body></message>\n ")
    const heard = await bystanders.carol.waitFor('message')
    expect(child(heard, 'body')?.text).toBe('\u{1f339}<&')
    await client.close()
    const next = await TestClient.connect({ port: server.port })
    next.send(
      "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='LOCALHOST' version='1.10'>",
    )
    await next.waitFor('features')
    expect(next.header).toMatchObject({ version: '1.0', from: 'localhost' })
    next.destroy()
  })
})

describe('many at once', () => {
  it('wrong logins end their connections at auth_attempts; others log in meanwhile', async () => {
    const wrong = Buffer.from('\0mallory\0wrong').toString('base64')
    const flood = Array.from({ length: 10 }, async () => {
      const client = await at('secure')
      client.send(
        `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${wrong}</auth>`.repeat(20),
      )
      expect((await client.streamError()).condition).toBe('policy-violation')
      await client.closed()
      expect(client.inbox.filter(({ name }) => name === 'failure')).toHaveLength(3)
    })
    await bystanders.talk()
    await (await at('bound')).close()
    await Promise.all(flood)
    const failed = linesOf(server, 'login failed').filter((line) => line['condition'] === 'not-authorized')
    expect(failed).toHaveLength(30)
    expect(failed[0]).toMatchObject({
      user: 'mallory',
      host: 'localhost',
      address: '127.0.0.1',
      level: 'warning',
    })
  })

  it('connections of garbage end, each with its line in the log', async () => {
    const before = linesOf(server, 'connection ended').length
    const garbage = Array.from({ length: 50 }, async (_, n) => {
      const client = await TestClient.connect({ port: server.port })
      client.send(Buffer.from(`${'\xff<>&"\0'.repeat(n + 1)}`, 'latin1'))
      await client.closed()
    })
    await Promise.all(garbage)
    expect(linesOf(server, 'connection ended').length - before).toBe(50)
  })
})
