/**
 * What strangers may try before they have logged in, with very much of everything: each costs them their connection, and the
 * server a little memory (the peak of its process is measured) and nobody else anything.
 */
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { before, until } from '../harness/deadline.ts'
import { costsAtMost as costs, MiB } from '../harness/memory.ts'
import { type Server, startServer } from '../harness/server.ts'
import { Bystanders, linesOf } from './bystanders.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const header =
  "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

let server: Server
let bystanders: Bystanders
const sockets = new Set<Socket>()

beforeAll(async () => {
  server = await startServer({
    listener: { allow_unencrypted_plain_auth: true },
    config: { state_timeout: '30s', max_user_sessions: 5 },
  })
  await server.must('register_identified', 'mallory', 'localhost', 'pw')
  bystanders = await Bystanders.join(server)
})
afterEach(async () => {
  await bystanders.talk()
  for (const socket of sockets) socket.destroy()
  sockets.clear()
})
afterAll(async () => {
  const broken = linesOf(server, 'a session failed')
  expect(await server.stop()).toBe(0)
  expect(broken).toEqual([])
})

/** Runs a story that sends so much, and looks at what it has cost. */
function costsAtMost(bytes: number, story: () => Promise<void>): Promise<void> {
  return costs(server, bytes, async () => {
    await story()
    await bystanders.talk()
  })
}

async function raw(): Promise<Socket> {
  const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true })
  sockets.add(socket)
  socket.on('error', () => undefined)
  await before(
    10_000,
    'a connection',
    new Promise<void>((resolve) => socket.once('connect', () => resolve())),
  )
  return socket
}

