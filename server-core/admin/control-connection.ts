/**
 * One client of the control socket: its lines are calls, each runs by itself or in order. Everything that the client controls
 * has a bound: the length of a line, the calls in flight, the garbage; control-answers.ts bounds what waits to be written to it.
 */
import type { Socket } from 'node:net'
import type { ControlListener } from '../config/schema.ts'
import { CommandError, type CommandSpec } from '../extend/command.ts'
import type { AdminServer } from './admin-server.ts'
import { describeCommand } from './command-registry.ts'
import { complete } from './completion.ts'
import { Answers, type Id } from './control-answers.ts'
import { type Description, errorCodes, type Hello, maxLineBytes, methods } from './control-protocol.ts'
import {
  argumentsOf,
  CallError,
  type Dispatcher,
  dispatch,
  dispatchWords,
  refusal,
  takesWords,
} from './dispatch.ts'
import { FileFromClient } from './file-from-client.ts'
import { LineReader } from './line-reader.ts'

export const maxInFlight = 256
/** Lines that are no calls, on one connection. */
const maxGarbage = 100

const utf8 = new TextDecoder('utf-8', { fatal: true })

type Params = Readonly<Record<string, unknown>>

/** One that runs or waits. Most commands never look whether they are cancelled. */
class Call {
  readonly files: FileFromClient[] = []
  #abort: AbortController | undefined
  isCancelled = false

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController()
      if (this.isCancelled) this.#abort.abort()
    }
    return this.#abort.signal
  }

  cancel(): void {
    this.isCancelled = true
    this.#abort?.abort()
  }
}

/** Calls that wait for the one before them, and whether one that fails keeps those behind it from running. */
interface Order {
  readonly stop: boolean
  readonly waiting: { readonly id: Id; readonly call: Call; readonly begin: () => void }[]
  running: boolean
  failed: Id | undefined
}

export interface ConnectionOptions {
  readonly server: AdminServer
  readonly dispatcher: Dispatcher
  readonly listener: ControlListener
}

