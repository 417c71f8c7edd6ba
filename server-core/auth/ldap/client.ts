/**
 * One connection to one directory server. This file alone knows ldapjs, which connects, writes requests and upgrades to TLS.
 * What comes back is read here, by framing.ts and response.ts: ldapjs loses result codes and names, and a hostile length
 * would end the process inside it. It keeps no books of requests; only of its StartTLS it gets the result, one that we wrote.
 *
 * One request at a time: whatever comes that is not the answer to it costs the connection, as does every request that gets
 * no answer in time. Nothing is sent twice here.
 */
import { readFile } from 'node:fs/promises'
import { isIP, type Socket } from 'node:net'
import { type ConnectionOptions, TLSSocket } from 'node:tls'
import ldapjs from 'ldapjs'
import { check, type Deadline, onExpiry, within } from './deadline.ts'
import type { Filter } from './filter.ts'
import { Framing, ProtocolViolation } from './framing.ts'
import { NoAnswer } from './no-answer.ts'
import {
  type Entry,
  type Operation,
  type Response,
  type Result,
  readResponse,
  writeResult,
} from './response.ts'

/** Where a server is and how to talk to it. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly encrypt: 'none' | 'starttls' | 'tls'
  readonly tls: TlsOptions
}

export interface TlsOptions {
  /** PEM file with the authorities to trust; Node's own list when absent. */
  readonly caFile: string | undefined
  /** PEM file with our certificate and its key. */
  readonly certFile: string | undefined
  /** soft goes on with a certificate that cannot be verified, and says so. */
  readonly verify: 'hard' | 'soft' | 'none'
  /** The name that the certificate has to have, when it is not the host's. */
  readonly serverName: string | undefined
}

export interface Search {
  readonly base: string
  readonly scope: 'base' | 'sub'
  readonly filter: Filter
  /** Names, or '1.1' for none. */
  readonly attributes: readonly string[]
  readonly deref: Deref
}

export type Deref = 'never' | 'searching' | 'finding' | 'always'

export interface Found {
  readonly entries: readonly Entry[]
  readonly result: Result
}

/** Attributes of a new entry. */
export type NewAttributes = Readonly<Record<string, readonly (string | Buffer)[]>>

/** Only names and the few attributes that we ask for come back. */
const maxMessageBytes = 262_144
/** Entries, and references to other servers, that may precede the result of a search for two entries. */
const maxMessages = 100
const sizeLimit = 2

const passwordModifyOid = '1.3.6.1.4.1.4203.1.11.1'
/** RFC 4511 §4.4.1: the server says that it is about to close the connection. */
const noticeOfDisconnection = '1.3.6.1.4.1.1466.20036'

const dereferences: Readonly<Record<Deref, number>> = { never: 0, searching: 1, finding: 2, always: 3 }

/** ldapjs's parts that are not in its types. */
interface Internals {
  _socket: Socket | null
  /** Gives these two to net.connect or tls.connect as they are, at its next turn. */
  readonly urls: { hostname: string; port: unknown }[]
}
interface Tracker {
  readonly parser: { write(bytes: Buffer): unknown }
  track(message: { messageId: number }, callback: unknown): void
  remove(id: number): void
}

interface Pending {
  readonly operation: Operation
  readonly entries: Entry[]
  /** Looks at the result before ldapjs hears of it. */
  readonly inspect: ((result: Result) => void) | undefined
  /** Messages that preceded the result. */
  seen: number
  id: number
  resolve(result: Result): void
  reject(reason: unknown): void
}

/** ldapjs would log requests, with the passwords in them. */
const silent: Record<string, unknown> = { child: () => silent }
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) silent[level] = ignore

export class Connection {
  /** Called once, when the connection can no longer be used. */
  onClose: () => void = ignore
  readonly #client: ldapjs.Client
  readonly #operationTimeout: number
  readonly #framing = new Framing(maxMessageBytes)
  readonly #sockets = new Set<Socket>()
  /** Ends a socket that ldapjs has not handed out yet, as it is still connecting. */
  readonly #end = new AbortController()
  /** Gives bytes to ldapjs. */
  #feed: (bytes: Buffer) => void = ignore
  /** ldapjs does not wait for an answer to it any more. */
  #forget: (id: number) => void = ignore
  #pending: Pending | undefined
  #failure: NoAnswer | undefined
  #failed: (failure: NoAnswer) => void = ignore

