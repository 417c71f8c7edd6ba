/**
 * The XMPP client of the journeys: real bytes over real sockets, everything sendable, everything seen. It keeps a
 * transcript, which ends up in the message of whatever goes wrong.
 */
import { createHash } from 'node:crypto'
import { type Socket, connect as tcpConnect } from 'node:net'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { onTestFailed } from 'vitest'
import { before } from './deadline.ts'
import { offerHash, scram } from './scram.ts'
import { at, child, type Stanza, StanzaReader } from './stanza.ts'

export interface ConnectOptions {
  readonly port: number
  readonly address?: string
  /** The domain that the stream is opened to, and the name shown in TLS. */
  readonly domain?: string
  /** `starttls` and `none` begin in the clear; `direct` shakes hands first. */
  readonly tls?: 'starttls' | 'direct' | 'none'
  /** Shown in TLS when the server asks for one (PEM). */
  readonly certificate?: { readonly cert: string; readonly key: string }
  /** The name shown in TLS, where it is not the domain; '' shows none. */
  readonly sni?: string
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** A TLS session to go on with. */
  readonly session?: Buffer
}

export interface LoginOptions extends ConnectOptions {
  readonly user: string
  readonly password: string
  readonly mechanism?: string
  /** The resource to ask for; the server chooses one when absent. */
  readonly resource?: string
  /** Send initial presence, and wait for it to come back. */
  readonly available?: boolean
}

/** Deadline of every wait, unless it is given one, in milliseconds. */
const patience = 8_000

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const clientNs = 'jabber:client'

type Wanted = string | ((stanza: Stanza) => boolean)

interface Waiter {
  readonly wanted: (stanza: Stanza) => boolean
  resolve(stanza: Stanza): void
  reject(error: Error): void
}

export class SaslFailure extends Error {
  override readonly name = 'SaslFailure'
  readonly condition: string
  constructor(condition: string) {
    super(`the server refused the login: ${condition}`)
    this.condition = condition
  }
}

export class TestClient {
  readonly domain: string
  /** The full JID, after bind. */
  jid = '(not bound)'
  /** The features of the stream that is open now. */
  features: Stanza | undefined
  /** The attributes of the server's latest stream header. */
  header: Readonly<Record<string, string>> = {}
  /** Stanzas that nobody has waited for yet, oldest first. */
  readonly inbox: Stanza[] = []

  readonly #options: ConnectOptions
  #socket: Socket | TLSSocket
  #reader: StanzaReader
  readonly #waiters = new Set<Waiter>()
  readonly #transcript: string[] = []
  #ended: string | undefined
  readonly #closed: Promise<void>
  #resolveClosed: () => void = () => undefined
  #serial = 0
  #tap: (stanza: Stanza) => boolean = () => false

  private constructor(socket: Socket | TLSSocket, domain: string, options: ConnectOptions) {
    this.domain = domain
    this.#options = options
    this.#socket = socket
    this.#reader = this.#newReader()
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.#listen(socket)
    try {
      onTestFailed(() => {
        process.stderr.write(`\n${this.transcript()}\n`)
      })
    } catch {
      // made in a hook, outside of any test: waits that fail still print the transcript
    }
  }

  /** Connects, and shakes hands for direct TLS; nothing of XMPP is said yet. */
  static async connect(options: ConnectOptions): Promise<TestClient> {
    const { port, address = '127.0.0.1', domain = 'localhost' } = options
    const socket =
      options.tls === 'direct'
        ? tlsConnect({
            port,
            host: address,
            ALPNProtocols: ['xmpp-client'],
            ...tlsOptions(options),
          })
        : tcpConnect({ port, host: address, noDelay: true })
    const client = new TestClient(socket, domain, options)
    const event = options.tls === 'direct' ? 'secureConnect' : 'connect'
    await client.#once(socket, event, `${event} on port ${port}`)
    return client
  }

  /** Connects, negotiates, logs in and binds. A refused login throws SaslFailure. */
  static async login(options: LoginOptions): Promise<TestClient> {
    const client = await TestClient.connect(options)
    await client.open()
    if (options.tls === undefined || options.tls === 'starttls') await client.startTls()
    await client.authenticate(options.user, options.password, options.mechanism)
    await client.bind(options.resource)
    if (options.available !== false) await client.available()
    return client
  }

  /** Opens a stream (also a new one, after TLS and SASL) and waits for its features. */
  async open(attributes = ''): Promise<Stanza> {
    this.restart()
    this.send(
      `<?xml version='1.0'?><stream:stream to='${this.domain}' version='1.0' xmlns='${clientNs}' ` +
        `xmlns:stream='http://etherx.jabber.org/streams'${attributes}>`,
    )
    this.features = await this.waitFor((stanza) => stanza.name === 'features' || stanza.name === 'error')
    if (this.features.name === 'error') throw new Error(`stream error\n${this.transcript()}`)
    return this.features
  }

  /** What comes from the server next is a new stream; `open` does this. */
  restart(): void {
    this.#reader = this.#newReader()
    this.features = undefined
  }