/** Sends the piece again and again until so many bytes were sent or the server has closed; gives how many. */
async function flood(socket: Socket, piece: string, bytes: number): Promise<number> {
  const data = Buffer.from(piece)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.resume()
  while (!socket.destroyed && socket.bytesWritten < bytes) {
    if (socket.write(data)) {
      await new Promise((resolve) => setImmediate(resolve))
      continue
    }
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  return socket.bytesWritten
}

/** What the server says until it closes, or until the text is there. */
function heard(socket: Socket, text?: string): Promise<string> {
  let said = ''
  return before(
    20_000,
    () => `${text ?? 'the end'}; it said ${said.slice(-500)}`,
    new Promise<string>((resolve) => {
      socket.on('data', (chunk) => {
        said += chunk.toString()
        if (text !== undefined && said.includes(text)) resolve(said)
      })
      socket.once('close', () => resolve(said))
    }),
  )
}

describe('input without end', () => {
  const repeated = 'a'.repeat(65_536)
  it.each<[string, string, string, string]>([
    ['a start tag', '<a ', repeated, 'not-well-formed'],
    ['a name', '<', repeated, 'not-well-formed'],
    ['attributes', '<a', ` b${'b'.repeat(20)}='c'`.repeat(1_000), 'not-well-formed|policy-violation'],
    ['an attribute', "<a b='", repeated, 'policy-violation'],
    ['text', '<a>', repeated, 'policy-violation'],
    ['elements', '<a>', '<b/>'.repeat(10_000), 'policy-violation'],
    ['nesting', '<a>', '<b>'.repeat(10_000), 'policy-violation'],
    [
      'namespaces',
      '<a',
      Array.from({ length: 1_000 }, (_, n) => ` xmlns:n${n}='x'`).join(''),
      'policy-violation',
    ],
    ['CDATA', '<a><![CDATA[', repeated, 'policy-violation'],
    ['character references', '<a>', '&#x41;'.repeat(10_000), 'policy-violation'],
    ['base64 for SASL', `<auth xmlns='${sasl}' mechanism='PLAIN'>`, repeated, 'policy-violation'],
    ['a comment', '<!--', repeated, 'restricted-xml'],
    ['half a character', '<a>\xc3'.slice(0, 3), '\u00e9'.repeat(30_000), 'policy-violation'],
  ])(
    'of %s ends the connection at the limit: 40 connections of 5 MiB',
    async (_what, start, piece, error) => {
      await costsAtMost(40 * MiB, async () => {
        await Promise.all(
          Array.from({ length: 40 }, async () => {
            const socket = await raw()
            const said = heard(socket)
            socket.write(header + start)
            await flood(socket, piece, 5 * MiB)
            expect(await said).toMatch(
              new RegExp(`<(${error}) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>`),
            )
          }),
        )
      })
    },
  )

  it('of a document type that grows when it is read is refused at its first character', async () => {
    const bomb = `<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a '${'lol'.repeat(100)}'>${Array.from({ length: 9 }, (_, n) => `<!ENTITY b${n} '${`&${n === 0 ? 'a' : `b${n - 1}`};`.repeat(10)}'>`).join('')}]><stream:stream>&b8;`
    await costsAtMost(20 * MiB, async () => {
      const socket = await raw()
      const said = heard(socket)
      socket.write(bomb)
      expect(await said).toContain('<restricted-xml')
    })
  })

  it('of white space is no stanza, costs nothing, and the login still works', async () => {
    await costsAtMost(30 * MiB, async () => {
      const client = await TestClient.connect({ port: server.port })
      await client.open()
      for (let n = 0; n < 64; n++) client.send(Buffer.alloc(262_144, ' '))
      await client.authenticate('mallory', 'pw', 'PLAIN')
      expect(await client.bind('r')).toBe('mallory@localhost/r')
      await client.close()
    })
  })
})

describe('very many', () => {
  it('connections that say half a stanza and then nothing: 2,000 of them hold a little each, and nothing when they are gone', async () => {
    const half = `${header}<auth xmlns='${sasl}' mechanism='PLAIN'>${'A'.repeat(4_000)}`
    // 64 KiB each would be 128 MiB
    await costsAtMost(110 * MiB, async () => {
      for (let n = 0; n < 20; n++) {
        const group = await Promise.all(Array.from({ length: 100 }, () => raw()))
        await Promise.all(
          group.map((socket) => {
            const features = heard(socket, '</stream:features>')
            socket.write(half)
            return features
          }),
        )
      }
      await bystanders.talk()
      const client = await TestClient.login({ port: server.port, user: 'mallory', password: 'pw' })
      await client.close()
      for (const socket of sockets) socket.destroy()
      const connections = async () => /connections\s+(\d+)/.exec(await server.must('memory'))?.[1]
      await until('the connections to be gone', async () => Number(await connections()) <= 2)
    })
  }, 90_000)

  it('TLS handshakes that are begun and left: 300 of them', async () => {
    await costsAtMost(60 * MiB, async () => {
      const hello = Buffer.from('160301020001000001fc0303', 'hex')
      for (let n = 0; n < 300; n++) {
        const socket = connect({ port: server.tlsPort, host: '127.0.0.1' })
        sockets.add(socket)
        socket.on('error', () => undefined)
        socket.write(hello)
      }
      await bystanders.talk()
      const client = await TestClient.login({
        port: server.tlsPort,
        tls: 'direct',
        user: 'mallory',
        password: 'pw',
      })
      await client.close()
    })
  })

  it('streams on one connection: each is one more start, and then there is no more', async () => {
    const client = await TestClient.connect({ port: server.port })
    client.send(header.repeat(1_000))
    expect((await client.streamError()).condition).toMatch(
      /^(restricted-xml|not-well-formed|not-authorized|unsupported-stanza-type|policy-violation)$/,
    )
    await client.closed()
  })

  it('exchanges that are begun and never ended: the attempts are counted', async () => {
    await costsAtMost(20 * MiB, async () => {
      const client = await TestClient.connect({ port: server.port })
      await client.open()
      client.send(
        `<auth xmlns='${sasl}' mechanism='SCRAM-SHA-256'>${Buffer.from('n,,n=mallory,r=x').toString('base64')}</auth><abort xmlns='${sasl}'/>`.repeat(
          1_000,
        ),
      )
      expect((await client.streamError()).condition).toBe('policy-violation')
      expect(client.inbox.filter(({ name }) => name === 'challenge').length).toBeLessThanOrEqual(6)
    })
  })

  it('sessions of one account: 300 binds leave five, and no memory', async () => {
    const account = {
      port: server.port,
      tls: 'none' as const,
      user: 'mallory',
      password: 'pw',
      mechanism: 'PLAIN',
      available: false,
    }
    await costsAtMost(60 * MiB, async () => {
      for (let n = 0; n < 300; n++) await TestClient.login({ ...account, resource: `r${n}` })
    })
    const resources = (await server.must('user_resources', 'mallory', 'localhost')).split('\n')
    expect(resources.sort()).toEqual(['r295', 'r296', 'r297', 'r298', 'r299'])
    await server.must('kick_user', 'mallory', 'localhost')
  }, 120_000)

  it('passwords to check at once wait in a line, off the event loop: everybody else is served before they are through', async () => {
    const order: string[] = []
    const guesses = Array.from({ length: 60 }, async () => {
      const client = await TestClient.connect({ port: server.port })
      await client.open()
      client.send(
        `<auth xmlns='${sasl}' mechanism='PLAIN'>${Buffer.from('\0mallory\0wrong').toString('base64')}</auth>`,
      )
      await client.waitFor('failure', 30_000)
      order.push('guess')
      client.destroy()
    })
    for (let n = 0; n < 5; n++) {
      await bystanders.talk()
      order.push('talk')
    }
    await Promise.all(guesses)
    expect(order.lastIndexOf('talk')).toBeLessThan(order.lastIndexOf('guess'))
  }, 60_000)
})
