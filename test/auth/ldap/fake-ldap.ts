/** A directory server that does what a script says, in raw BER bytes. */
import { createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'

export interface Request {
  readonly id: number
  /** Tag of the operation, such as 0x60 for a bind. */
  readonly tag: number
  readonly name: 'bind' | 'search' | 'unbind' | 'modify' | 'add' | 'delete' | 'extended' | 'other'
  /** The whole message. */
  readonly bytes: Buffer
  /** Of a bind: the name and the password. */
  readonly dn: string
  readonly password: string
}

export interface Peer {
  readonly socket: Socket
  send(...bytes: Buffer[]): void
}

export type Script = (request: Request, peer: Peer) => void

export interface FakeLdap {
  readonly url: string
  readonly port: number
  readonly requests: readonly Request[]
  /** Connections that were made. */
  readonly connections: number
  /** Connections that are open now. */
  readonly open: number
  script: Script
  /** Called when a connection comes, before any request. */
  onConnect: (peer: Peer) => void
  stop(): Promise<void>
}

const names: Readonly<Record<number, Request['name']>> = {
  96: 'bind',
  99: 'search',
  66: 'unbind',
  102: 'modify',
  104: 'add',
  74: 'delete',
  119: 'extended',
}

interface FakeTls {
  readonly cert: string
  readonly key: string
  /** Sent in the clear, in one piece with the consent to TLS. */
  readonly behind?: Buffer
}

/** `tls` answers StartTLS by itself, with this certificate. */
export async function fakeLdap(
  script: Script = polite(),
  options: { readonly port?: number; readonly tls?: FakeTls } = {},
): Promise<FakeLdap> {
  const requests: Request[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server: Server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    serve(socket)
    fake.onConnect(peerOf(socket))
  })
  const serve = (socket: Socket) => {
    let rest = Buffer.alloc(0)
    const onData = (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      for (let length = messageLength(rest); length !== undefined; length = messageLength(rest)) {
        const request = readRequest(rest.subarray(0, length))
        rest = rest.subarray(length)
        requests.push(request)
        const isStartTls = request.bytes.includes('1.3.6.1.4.1.1466.20037')
        if (isStartTls && options.tls !== undefined) {
          socket.off('data', onData)
          socket.write(Buffer.concat([result(request, 0), options.tls.behind ?? Buffer.alloc(0)]))
          const secure = new TLSSocket(socket, {
            isServer: true,
            secureContext: createSecureContext(options.tls),
          })
          secure.on('error', () => undefined)
          serve(secure)
          return
        }
        fake.script(request, peerOf(socket))
      }
    }
    socket.on('data', onData)
  }
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const fake: FakeLdap = {
    url: `ldap://127.0.0.1:${port}`,
    port,
    requests,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size
    },
    script,
    onConnect: () => undefined,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return fake
}

function peerOf(socket: Socket): Peer {
  return {
    socket,
    send: (...bytes) => {
      socket.write(Buffer.concat(bytes))
    },
  }
}

/** The service may bind, one user is found, and that user's password is 'right'. */
export function polite(dn = 'uid=alice,dc=example,dc=org', uid = 'alice'): Script {
  return (request, { send }) => {
    if (request.name === 'bind') {
      const isRight = request.dn !== dn || request.password === 'right'
      send(result(request, isRight ? 0 : 49))
    } else if (request.name === 'search') send(entry(request, dn, { uid: [uid] }), result(request, 0))
    else if (request.name !== 'unbind') send(result(request, 0))
  }
}

/** One element: a tag, its length, its content. */
export function tlv(tag: number, ...content: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  const { length } = body
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body])
  const head = Buffer.from([tag, 0x84, 0, 0, 0, 0])
  head.writeUInt32BE(length, 2)
  return Buffer.concat([head, body])
}

export function integer(value: number, tag = 0x02): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return tlv(tag, bytes)
}

export function message(id: number, ...content: readonly Buffer[]): Buffer {
  return tlv(0x30, integer(id), ...content)
}

const resultTags: Readonly<Record<Request['name'], number>> = {
  bind: 0x61,
  search: 0x65,
  modify: 0x67,
  add: 0x69,
  delete: 0x6b,
  extended: 0x78,
  unbind: 0x61,
  other: 0x61,
}

export interface ResultOptions {
  readonly diagnostic?: string
  readonly id?: number
  readonly tag?: number
  readonly more?: readonly Buffer[]
}

export function result(request: Request, code: number, options: ResultOptions = {}): Buffer {
  const { diagnostic = '', id = request.id, tag = resultTags[request.name], more = [] } = options
  return message(id, tlv(tag, integer(code, 0x0a), tlv(0x04), tlv(0x04, diagnostic), ...more))
}

export function entry(
  request: Request,
  dn: string,
  attributes: Readonly<Record<string, readonly (string | Buffer)[]>>,
): Buffer {
  const list = Object.entries(attributes).map(([type, values]) =>
    tlv(0x30, tlv(0x04, type), tlv(0x31, ...values.map((value) => tlv(0x04, value)))),
  )
  return message(request.id, tlv(0x64, tlv(0x04, dn), tlv(0x30, ...list)))
}

export function reference(request: Request, url: string): Buffer {
  return message(request.id, tlv(0x73, tlv(0x04, url)))
}

function messageLength(bytes: Buffer): number | undefined {
  // What is no message, such as a handshake of TLS, is not read.
  if (bytes.length < 2 || bytes[0] !== 0x30) return undefined
  const { start, length } = header(bytes, 0)
  return bytes.length < start + length ? undefined : start + length
}

function header(bytes: Buffer, at: number): { start: number; length: number } {
  const first = bytes[at + 1] ?? 0
  if (first < 0x80) return { start: at + 2, length: first }
  const count = first & 0x7f
  return { start: at + 2 + count, length: bytes.readUIntBE(at + 2, count) }
}

function readRequest(bytes: Buffer): Request {
  const whole = header(bytes, 0)
  const id = header(bytes, whole.start)
  const at = id.start + id.length
  const tag = bytes[at] ?? 0
  const name = names[tag] ?? 'other'
  let dn = ''
  let password = ''
  if (name === 'bind') {
    const version = header(bytes, header(bytes, at).start)
    const dnHead = header(bytes, version.start + version.length)
    dn = bytes.toString('utf8', dnHead.start, dnHead.start + dnHead.length)
    const secret = header(bytes, dnHead.start + dnHead.length)
    password = bytes.toString('utf8', secret.start, secret.start + secret.length)
  }
  return { id: bytes.readUIntBE(id.start, id.length), tag, name, bytes, dn, password }
}
