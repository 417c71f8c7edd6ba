/**
 * One directory server: its connections for searches, which are bound as we are, and those for logins, which are bound as
 * whoever logged in last and never search (RFC 4513 §4: a failed bind leaves a connection anonymous). A server that did not
 * answer is down until a probe gets an answer.
 */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Logger } from '../../log.ts'
import { RefusalTimes } from '../refusal-times.ts'
import type { Connection, Target } from './client.ts'
import { type Deadline, deadlineIn } from './deadline.ts'
import { NoAnswer } from './no-answer.ts'
import { type Encryption, encryptionOf, isHere, type LdapOptions, type ServerAddress } from './options.ts'
import { Pool } from './pool.ts'
import { codes, inWords } from './result-code.ts'

/** A probe's pause and its patience: a server that is back is noticed within their sum, less than 4 s. */
const probePause = 1_000
const probePatience = 2_500
/** How often an outage of one server is told. */
const warningPause = 30_000
const maxPasswordFile = 4_096

const never = new AbortController().signal

export class Server {
  /** For logs: `ldap://host:port (starttls)`. */
  readonly name: string
  readonly encryption: Encryption
  readonly refusals = new RefusalTimes()
  readonly #options: LdapOptions
  readonly #log: Logger
  readonly #target: Target
  readonly #searches: Pool<Connection>
  readonly #binds: Pool<Connection>
  #isUp = true
  #isClosed = false
  #probe: NodeJS.Timeout | undefined
  #warned = Number.NEGATIVE_INFINITY
  #saidDistrust = false

  constructor(address: ServerAddress, options: LdapOptions, log: Logger) {
    const asked = encryptionOf(address, options)
    // RFC 4516 §2 and the ports that everybody uses.
    const port = address.port ?? (asked === 'tls' ? 636 : 389)
    this.encryption = asked
    const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host
    const scheme = asked === 'tls' ? 'ldaps' : 'ldap'
    this.name = `${scheme}://${host}:${port}${asked === 'starttls' ? ' (starttls)' : ''}`
    this.#options = options
    this.#log = log
    this.#target = {
      host: address.host,
      port,
      encrypt: asked,
      tls: {
        caFile: options.ldap_tls_cacertfile,
        certFile: options.ldap_tls_certfile,
        verify: options.ldap_tls_verify,
        serverName: options.ldap_tls_servername,
      },
    }
    const shared = { maxWaiting: options.ldap_max_waiting, idleTimeout: options.ldap_idle_timeout }
    this.#searches = new Pool({
      ...shared,
      max: options.ldap_search_connections,
      open: (deadline) => this.openBound(deadline),
    })
    this.#binds = new Pool({
      ...shared,
      max: options.ldap_bind_connections,
      open: (deadline) => this.#open(deadline),
    })
    if (asked === 'none' && !isHere(address.host)) {
      log.warn({ server: this.name }, 'passwords cross the network in the clear: ldap_encrypt is none')
    }
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** A connection that is bound as ldap_rootdn: for searches and changes. */
  async asService<T>(deadline: Deadline, work: (connection: Connection) => Promise<T>): Promise<T> {
    return await this.#searches.use(deadline, work)
  }

  /** A connection for one bind as a user. */
  async asUser<T>(deadline: Deadline, work: (connection: Connection) => Promise<T>): Promise<T> {
    return await this.#binds.use(deadline, work)
  }

  /** A connection of the caller's own, bound as ldap_rootdn. Throws NoAnswer. */
  async openBound(deadline: Deadline): Promise<Connection> {
    const connection = await this.#open(deadline)
    try {
      await this.#bind(connection, deadline)
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  /** It did not answer: it is asked last until a probe says otherwise. */
  down(reason: NoAnswer): void {
    this.#searches.discardIdle()
    this.#binds.discardIdle()
    if (!this.#isUp || this.#isClosed) return
    this.#isUp = false
    const now = performance.now()
    const isNews = now - this.#warned > warningPause
    if (isNews) this.#warned = now
    this.#log[isNews ? 'warn' : 'debug']({ server: this.name, reason: reason.message }, 'a directory is out')
    this.#probeLater()
  }

  up(): void {
    if (this.#isUp || this.#isClosed) return
    this.#isUp = true
    clearTimeout(this.#probe)
    this.#log.info({ server: this.name }, 'the directory answers again')
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#probe)
    this.#searches.close()
    this.#binds.close()
  }

  #probeLater(): void {
    this.#probe = setTimeout(() => {
      this.#ask().then(
        (connection) => {
          this.#searches.add(connection)
          this.up()
        },
        () => {
          if (!this.#isClosed && !this.#isUp) this.#probeLater()
        },
      )
    }, probePause).unref()
  }

  /** Whatever it answers to a search, it answers. */
  async #ask(): Promise<Connection> {
    const deadline = deadlineIn(probePatience, never)
    const connection = await this.openBound(deadline)
    try {
      await connection.search(
        {
          base: this.#options.ldap_base,
          scope: 'base',
          filter: { is: 'present', attribute: 'objectClass' },
          attributes: ['1.1'],
          deref: 'never',
        },
        deadline,
      )
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  async #open(deadline: Deadline): Promise<Connection> {
    // ldapjs is heavy: nobody who does not use a directory loads it.
    const { Connection } = await import('./client.ts')
    const { ldap_connect_timeout: connect, ldap_operation_timeout: operation } = this.#options
    const began = performance.now()
    const connection = await Connection.open(this.#target, { connect, operation }, deadline)
    this.#log.debug({ server: this.name, ms: performance.now() - began }, 'a connection')
    if (connection.distrust !== undefined && !this.#saidDistrust) {
      this.#saidDistrust = true
      this.#log.warn(
        { server: this.name, reason: connection.distrust },
        'the certificate of the directory cannot be verified',
      )
    }
    return connection
  }

  async #bind(connection: Connection, deadline: Deadline): Promise<void> {
    const { ldap_rootdn: name, ldap_password_file: file } = this.#options
    if (name === '') return
    const password = await readPassword(file)
    const began = performance.now()
    const result = await connection.bind(name, password, deadline)
    const ms = performance.now() - began
    this.#log.debug({ server: this.name, result: inWords(result), ms }, 'the bind as ldap_rootdn')
    if (result.code === codes.success) {
      this.refusals.accepted(ms)
      return
    }
    throw new NoAnswer('unreachable', `the server refuses ldap_rootdn and its password: ${inWords(result)}`)
  }
}

/** Read for each connection, so that a new password needs no restart. Its first line is the password. */
async function readPassword(file: string | undefined): Promise<string> {
  const unusable = (why: string, cause?: unknown) =>
    new NoAnswer('unreachable', `ldap_password_file ${file ?? ''} ${why}`, cause)
  if (file === undefined) throw unusable('is missing')
  let content: Buffer
  try {
    content = await readFile(file)
  } catch (error) {
    throw unusable(`cannot be read: ${(error as NodeJS.ErrnoException).code}`, error)
  }
  const [password = ''] = content.toString('utf8').split(/\r?\n/, 1)
  if (password === '') throw unusable('is empty')
  if (content.length > maxPasswordFile) throw unusable(`has more than ${maxPasswordFile} bytes`)
  return password
}