  private constructor(client: ldapjs.Client, operationTimeout: number) {
    this.#client = client
    this.#operationTimeout = operationTimeout
    this.#interceptTracker()
    client.on('error', (error: Error) => this.#fail(inWords(error), error))
    client.on('close', () => {
      this.#keepQuiet()
      this.#fail('the server closed the connection')
    })
    client.on('connect', () => {
      this.#keepQuiet()
      this.#listen()
      if (!this.isOpen) this.#destroySockets()
    })
  }

  /** Connected, and encrypted as the target says. Throws NoAnswer, or the signal's reason. Times are in milliseconds. */
  static async open(
    target: Target,
    timeouts: { readonly connect: number; readonly operation: number },
    deadline: Deadline,
  ): Promise<Connection> {
    check(deadline)
    const limit = within(timeouts.connect, deadline)
    const secure = target.encrypt === 'none' ? {} : await secureOptions(target)
    check(limit)
    const client = ldapjs.createClient({
      url: `${target.encrypt === 'tls' ? 'ldaps' : 'ldap'}://localhost:${target.port}`,
      tlsOptions: secure,
      queueDisable: true,
      log: silent,
    })
    const connection = new Connection(client, timeouts.operation)
    // ldapjs would keep the brackets of an IPv6 address, and cannot end a socket before it is connected.
    for (const url of (client as unknown as Internals).urls) {
      url.hostname = target.host
      url.port = { host: target.host, port: target.port, signal: connection.#end.signal }
    }
    try {
      await connection.#connected(limit)
      if (target.encrypt === 'starttls') await connection.#startTls(secure, limit)
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  get isOpen(): boolean {
    return this.#failure === undefined
  }

  /** Why the server's certificate could not be verified; undefined when it could, or when there is no TLS. */
  get distrust(): string | undefined {
    const socket = this.#socket
    if (!(socket instanceof TLSSocket) || socket.authorized) return undefined
    return String(socket.authorizationError ?? 'not verified')
  }

  /** At most two entries; when there are more, the code is 4 (sizeLimitExceeded) or two entries came. */
  async search(search: Search, deadline: Deadline): Promise<Found> {
    const seconds = Math.ceil(Math.min(this.#operationTimeout, deadline.at - performance.now()) / 1_000)
    const entries: Entry[] = []
    const result = await this.#request('search', deadline, { entries }, (done) => {
      const options = {
        scope: search.scope,
        filter: asFilter(search.filter),
        attributes: [...search.attributes],
        sizeLimit,
        timeLimit: Math.max(1, seconds),
        derefAliases: dereferences[search.deref],
        typesOnly: false,
      }
      this.#client.search(asDn(search.base), options, done)
    })
    return { entries, result }
  }

  /** Neither may be empty: such a bind succeeds for everybody (RFC 4513 §5.1.2). */
  async bind(name: string, password: string, deadline: Deadline): Promise<Result> {
    if (name === '' || password === '') throw new Error('a bind without a name or without a password')
    return await this.#request('bind', deadline, {}, (done) => this.#client.bind(name, password, [], done))
  }

  /** RFC 3062: the server hashes the password as it likes. */
  async modifyPassword(dn: string, password: string, deadline: Deadline): Promise<Result> {
    const value: unknown = { userIdentity: dn, newPassword: password }
    return await this.#request('extended', deadline, {}, (done) =>
      this.#client.exop(passwordModifyOid, value as string, [], done),
    )
  }

  async replace(dn: string, attribute: string, value: string | Buffer, deadline: Deadline): Promise<Result> {
    const modification = new ldapjs.Attribute({ type: attribute, values: [value] })
    const change = new ldapjs.Change({ operation: 'replace', modification })
    return await this.#request('modify', deadline, {}, (done) =>
      this.#client.modify(asDn(dn), change, [], done),
    )
  }

  async add(dn: string, attributes: NewAttributes, deadline: Deadline): Promise<Result> {
    const list = Object.entries(attributes).map(
      ([type, values]) => new ldapjs.Attribute({ type, values: [...values] }),
    )
    return await this.#request('add', deadline, {}, (done) => this.#client.add(asDn(dn), list, [], done))
  }

  async delete(dn: string, deadline: Deadline): Promise<Result> {
    return await this.#request('delete', deadline, {}, (done) => this.#client.del(asDn(dn), [], done))
  }

  /** Ends it at once, with whatever is in flight. */
  destroy(): void {
    this.#fail('the connection was given up')
  }

  get #socket(): Socket | null {
    return (this.#client as unknown as Internals)._socket
  }

  /** ldapjs sets its tracker before the first byte can come: from then on all bytes come to us. */
  #interceptTracker(): void {
    let tracker: Tracker | null = null
    Object.defineProperty(this.#client, '_tracker', {
      get: () => tracker,
      set: (value: Tracker | null) => {
        tracker = value
        if (value !== null) this.#intercept(value)
      },
    })
  }

