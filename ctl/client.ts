/** The client's end of the control socket: finds it, and makes calls on it. */
import { existsSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import {
  type CommandReply,
  type Description,
  type ErrorReply,
  type Hello,
  type JsonValue,
  methods,
  notifications,
  type Row,
} from '../server-core/admin/control-protocol.ts'
import { type KnownServer, knownServers } from './servers.ts'
import { type GlobalOptions, UsageError } from './words.ts'

/** Nobody answers, or the connection was lost; the message is a sentence, exit 3. */
export class NoServer extends Error {
  override readonly name = 'NoServer'
}

/** The server answered with an error. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: number
  readonly data: ErrorReply['data']

  constructor({ code, message, data }: ErrorReply) {
    super(message)
    this.code = code
    this.data = data
  }
}

export interface Surroundings {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** Longer ones are cut silently by Node. */
const maxSocketPath = 107

/** Where the server's socket may be, and what said so. */
export interface Place {
  readonly path: string
  readonly because: string
}

/** In this order: --socket, --server, $GATEHOUSE_SOCKET, the configuration, the usual server, ./data/gatehouse.sock. */
export async function findSockets(options: GlobalOptions, surroundings: Surroundings): Promise<Place[]> {
  const { cwd, environment } = surroundings
  const variable = environment['GATEHOUSE_SOCKET']
  if (options.socket !== undefined) return [{ path: resolve(cwd, options.socket), because: '--socket' }]
  if (options.server !== undefined) return socketsOfServer(options.server, surroundings)
  if (variable) return [{ path: resolve(cwd, variable), because: '$GATEHOUSE_SOCKET' }]
  const named = options.config ?? (environment['GATEHOUSE_CONFIG'] || undefined)
  const file = resolve(cwd, named ?? 'gatehouse.yml')
  const said = await socketsOf(file)
  if (said) return said.map((path) => ({ path, because: file }))
  if (named !== undefined)
    throw new NoServer(`The configuration ${file} cannot be read, so its socket is unknown.`)
  const known = await knownServers(surroundings)
  const usual = known?.servers.get(known.default ?? '')
  if (known && usual) return placesOf(usual, `the default of ${known.file}`)
  return [{ path: resolve(cwd, 'data/gatehouse.sock'), because: 'the usual place' }]
}

/** A name of the client's own configuration, or the folder that the server runs in. */
async function socketsOfServer(name: string, surroundings: Surroundings): Promise<Place[]> {
  const known = name.includes('/') ? undefined : await knownServers(surroundings)
  const server = known?.servers.get(name)
  if (server) return placesOf(server, `${name} in ${known?.file}`)
  const folder = resolve(surroundings.cwd, name)
  if (name.includes('/') || existsSync(folder)) return placesOf({ folder }, '--server')
  const names = [...(known?.servers.keys() ?? [])].join(', ')
  throw new UsageError(
    known
      ? `there is no server '${name}' in ${known.file}; there are: ${names || 'none'}`
      : `there is no server '${name}': neither such a folder, nor a configuration of names (~/.config/gatehouse/ctl.yml)`,
  )
}

async function placesOf(server: KnownServer, because: string): Promise<Place[]> {
  if ('socket' in server) return [{ path: server.socket, because }]
  const file = 'config' in server ? server.config : join(server.folder, 'gatehouse.yml')
  const said = await socketsOf(file)
  if (said) return said.map((path) => ({ path, because: file }))
  if ('config' in server) throw new NoServer(`The configuration ${file} (${because}) cannot be read.`)
  return [
    { path: join(server.folder, 'gatehouse.sock'), because },
    { path: join(server.folder, 'data/gatehouse.sock'), because },
  ]
}

/** The sockets that a server's configuration names; undefined when it cannot be read. Checking it is the server's affair. */
async function socketsOf(file: string): Promise<string[] | undefined> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const base = dirname(file)
  const simple = simpleDataDir(text)
  if (simple !== undefined) return [join(resolve(base, simple), 'gatehouse.sock')]
  // Reading YAML takes longer than everything else, so it is done only where it is needed.
  const { parse } = await import('yaml')
  let value: unknown
  try {
    value = parse(text, { logLevel: 'silent', merge: true })
  } catch {
    return undefined
  }
  const config = isObject(value) ? value : {}
  const data = resolve(base, typeof config['data_dir'] === 'string' ? config['data_dir'] : 'data')
  const control: unknown[] = Array.isArray(config['control']) ? config['control'] : [{}]
  return control.map((entry) => {
    const path = isObject(entry) ? entry['path'] : undefined
    return typeof path === 'string' ? resolve(base, path) : join(data, 'gatehouse.sock')
  })
}