  /** STARTTLS and the new stream behind it. */
  async startTls(): Promise<void> {
    this.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await this.waitFor('proceed')
    await this.secure()
    await this.open()
  }

  /** The handshake alone. */
  async secure(): Promise<void> {
    const plain = this.#socket
    plain.removeAllListeners()
    plain.on('error', () => undefined)
    const socket = tlsConnect({ socket: plain, ...tlsOptions(this.#options) })
    this.#socket = socket
    this.#listen(socket)
    await this.#once(socket, 'secureConnect', 'the TLS handshake')
    this.#note('--', 'TLS')
  }

  get mechanisms(): string[] {
    return child(this.features, 'mechanisms', sasl)?.children.map((one) => one.text) ?? []
  }

  /** Logs in with a mechanism (SCRAM-SHA-256 when offered, else PLAIN), and opens the stream behind it. */
  async authenticate(
    user: string,
    password: string,
    mechanism?: string,
    binding: 'tls-exporter' | 'tls-server-end-point' = 'tls-exporter',
  ): Promise<void> {
    const chosen = mechanism ?? (this.mechanisms.includes('SCRAM-SHA-256') ? 'SCRAM-SHA-256' : 'PLAIN')
    if (chosen === 'PLAIN') {
      this.#sasl('auth', Buffer.from(`\0${user}\0${password}`), ` mechanism='${chosen}'`)
      await this.#saslAnswer()
    } else {
      const data = chosen.endsWith('-PLUS') ? this.channelBinding(binding) : undefined
      const exchange = scram(chosen, user, password, data, binding)
      this.#sasl('auth', Buffer.from(exchange.first), ` mechanism='${chosen}'`)
      const challenge = await this.#saslAnswer()
      this.#checkOffer(challenge, chosen)
      this.#sasl('response', Buffer.from(exchange.final(challenge)))
      if (!exchange.verify(await this.#saslAnswer()))
        throw new Error('the server could not prove that it knows the keys')
    }
    await this.open()
  }

  /** The server's word on what it has offered is what has arrived here (XEP-0474 §5.2), if it gives any. */
  #checkOffer(challenge: string, mechanism: string): void {
    const said = /,h=([^,]+)/.exec(challenge)?.[1]
    if (said !== undefined && said !== offerHash(mechanism, this.mechanisms, this.bindingTypes))
      throw new Error('what the server has offered is not what arrived here')
  }

  /** Undefined when the server has sent no list of them (XEP-0440). */
  get bindingTypes(): string[] | undefined {
    return child(this.features, 'sasl-channel-binding', 'urn:xmpp:sasl-cb:0')?.children.map(
      ({ attrs }) => attrs['type'] ?? '',
    )
  }

  /** What this connection can be bound to (RFC 9266, RFC 5929 §4.1 for certificates signed with SHA-256). */
  channelBinding(type: 'tls-exporter' | 'tls-server-end-point'): Buffer {
    if (type === 'tls-exporter')
      return this.tls.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
    return createHash('sha256').update(this.tls.getPeerCertificate().raw).digest()
  }

  /** The connection's TLS. */
  get tls(): TLSSocket {
    if (!('exportKeyingMaterial' in this.#socket)) throw new Error('no TLS')
    return this.#socket
  }

  async bind(resource?: string): Promise<string> {
    const asked = resource === undefined ? '' : `<resource>${escapeXml(resource)}</resource>`
    const result = await this.iq('set', `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${asked}</bind>`)
    const jid = at(result, 'bind', 'jid')
    if (jid === undefined) throw new Error(`no bind\n${this.transcript()}`)
    this.jid = jid.text
    return this.jid
  }

  /** Initial presence; it has taken effect when it comes back to its sender. */
  async available(children = ''): Promise<void> {
    this.send(`<presence>${children}</presence>`)
    await this.waitFor((stanza) => stanza.name === 'presence' && stanza.attrs['from'] === this.jid)
  }

  /** Sends a request and waits for its result or error. */
  async iq(type: 'get' | 'set', payload: string, to?: string): Promise<Stanza> {
    const id = `q${++this.#serial}`
    this.send(
      `<iq type='${type}' id='${id}'${to === undefined ? '' : ` to='${escapeXml(to)}'`}>${payload}</iq>`,
    )
    return await this.waitFor((stanza) => stanza.name === 'iq' && stanza.attrs['id'] === id)
  }

  message(to: string, body: string, type = 'chat'): void {
    this.send(`<message to='${escapeXml(to)}' type='${type}'><body>${escapeXml(body)}</body></message>`)
  }

  /** Sends the text as it is. */
  send(text: string | Buffer): void {
    this.#note('->', text.toString())
    this.#socket.write(text)
  }

  /** Stops reading, as a client does that hangs; `resume` ends that. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** From now on each stanza is shown here first, in order; true takes it. */
  tap(take: (stanza: Stanza) => boolean): void {
    this.#tap = take
  }

  /** The first stanza, already here or to come, of that name or for which the function says yes; it is taken. */
  async waitFor(wanted: Wanted, ms = patience): Promise<Stanza> {
    const test = typeof wanted === 'string' ? (stanza: Stanza) => stanza.name === wanted : wanted
    const index = this.inbox.findIndex(test)
    if (index >= 0) return this.inbox.splice(index, 1)[0] as Stanza
    if (this.#ended !== undefined) throw new Error(`${this.#ended}\n${this.transcript()}`)
    const what = typeof wanted === 'string' ? `<${wanted}/>` : wanted.toString()
    let waiter: Waiter | undefined
    try {
      return await before(
        ms,
        () => `${what}\n${this.transcript()}`,
        new Promise<Stanza>((resolve, reject) => {
          waiter = { wanted: test, resolve, reject }
          this.#waiters.add(waiter)
        }),
      )
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter)
    }
  }

  /** The condition of the stream error that ends this connection. */
  async streamError(ms = patience): Promise<{ condition: string; text: string | undefined }> {
    const error = await this.waitFor((stanza) => stanza.name === 'error' && stanza.xmlns !== clientNs, ms)
    const condition = error.children.find((one) => one.name !== 'text')?.name ?? ''
    return { condition, text: child(error, 'text')?.text }
  }

  /** All that has arrived by the time the server has handled what was sent so far; the inbox is empty afterwards. */
  async settled(): Promise<Stanza[]> {
    await this.iq('get', "<ping xmlns='urn:xmpp:ping'/>", this.domain)
    return this.inbox.splice(0)
  }

  /** Waits for the server to close the connection. */
  async closed(ms = patience): Promise<void> {
    await before(ms, () => `the server closing the connection\n${this.transcript()}`, this.#closed)
  }

  /** Ends the stream as a well-behaved client does. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    this.send('</stream:stream>')
    await this.closed().finally(() => this.destroy())
  }

  /** Vanishes, as a client does whose network is gone. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** What was said on this connection, passwords left out. */
  transcript(): string {
    return [`--- transcript of ${this.jid}`, ...this.#transcript, '---'].join('\n')
  }

  #sasl(element: 'auth' | 'response', payload: Buffer, attributes = ''): void {
    const tag = `<${element} xmlns='${sasl}'${attributes}>`
    this.#note('->', `${tag}[${payload.length} bytes]</${element}>`)
    this.#socket.write(`${tag}${payload.toString('base64')}</${element}>`)
  }

  async #saslAnswer(): Promise<string> {
    const answer = await this.waitFor((stanza) => stanza.xmlns === sasl)
    if (answer.name === 'failure') {
      throw new SaslFailure(answer.children.find((one) => one.name !== 'text')?.name ?? 'no condition')
    }
    return Buffer.from(answer.text, 'base64').toString()
  }

  #newReader(): StanzaReader {
    return new StanzaReader({
      open: (attrs) => {
        this.header = attrs
      },
      stanza: (stanza) => {
        if (this.#tap(stanza)) return
        for (const waiter of this.#waiters) {
          if (!waiter.wanted(stanza)) continue
          this.#waiters.delete(waiter)
          waiter.resolve(stanza)
          return
        }
        this.inbox.push(stanza)
      },
      close: () => this.#note('--', 'the server closed the stream'),
    })
  }

  #listen(socket: Socket | TLSSocket): void {
    const decoder = new TextDecoder('utf-8', { fatal: true })
    socket.on('data', (chunk) => {
      try {
        const text = decoder.decode(chunk, { stream: true })
        this.#note('<-', text)
        this.#reader.write(text)
      } catch (error) {
        this.#end(`the server sent what is no XML stream: ${String(error)}`)
        socket.destroy()
      }
    })
    socket.on('error', (error) => this.#note('--', String(error)))
    socket.on('close', () => this.#end('the connection is closed'))
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return
    this.#ended = why
    this.#note('--', why)
    this.#resolveClosed()
    for (const waiter of this.#waiters) waiter.reject(new Error(`${why}\n${this.transcript()}`))
    this.#waiters.clear()
  }

  #once(socket: Socket | TLSSocket, event: 'connect' | 'secureConnect', what: string): Promise<void> {
    const happened = new Promise<void>((resolve, reject) => {
      socket.once(event, () => resolve())
      socket.once('error', reject)
      socket.once('close', () => reject(new Error(`closed before ${what}`)))
    })
    return before(patience, what, happened)
  }

  #note(direction: string, text: string): void {
    const shown = text.length > 4_000 ? `${text.slice(0, 4_000)}… (${text.length} characters)` : text
    this.#transcript.push(`${direction} ${shown}`)
    if (this.#transcript.length > 500) this.#transcript.shift()
  }
}

function tlsOptions({
  domain = 'localhost',
  sni = domain,
  certificate,
  maxVersion,
  session,
}: ConnectOptions) {
  return {
    rejectUnauthorized: false,
    ...(sni === '' ? {} : { servername: sni }),
    ...certificate,
    ...(maxVersion ? { maxVersion } : {}),
    ...(session ? { session } : {}),
  }
}

/** Text and attribute values as XML. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
