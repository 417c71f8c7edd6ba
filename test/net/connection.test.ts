import { type AddressInfo, createServer, type Socket, connect as tcpConnect } from 'node:net'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../server-core/log.ts'
import { Connection, type ConnectionLimits } from '../../server-core/net/connection.ts'
import { type Certificate, loadCertificate } from '../../server-core/net/tls.ts'
import { before as inTime, until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let certificate: Certificate
beforeAll(async () => {
  folder = temporaryFolder('conn')
  certificate = await loadCertificate(
    'localhost',
    { certfiles: [], cafiles: [] },
    folder.path,
    silentLogger(),
  )
})
afterAll(() => folder.remove())

const limits: ConnectionLimits = {
  sendTimeout: 300,
  maxOutputBytes: 1_000_000,
  closeTimeout: 300,
  tlsHandshakeTimeout: 300,
}

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

interface Pair {
  readonly connection: Connection
  readonly client: Socket
  /** What the connection has got. */
  readonly received: Buffer[]
  /** What the client has got; it reads only when told so. */
  readonly heard: Buffer[]
  /** The reason of the end. */
  readonly closed: Promise<string | undefined>
}

async function pair(more: Partial<ConnectionLimits> = {}): Promise<Pair> {
  const received: Buffer[] = []
  const heard: Buffer[] = []
  const server = createServer({ noDelay: true })
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = tcpConnect((server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => undefined)
  const connection = new Connection(await accepted, { ...limits, ...more })
  server.close()
  const closed = new Promise<string | undefined>((resolve) => {
    connection.handle({ onData: (chunk) => void received.push(chunk), onClose: resolve })
  })
  ends.push(
    () => client.destroy(),
    () => connection.destroy('the test is over'),
  )
  return { connection, client, received, heard, closed }
}

/** The same after a handshake. */
async function securePair(
  more: Partial<ConnectionLimits> = {},
): Promise<Pair & { readonly client: TLSSocket }> {
  const plain = await pair(more)
  const secured = plain.connection.startTls({
    secureContext: certificate.context,
    forName: () => undefined,
    alpn: ['xmpp-client'],
    requestCert: false,
  })
  const client = tlsConnect({ socket: plain.client, servername: 'localhost', rejectUnauthorized: false })
  client.on('error', () => undefined)
  await secured
  return { ...plain, client }
}

const soon = <T>(what: string, promise: Promise<T>): Promise<T> => inTime(5_000, what, promise)

function listen({ client, heard }: Pair): void {
  client.on('data', (chunk) => heard.push(chunk))
}

for (const [name, make] of [
  ['in the clear', pair],
  ['over TLS', securePair],
] as const) {
  describe(name, () => {
    it('carries bytes both ways', async () => {
      const both = await make()
      listen(both)
      both.client.write('hello')
      both.connection.write('wel')
      both.connection.write('come')
      await until(
        'both',
        () => Buffer.concat(both.heard).toString() === 'welcome' && both.received.length > 0,
      )
      expect(Buffer.concat(both.received).toString()).toBe('hello')
    })

    it('sends what was written in one turn in one piece', async () => {
      const both = await make()
      listen(both)
      for (let n = 0; n < 100; n++) both.connection.write('x')
      await until('it', () => both.heard.length > 0)
      expect(both.heard.map((chunk) => chunk.length)).toEqual([100])
    })

    it('carries more than the buffers hold, in order, when the peer reads', async () => {
      const both = await make({ maxOutputBytes: 50_000_000 })
      const text = Array.from({ length: 500_000 }, (_, n) => `${n} é`).join()
      both.connection.write(text)
      both.connection.write('end')
      listen(both)
      await until('all of it', () => Buffer.concat(both.heard).length === Buffer.byteLength(text) + 3)
      expect(Buffer.concat(both.heard).toString()).toBe(`${text}end`)
    })

    it('ends in peace: what was written arrives, then both have closed', async () => {
      const both = await make()
      listen(both)
      both.connection.write('bye')
      both.connection.end()
      expect(await soon('the end', both.closed)).toBeUndefined()
      expect(Buffer.concat(both.heard).toString()).toBe('bye')
      expect(both.connection.closed).toBe(true)
    })

    it('ends when the peer goes', async () => {
      const both = await make()
      both.client.end()
      expect(await soon('the end', both.closed)).toBeUndefined()
    })

    it('does not wait for a peer that does not close', async () => {
      const both = await make()
      both.client.pause()
      both.connection.write('bye')
      both.connection.end()
      expect(await soon('the end', both.closed)).toBe('the client does not close')
    })

    it('gives up a peer that does not read', async () => {
      const both = await make({ maxOutputBytes: 50_000_000 })
      both.client.pause()
      both.connection.write('x'.repeat(20_000_000))
      expect(await soon('the end', both.closed)).toBe('the client does not read')
    })

    it('gives up a peer that does not read, while it closes', async () => {
      const both = await make({ maxOutputBytes: 50_000_000, sendTimeout: 60_000 })
      both.client.pause()
      both.connection.write('x'.repeat(20_000_000))
      both.connection.end()
      expect(await soon('the end', both.closed)).toBe('the client does not close')
    })

    it('keeps a peer that reads slowly, as long as there is progress', async () => {
      const both = await make({ maxOutputBytes: 50_000_000, sendTimeout: 3_000 })
      both.client.pause()
      both.connection.write('x'.repeat(6_000_000))
      let got = 0
      both.client.on('data', (chunk) => {
        got += chunk.length
      })
      both.client.pause()
      // every time it reads for a moment, and then not for most of the send timeout
      for (let n = 0; n < 3; n++) {
        await new Promise((resolve) => setTimeout(resolve, 1_800))
        both.client.resume()
        await new Promise((resolve) => setTimeout(resolve, 50))
        both.client.pause()
      }
      expect(both.connection.closed).toBe(false)
      both.client.resume()
      await until('all of it', () => got === 6_000_000)
    })

    it('gives up a peer for whom too much waits', async () => {
      const both = await make()
      both.client.pause()
      for (let n = 0; n < 200 && !both.connection.closed; n++) {
        both.connection.write('x'.repeat(100_000))
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(await soon('the end', both.closed)).toMatch(/too much is waiting/)
    })

    it('takes no more after its end, and says so once', async () => {
      const both = await make()
      let closes = 0
      both.connection.handle({
        onData: () => undefined,
        onClose: () => {
          closes++
        },
      })
      both.connection.destroy('enough')
      both.connection.destroy('again')
      both.connection.end()
      both.connection.write('x')
      expect(both.connection.closed).toBe(true)
      await until('the end', () => closes > 0)
      both.connection.write('x')
      both.connection.end()
      await new Promise((resolve) => setImmediate(resolve))
      expect(closes).toBe(1)
    })
  })
}

describe('a handshake', () => {
  const start = (connection: Connection) =>
    connection.startTls({
      secureContext: certificate.context,
      forName: () => undefined,
      alpn: ['xmpp-client'],
      requestCert: false,
    })

  it('that never comes is given up', async () => {
    const { connection, closed } = await pair()
    await expect(start(connection)).rejects.toThrow(/TLS handshake failed: TLS handshake timed out/)
    expect(await soon('the end', closed)).toBe('TLS handshake timed out')
  })

  it('with something else than TLS ends the connection', async () => {
    const { connection, client, closed } = await pair()
    const secured = start(connection)
    client.write('<stream:stream>')
    await expect(secured).rejects.toThrow(/TLS handshake failed/)
    expect(await soon('the end', closed)).toBeTruthy()
  })

  it('that the peer leaves ends the connection', async () => {
    const { connection, client, closed } = await pair()
    const secured = start(connection)
    client.destroy()
    await expect(secured).rejects.toThrow(/TLS handshake failed/)
    await soon('the end', closed)
  })

  it.each([
    [['xmpp-client'], 'xmpp-client'],
    [['h2', 'xmpp-client'], 'xmpp-client'],
    [undefined, false],
  ] as const)('offering %j selects %s', async (offered, selected) => {
    const { connection, client } = await pair()
    const secured = start(connection)
    const socket = tlsConnect({
      socket: client,
      servername: 'localhost',
      rejectUnauthorized: false,
      ...(offered && { ALPNProtocols: [...offered] }),
    })
    await secured
    await until('the handshake', () => socket.alpnProtocol !== null)
    expect(socket.alpnProtocol).toBe(selected)
    expect(connection.secure).toBe(true)
  })

  it.each(['TLSv1', 'TLSv1.1'] as const)('of %s is refused', async (version) => {
    const { connection, client } = await pair()
    const secured = start(connection)
    const socket = tlsConnect({
      socket: client,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT@SECLEVEL=0',
    })
    socket.on('error', () => undefined)
    await expect(secured).rejects.toThrow(/TLS handshake failed/)
  })
})