  #intercept(tracker: Tracker): void {
    const write = tracker.parser.write.bind(tracker.parser)
    const track = tracker.track.bind(tracker)
    this.#forget = (id) => {
      tracker.remove(id)
      // a bind listens until it is answered
      this.#client.removeAllListeners('connectError')
    }
    this.#feed = (bytes) => {
      write(bytes)
    }
    tracker.parser.write = (bytes) => this.#receive(bytes)
    tracker.track = (message, callback) => {
      track(message, callback)
      if (this.#pending !== undefined) this.#pending.id = message.messageId
    }
  }

  /** ldapjs makes a text of all bytes, for a log that nobody reads, before it parses them. */
  #listen(): void {
    this.#socket?.removeAllListeners('data').on('data', (bytes) => this.#receive(bytes))
  }

  /** No exception may leave it: it runs in a socket's event. */
  #receive(bytes: Buffer): void {
    if (!this.isOpen) return
    try {
      for (const message of this.#framing.push(bytes)) {
        this.#handle(readResponse(message))
        if (!this.isOpen) return
      }
    } catch (error) {
      const what = error instanceof ProtocolViolation ? error.message : 'what cannot be handled'
      this.#fail(`the server sent ${what}`, error)
    }
  }

  #handle(response: Response): void {
    const pending = this.#pending
    if (response.kind === 'result' && response.id === 0 && response.name === noticeOfDisconnection) {
      this.#fail(`the server says that it disconnects (code ${response.code}) ${response.diagnostic}`)
      return
    }
    if (pending === undefined || response.id !== pending.id) {
      throw new ProtocolViolation('an answer to a question that was not asked')
    }
    if (response.kind !== 'result') {
      pending.seen += 1
      if (pending.operation !== 'search' || pending.seen > maxMessages) {
        throw new ProtocolViolation('more than it was asked for')
      }
      if (response.kind === 'entry' && pending.entries.length < sizeLimit) pending.entries.push(response)
      return
    }
    if (response.operation !== pending.operation) {
      throw new ProtocolViolation('an answer of another kind than the question')
    }
    pending.inspect?.(response)
    if (!this.isOpen) return
    this.#pending = undefined
    pending.resolve(response)
    if (pending.inspect === undefined) this.#forget(response.id)
    else this.#feed(writeResult(response.id, response.operation, 0))
  }

  async #request(
    operation: Operation,
    deadline: Deadline,
    how: { readonly entries?: Entry[]; readonly inspect?: (result: Result) => void },
    send: (done: (error: unknown) => void) => void,
  ): Promise<Result> {
    if (this.#failure !== undefined) {
      throw new NoAnswer('unreachable', this.#failure.message, this.#failure)
    }
    if (this.#pending !== undefined) throw new Error('one request at a time')
    check(deadline)
    return await new Promise((resolve, reject) => {
      const stop = onExpiry(within(this.#operationTimeout, deadline), (reason) => {
        if (reason !== undefined) reject(reason)
        this.#fail('no answer in time')
      })
      const pending: Pending = {
        operation,
        entries: how.entries ?? [],
        inspect: how.inspect,
        seen: 0,
        id: -1,
        resolve: (result) => {
          stop()
          resolve(result)
        },
        reject: (reason) => {
          stop()
          reject(reason)
        },
      }
      this.#pending = pending
      // A success is told by us; an error is the connection's, or ldapjs could not write the request.
      const done = (error: unknown) => {
        if (error && this.#pending === pending) this.#fail('the request could not be sent', error)
      }
      try {
        send(done)
      } catch (error) {
        this.#fail('the request could not be written', error)
      }
    })
  }

  async #connected(limit: Deadline): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const stop = onExpiry(limit, (reason) => {
        if (reason !== undefined) reject(reason)
        this.#fail('no connection in time')
      })
      this.#failed = (failure) => {
        stop()
        reject(failure)
      }
      this.#client.once('connect', () => {
        stop()
        resolve()
      })
    })
  }

  async #startTls(options: SecureOptions, limit: Deadline): Promise<void> {
    const upgraded = new Promise<void>((resolve, reject) => {
      const stop = onExpiry(limit, (reason) => {
        if (reason !== undefined) reject(reason)
        this.#fail('no TLS in time')
      })
      this.#failed = (failure) => {
        stop()
        reject(failure)
      }
      const inspect = (result: Result) => {
        if (result.code !== 0) {
          const hint = 'ldap_encrypt can be tls where the server has a port for it'
          this.#fail(`the server refuses StartTLS (code ${result.code} ${result.diagnostic}); ${hint}`)
        } else if (this.#framing.pending > 0) {
          // Whoever is in between could add something here that would count as encrypted afterwards.
          this.#fail('the server sent something behind its consent to TLS')
        }
      }
      this.#request('extended', limit, { inspect }, () => {
        this.#client.starttls({ ...options }, [], (error: Error | null) => {
          this.#keepQuiet()
          this.#listen()
          if (error !== null && error !== undefined) {
            this.#fail(`TLS failed: ${inWords(error)}`, error)
            return
          }
          stop()
          resolve()
        })
      }).catch(reject)
    })
    await upgraded
  }

  /** The one way to the end. The first reason stays. */
  #fail(why: string, cause?: unknown): void {
    if (this.#failure !== undefined) return
    const pending = this.#pending
    this.#pending = undefined
    this.#failure = new NoAnswer(
      pending !== undefined && pending.id >= 0 ? 'lost' : 'unreachable',
      why,
      cause,
    )
    pending?.reject(this.#failure)
    this.#keepQuiet()
    this.#client.destroy()
    this.#destroySockets()
    this.#end.abort()
    this.#failed(this.#failure)
    this.onClose()
  }

  /** ldapjs takes its listeners off at the end, and an error that comes later would end the process. */
  #keepQuiet(): void {
    const socket = this.#socket
    if (socket !== null) this.#sockets.add(socket)
    for (const known of this.#sockets) {
      known.off('error', ignore)
      known.on('error', ignore)
    }
  }

  #destroySockets(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

