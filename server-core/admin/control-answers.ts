/**
 * What goes out to one client of the control socket: answers, and what comes before them in portions. A client that does not
 * read holds up the commands that make its rows, and after a while is cut off.
 */
import type { Socket } from 'node:net'
import { CommandError, type CommandResult } from '../extend/command.ts'
import {
  type CommandReply,
  type ErrorReply,
  errorCodes,
  maxLineBytes,
  maxRows,
  notifications,
  type Row,
} from './control-protocol.ts'
import type { CallError } from './dispatch.ts'

/** A reader may pause (a person with a pager); one that has gone is noticed by the socket. */
const sendTimeout = 600_000
const progressInterval = 100
/** Rows that come one by one are not kept back longer than this. */
const rowsInterval = 100
/** A portion of rows or of a file is closed at this size, so that no line comes near the limit. */
const portionBytes = 262_144

export type Id = string | number

/** A call whose answer is being made. */
export interface Cancellable {
  readonly isCancelled: boolean
}

export class Answers {
  readonly #socket: Socket
  #sendTimer: NodeJS.Timeout | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    const onRead = () => {
      clearTimeout(this.#sendTimer)
      this.#sendTimer = undefined
    }
    socket.on('drain', onRead)
    socket.on('close', onRead)
  }

  result(id: Id, result: unknown): void {
    this.#send({ jsonrpc: '2.0', id, result })
  }

  error(id: Id | null, { code, message, data }: CallError): void {
    this.#send({
      jsonrpc: '2.0',
      id,
      error: data === undefined ? { code, message } : { code, message, data },
    })
  }

  /** Asks for the next portion of a call's file. */
  askForMore(id: Id): void {
    this.#send({ jsonrpc: '2.0', method: notifications.more, params: { id } })
  }

  #send(message: object): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    let line = JSON.stringify(message)
    if (line.length > maxLineBytes / 4 && Buffer.byteLength(line) > maxLineBytes) {
      const { id } = message as { id?: Id }
      const error: ErrorReply = { code: errorCodes.failed, message: 'the answer is larger than 1 MiB' }
      line = JSON.stringify({ jsonrpc: '2.0', id: id ?? null, error })
    }
    // the answers of one turn of the event loop leave together
    if (socket.writableCorked === 0) {
      socket.cork()
      setImmediate(() => socket.uncork())
    }
    if (!socket.write(`${line}\n`) && this.#sendTimer === undefined) {
      this.#sendTimer = setTimeout(() => socket.destroy(), sendTimeout)
    }
  }

  /** Tells how far a command is, not too often. */
  progress(id: Id): (done: number, total: number | undefined, text?: string) => void {
    let last = Number.NEGATIVE_INFINITY
    return (done, total, text) => {
      const now = performance.now()
      if (now - last < progressInterval || this.#socket.writableNeedDrain) return
      last = now
      this.#send({ jsonrpc: '2.0', method: notifications.progress, params: { id, done, total, text } })
    }
  }

  /** Sends what does not fit into an answer; resolves to the answer. Rejects when the call is cancelled. */
  async reply(id: Id, result: CommandResult, call: Cancellable): Promise<CommandReply> {
    if (result === undefined) return { ok: true }
    if (typeof result === 'number' || typeof result === 'string') return { value: result }
    if ('ok' in result) return { ok: result.ok, text: result.text }
    if ('file' in result) return { bytes: await this.#file(id, result.file, call) }
    if (Array.isArray(result) && result.length <= maxRows) {
      const reply = { rows: result as readonly Row[] }
      if (Buffer.byteLength(JSON.stringify(reply)) <= portionBytes) return reply
    }
    return { count: await this.#rows(id, result as Iterable<Row> | AsyncIterable<Row>, call) }
  }

  async #rows(id: Id, rows: Iterable<Row> | AsyncIterable<Row>, call: Cancellable): Promise<number> {
    let portion: Row[] = []
    let bytes = 0
    let count = 0
    let timer: NodeJS.Timeout | undefined
    const send = (): void => {
      clearTimeout(timer)
      timer = undefined
      if (portion.length === 0) return
      this.#send({ jsonrpc: '2.0', method: notifications.rows, params: { id, rows: portion } })
      portion = []
      bytes = 0
    }
    try {
      for await (const row of rows) {
        if (call.isCancelled) throw new CommandError('cancelled')
        portion.push(row)
        count++
        for (const value of row) bytes += typeof value === 'string' ? value.length * 3 + 3 : 20
        if (portion.length >= maxRows || bytes > portionBytes) send()
        else timer ??= setTimeout(send, rowsInterval)
        await this.#drained()
      }
      send()
      await this.#drained()
    } catch (error) {
      // What was done before it failed is told all the same.
      send()
      throw error
    } finally {
      clearTimeout(timer)
    }
    return count
  }

  async #file(id: Id, chunks: AsyncIterable<Uint8Array>, call: Cancellable): Promise<number> {
    let count = 0
    for await (const chunk of chunks) {
      if (call.isCancelled) throw new CommandError('cancelled')
      for (let at = 0; at < chunk.length; at += portionBytes) {
        const data = Buffer.from(chunk.subarray(at, at + portionBytes)).toString('base64')
        this.#send({ jsonrpc: '2.0', method: notifications.bytes, params: { id, data } })
        await this.#drained()
      }
      count += chunk.length
    }
    return count
  }

  #drained(): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed) throw new CommandError('cancelled')
    if (!socket.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const onDrain = () => {
        socket.off('close', onClose)
        resolve()
      }
      const onClose = () => {
        socket.off('drain', onDrain)
        reject(new CommandError('cancelled'))
      }
      socket.once('drain', onDrain)
      socket.once('close', onClose)
    })
  }
}