export class ControlConnection {
  readonly #socket: Socket
  readonly #answers: Answers
  readonly #options: ConnectionOptions
  readonly #lines = new LineReader(maxLineBytes)
  readonly #calls = new Map<Id, Call>()
  readonly #idle: (() => void)[] = []
  #login = 'unknown'
  #garbage = 0
  #ended = false
  #stopping = false
  /** undefined: calls run beside each other. */
  #order: Order | undefined

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket
    this.#answers = new Answers(socket)
    this.#options = options
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    // A client may close its half and wait for the answers (printf … | nc).
    socket.on('end', () => {
      this.#ended = true
      this.#closeWhenDone()
    })
    socket.on('drain', () => socket.resume())
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => {
      // What has not begun never will.
      this.#order?.waiting.splice(0)
      for (const call of this.#calls.values()) call.cancel()
    })
  }

  /** No new calls; resolves when those that run are answered, or aborted after the deadline. */
  async stop(ms: number): Promise<void> {
    this.#stopping = true
    if (this.#calls.size > 0) {
      const timer = setTimeout(() => {
        for (const call of this.#calls.values()) call.cancel()
        this.#socket.destroy()
        for (const done of this.#idle.splice(0)) done()
      }, ms)
      await new Promise<void>((resolve) => this.#idle.push(resolve))
      clearTimeout(timer)
    }
    if (!this.#socket.destroyed) {
      const forced = setTimeout(() => this.#socket.destroy(), 1_000)
      this.#socket.once('close', () => clearTimeout(forced))
      // The client has its answers; whether it also closes its half is its affair.
      if (this.#socket.writableFinished) this.#socket.destroy()
      else this.#socket.end(() => this.#socket.destroy())
    }
  }

  #read(chunk: Buffer): void {
    const lines = this.#lines.push(chunk)
    for (const line of lines ?? []) if (line.length > 0) this.#line(line)
    if (!lines) {
      this.#answers.error(
        null,
        new CallError(errorCodes.invalidRequest, `a line may have ${maxLineBytes} bytes`),
      )
      this.#hangUp()
    }
    if (this.#socket.writableNeedDrain) this.#socket.pause()
  }

  #hangUp(): void {
    this.#socket.removeAllListeners('data')
    this.#socket.end(() => this.#socket.destroy())
  }

  #line(line: Buffer): void {
    let message: unknown
    try {
      message = JSON.parse(utf8.decode(line))
    } catch {
      this.#refuse(null, errorCodes.parse, 'not a line of JSON in UTF-8')
      return
    }
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      this.#refuse(
        null,
        errorCodes.invalidRequest,
        'a line is one JSON-RPC 2.0 object; batch arrays are not taken',
      )
      return
    }
    const { jsonrpc, id, method, params = {} } = message as Params
    const validId = typeof id === 'string' || typeof id === 'number' ? id : undefined
    const isObject = typeof params === 'object' && params !== null && !Array.isArray(params)
    if (
      jsonrpc !== '2.0' ||
      typeof method !== 'string' ||
      !isObject ||
      (id !== undefined && validId === undefined)
    ) {
      const wanted = 'a call has jsonrpc "2.0", an id (text or number), a method, and params by name'
      this.#refuse(validId ?? null, errorCodes.invalidRequest, wanted)
      return
    }
    if (validId === undefined) this.#notified(method, params as Params)
    else this.#called(validId, method, params as Params)
  }

  #refuse(id: Id | null, code: number, message: string): void {
    this.#answers.error(id, new CallError(code, message))
    this.#garbage++
    if (this.#garbage >= maxGarbage) this.#hangUp()
  }

  #notified(method: string, params: Params): void {
    if (method !== methods.data) return
    const { id, data, last } = params
    const call = this.#calls.get(id as Id)
    for (const file of call?.files ?? []) file.push(typeof data === 'string' ? data : '', last === true)
  }

  #called(id: Id, method: string, params: Params): void {
    switch (method) {
      case methods.hello:
        this.#login = typeof params['login'] === 'string' ? params['login'].slice(0, 100) : 'unknown'
        this.#answers.result(id, this.#hello())
        return
      case methods.describe:
        this.#answers.result(id, this.#describe(params['command']))
        return
      case methods.inOrder:
        this.#inOrder(id, params['stop'] === true)
        return
      case methods.cancel:
        this.#answers.result(id, { cancelled: this.#cancel(params['id']) })
        return
      case methods.complete:
        this.#run(id, async (call) => {
          const { server, dispatcher, listener } = this.#options
          const commands = dispatcher.registry.list().filter((spec) => refusal(spec, listener) === undefined)
          this.#answers.result(id, { values: await complete(server, commands, params, call.signal) })
          return true
        })
        return
      case methods.words: {
        const { words } = params
        if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) {
          this.#refuse(id, errorCodes.invalidParams, 'words is a list of texts')
          return
        }
        this.#run(id, async () => {
          const { dispatcher, listener } = this.#options
          const caller = { login: this.#login, listener: listener.path ?? '' }
          this.#answers.result(id, { value: await dispatchWords(dispatcher, listener, words, caller) })
          return true
        })
        return
      }
      case methods.preview: {
        const { command, params: inner } = params
        const isObject = typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        this.#command(id, String(command), isObject ? (inner as Params) : {}, true)
        return
      }
      default:
        this.#command(id, method, params, false)
    }
  }

  #hello(): Hello {
    const { version, node, state } = this.#options.server
    return { version, node, state }
  }

  #describe(command: unknown): Description {
    const { server, dispatcher, listener } = this.#options
    const { version, node, hosts } = server
    const allowed = (spec: CommandSpec) => refusal(spec, listener) === undefined
    const list = dispatcher.registry.list().filter(allowed)
    if (typeof command !== 'string') return { version, node, hosts, commands: list.map(describeCommand) }
    const commands = list.filter((spec) => spec.name === command).map(describeCommand)
    if (commands.length > 0) return { version, node, hosts, commands, nearest: [] }
    const spec = dispatcher.registry.get(command)
    const notAllowed = spec && refusal(spec, listener)
    const nearest = dispatcher.registry.nearest(command, allowed)
    return {
      version,
      node,
      hosts,
      commands,
      nearest,
      ...(notAllowed === undefined ? {} : { notAllowed }),
      ...(!spec && takesWords(dispatcher, listener) ? { takesWords: true } : {}),
    }
  }

  #cancel(id: unknown): boolean {
    const call = this.#calls.get(id as Id)
    call?.cancel()
    return call !== undefined
  }

  #inOrder(id: Id, stop: boolean): void {
    if (this.#calls.size > 0) {
      this.#refuse(id, errorCodes.invalidRequest, 'calls are running; the order is set before them')
      return
    }
    this.#order = { stop, waiting: [], running: false, failed: undefined }
    this.#answers.result(id, {})
  }

  #command(id: Id, name: string, params: Params, isPreview: boolean): void {
    this.#run(id, async (call) => {
      const { dispatcher, listener } = this.#options
      const caller = {
        listener: listener.path ?? '',
        login: this.#login,
        get signal() {
          return call.signal
        },
        log: dispatcher.log,
        progress: this.#answers.progress(id),
      }
      const taken = this.#withFiles(id, name, params, call)
      let saysYes = true
      await dispatch(dispatcher, listener, { name, params: taken, isPreview }, caller, async (result) => {
        const reply = await this.#answers.reply(id, result, call)
        saysYes = !('ok' in reply) || reply.ok
        if (!call.isCancelled) this.#answers.result(id, reply)
        else throw new CommandError('cancelled')
      })
      return saysYes
    })
  }

  /** Runs a call: bounded in number, answered once, whatever happens. `work` resolves to false when it said no. */
  #run(id: Id, work: (call: Call) => Promise<boolean>): void {
    if (this.#stopping) {
      this.#answers.error(id, new CallError(errorCodes.failed, 'the server is stopping'))
      return
    }
    if (this.#calls.has(id)) {
      this.#refuse(id, errorCodes.invalidRequest, `a call with the id ${JSON.stringify(id)} is running`)
      return
    }
    if (this.#calls.size >= maxInFlight) {
      this.#answers.error(
        id,
        new CallError(errorCodes.busy, `${maxInFlight} commands run on this connection; wait for one`),
      )
      return
    }
    const call = new Call()
    this.#calls.set(id, call)
    const begin = () => {
      work(call)
        .catch((error: unknown) => {
          if (error instanceof CallError) this.#answers.error(id, error)
          else {
            this.#options.dispatcher.log.error({ err: error }, 'a call on the control socket failed')
            this.#answers.error(
              id,
              new CallError(errorCodes.internal, 'failed inside the server; its log says why'),
            )
          }
          return false
        })
        .then((saysYes) => this.#done(id, saysYes))
    }
    const order = this.#order
    if (order === undefined) begin()
    else {
      order.waiting.push({ id, call, begin })
      this.#next(order)
    }
  }

  #done(id: Id, saysYes: boolean): void {
    this.#calls.delete(id)
    const order = this.#order
    if (order) {
      order.running = false
      if (order.stop && !saysYes) order.failed ??= id
      // A client that has closed its half may wait for answers or may have gone: writing to it tells.
      if (!this.#ended) this.#next(order)
      else if (!this.#socket.destroyed) this.#socket.write('', (error) => !error && this.#next(order))
    }
    if (this.#calls.size === 0) for (const done of this.#idle.splice(0)) done()
    this.#closeWhenDone()
  }

  /** Begins the call that waits longest, unless one before it runs or has failed. */
  #next(order: Order): void {
    if (order.running) return
    const next = order.waiting.shift()
    if (!next) return
    if (next.call.isCancelled) {
      this.#answers.error(next.id, new CallError(errorCodes.failed, 'cancelled'))
      this.#done(next.id, false)
    } else if (order.failed !== undefined) {
      const message = `not run, because call ${JSON.stringify(order.failed)} before it failed`
      this.#answers.error(next.id, new CallError(errorCodes.notRun, message))
      this.#done(next.id, false)
    } else {
      order.running = true
      next.begin()
    }
  }

  /** Files come as their whole text or in portions; commands see portions in both cases. */
  #withFiles(id: Id, name: string, params: Params, call: Call): Params {
    const spec = this.#options.dispatcher.registry.get(name)
    if (!spec) return params
    const taken = { ...params }
    for (const [argument, { names }] of argumentsOf(spec)) {
      if (names !== 'file') continue
      const value = params[argument]
      const isStream =
        typeof value === 'object' && value !== null && 'stream' in value && value.stream === true
      if (typeof value !== 'string' && !isStream) continue
      const ask = () => this.#answers.askForMore(id)
      const file = new FileFromClient(typeof value === 'string' ? value : undefined, ask, call.signal)
      call.files.push(file)
      taken[argument] = file
    }
    return taken
  }

  #closeWhenDone(): void {
    if (this.#ended && this.#calls.size === 0) this.#socket.end()
  }
}