type SecureOptions = ConnectionOptions

/** Read for each connection, so that a new certificate needs no restart. */
async function secureOptions({ host, tls }: Target): Promise<SecureOptions> {
  const [ca, certificate] = await Promise.all([pem(tls.caFile), pem(tls.certFile)])
  // The name of an address is no server name (RFC 6066 §3), but the certificate has to have the address.
  const serverName = tls.serverName ?? (isIP(host) === 0 ? host : undefined)
  return {
    host,
    rejectUnauthorized: tls.verify === 'hard',
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate, key: certificate }),
  }
}

async function pem(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  try {
    return await readFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new NoAnswer('unreachable', `${file} cannot be read: ${code}`, error)
  }
}

/** ldapjs parses names again, and not well: an object that only gives back the text is taken as it is. */
function asDn(text: string): string {
  const name: unknown = { [Symbol.toStringTag]: 'LdapDn', toString: () => text }
  return name as string
}

function asFilter(filter: Filter): ldapjs.Filter {
  switch (filter.is) {
    case 'and':
      return new ldapjs.AndFilter({ filters: filter.of.map(asFilter) })
    case 'or':
      return new ldapjs.OrFilter({ filters: filter.of.map(asFilter) })
    case 'not':
      return new ldapjs.NotFilter({ filter: asFilter(filter.of) })
    case 'present':
      return new ldapjs.PresenceFilter({ attribute: filter.attribute })
    case 'equal':
      return new ldapjs.EqualityFilter({ attribute: filter.attribute, value: Buffer.from(filter.value) })
    case 'atLeast':
      return new ldapjs.GreaterThanEqualsFilter({ attribute: filter.attribute, value: filter.value })
    case 'atMost':
      return new ldapjs.LessThanEqualsFilter({ attribute: filter.attribute, value: filter.value })
    case 'approximately':
      return new ldapjs.ApproximateFilter({ attribute: filter.attribute, value: filter.value })
    case 'substrings': {
      const [initial = '', ...rest] = filter.parts
      const final = rest.pop()
      return new ldapjs.SubstringFilter({ attribute: filter.attribute, initial, any: rest, final })
    }
    case 'extensible':
      return new ldapjs.ExtensibleFilter({
        matchType: filter.attribute,
        rule: filter.rule === '' ? undefined : filter.rule,
        value: filter.value,
        dnAttributes: filter.withDn,
      })
  }
}

const unknownAuthority: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

function inWords(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ECONNREFUSED') return 'nobody listens there (connection refused)'
  if (code !== undefined && unknownAuthority.has(code)) {
    return `${error.message} (ldap_tls_cacertfile names the authorities to trust)`
  }
  // The error of several addresses that were tried has no text of its own.
  return error.message.replace(/^connect[A-Z][A-Za-z]+: /, '') || (code ?? error.name)
}

function ignore(): void {}