/** The data folder of a block of options that says nothing about sockets; undefined when it has to be read properly. */
function simpleDataDir(text: string): string | undefined {
  const isBlock = /^(?:\s*#.*\n|\s*\n|---\s*\n)*[A-Za-z_]+\s*:/.test(text)
  if (!isBlock || /^["']?control["']?\s*:|<<|^["'?]/m.test(text)) return undefined
  if (!/^data_dir\s*:/m.test(text)) return 'data'
  return /^data_dir\s*: +([\w./~+-]+)[ \t]*(?:#.*)?$/m.exec(text)?.[1]
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Connects to the first of them that answers; throws NoServer with one sentence. */
export async function openClient(places: readonly Place[], login: string): Promise<Client> {
  const failures: { place: Place; code: string | undefined }[] = []
  for (const place of places) {
    if (Buffer.byteLength(place.path) > maxSocketPath) {
      throw new NoServer(
        `The path of the control socket is too long (${maxSocketPath} bytes at most): ${place.path}`,
      )
    }
    try {
      return new Client(await connectedSoon(place.path), login)
    } catch (error) {
      failures.push({ place, code: (error as NodeJS.ErrnoException).code })
    }
  }
  const denied = failures.find(({ code }) => code === 'EACCES' || code === 'EPERM')
  if (denied) {
    throw new NoServer(
      `You may not open the control socket ${denied.place.path}: run this as the user that the server runs as, or as a member of the socket's group.`,
    )
  }
  const looked = failures.map(({ place }) => `${place.path} (${place.because})`).join(' and ')
  throw new NoServer(
    `No server answers on ${looked}. Start one with 'gatehouse', or say where it is with --socket or --server.`,
  )
}

/** So long a server may be too busy to take connections, in milliseconds. */
const longestWait = 10_000

/** Linux refuses at once (EAGAIN) while more wait to be accepted than may; that passes. */
async function connectedSoon(path: string): Promise<Socket> {
  const end = Date.now() + longestWait
  for (;;) {
    try {
      return await connected(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 80))
    }
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

export interface CallHandlers {
  /** Rows of a big list; the next ones are read when it resolves. */
  rows?(rows: readonly Row[]): void | Promise<void>
  /** Bytes of a file; the next ones are read when it resolves. */
  bytes?(bytes: Buffer): Promise<void>
  progress?(done: number, total: number | undefined, text: string | undefined): void
  /** The file that the command reads, in portions. */
  file?: AsyncIterator<string> | undefined
}

interface Pending {
  readonly handlers: CallHandlers
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** Calls on one connection; any number at a time. */
export class Client {
  readonly #socket: Socket
  readonly #pending = new Map<number, Pending>()
  #lastId = 0
  #rest: Buffer[] = []
  #closed: NoServer | undefined
  /** Rows that are being printed; reading goes on behind them. */
  #busy: Promise<void> = Promise.resolve()

  constructor(socket: Socket, login: string) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () =>
      this.#lost('The connection to the server was lost; the command may have been done.'),
    )
    this.#notify(methods.hello, { login, program: 'gatehousectl' })
  }

  hello(): Promise<Hello> {
    return this.call(methods.hello, {}) as Promise<unknown> as Promise<Hello>
  }

  describe(command?: string): Promise<Description> {
    return this.call(
      methods.describe,
      command === undefined ? {} : { command },
    ) as Promise<unknown> as Promise<Description>
  }

  /** Rejects with Refused or NoServer. */
  call(
    method: string,
    params: { readonly [name: string]: JsonValue },
    handlers: CallHandlers = {},
    onId?: (id: number) => void,
  ): Promise<CommandReply> {
    if (this.#closed) return Promise.reject(this.#closed)
    const id = ++this.#lastId
    onId?.(id)
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { handlers, resolve: (result) => resolve(result as CommandReply), reject })
      this.#send({ jsonrpc: '2.0', id, method, params })
    })
  }

  /** Calls that come from now on run one at a time, in their order; with `stop` none behind one that failed. */
  async inOrder(stop: boolean): Promise<void> {
    await this.call(methods.inOrder, { stop })
  }

  /** Ends whatever has not been answered. */
  cancelAll(): void {
    for (const id of [...this.#pending.keys()]) this.cancel(id).catch(() => undefined)
  }

  async cancel(id: number): Promise<void> {
    await this.call(methods.cancel, { id })
  }

  close(): void {
    this.#socket.end()
    this.#socket.unref()
  }

  /** A notification of hello would get no answer: none is wanted, so it is a call whose answer nobody waits for. */
  #notify(method: string, params: { readonly [name: string]: JsonValue }): void {
    this.call(method, params).catch(() => undefined)
  }

  /** What is sent in one turn leaves together. */
  #send(message: object): void {
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork()
      setImmediate(() => this.#socket.uncork())
    }
    this.#socket.write(`${JSON.stringify(message)}\n`)
  }

  #read(chunk: Buffer): void {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end < 0) {
        if (start < chunk.length) this.#rest.push(chunk.subarray(start))
        return
      }
      const part = chunk.subarray(start, end)
      const line = this.#rest.length === 0 ? part : Buffer.concat([...this.#rest, part])
      this.#rest = []
      start = end + 1
      const message = parsed(line)
      if (!message) {
        this.#lost('What answers on the socket does not speak the protocol of a gatehouse server.')
        this.#socket.destroy()
        return
      }
      this.#message(message)
    }
  }

  #message(message: Incoming): void {
    const pending = this.#pending.get(message.id ?? message.params?.id ?? -1)
    if (!pending) return
    if (message.method === undefined) this.#answer(message, pending)
    else this.#notified(message, pending)
  }

  #answer(message: Incoming, pending: Pending): void {
    this.#pending.delete(message.id ?? -1)
    // Behind the rows that are still being printed.
    void this.#busy.then(() => {
      if (message.error) pending.reject(new Refused(message.error))
      else pending.resolve(message.result)
    })
  }

  #notified({ method, params = { id: -1 } }: Incoming, { handlers, reject }: Pending): void {
    if (method === notifications.rows) {
      this.#inOrder(() => handlers.rows?.(params.rows ?? []), reject)
    } else if (method === notifications.bytes) {
      this.#inOrder(() => handlers.bytes?.(Buffer.from(params.data ?? '', 'base64')), reject)
    } else if (method === notifications.progress) {
      handlers.progress?.(params.done ?? 0, params.total, params.text)
    } else if (method === notifications.more) {
      const next = handlers.file?.next() ?? Promise.resolve({ done: true, value: undefined })
      next.then(({ done, value }) => {
        const data = { id: params.id, data: done ? '' : value, last: done === true }
        this.#send({ jsonrpc: '2.0', method: methods.data, params: data })
      }, reject)
    }
  }

  /** What writes somewhere: one portion after the other, and nothing is read meanwhile. */
  #inOrder(write: () => void | Promise<void>, reject: (error: unknown) => void): void {
    this.#socket.pause()
    this.#busy = this.#busy
      .then(write)
      .catch(reject)
      .finally(() => this.#socket.resume())
  }

  #lost(sentence: string): void {
    this.#closed ??= new NoServer(sentence)
    for (const { reject } of this.#pending.values()) reject(this.#closed)
    this.#pending.clear()
  }
}

interface Incoming {
  readonly id?: number
  readonly result?: unknown
  readonly error?: ErrorReply
  readonly method?: string
  readonly params?: {
    readonly id: number
    readonly rows?: readonly Row[]
    readonly data?: string
    readonly done?: number
    readonly total?: number
    readonly text?: string
  }
}

function parsed(line: Buffer): Incoming | undefined {
  try {
    const value: unknown = JSON.parse(line.toString())
    return isObject(value) ? (value as Incoming) : undefined
  } catch {
    return undefined
  }
}
