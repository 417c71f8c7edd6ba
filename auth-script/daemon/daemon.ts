/**
 * One process for all virtual hosts: every connection is served as a pipe would be, by the same operations. What a client
 * does, or leaves undone, costs itself its connection and nobody else anything.
 */
import type { Socket } from 'node:net'
import type { Logger } from '../../server-core/log.ts'
import type { Result, Signals } from '../outcome.ts'
import { type End, Serving } from '../serve.ts'
import type { Statistics } from '../statistics.ts'
import { frameWire } from '../wire.ts'
import { LineServing } from './line-serving.ts'
import { Patience } from './patience.ts'
import type { Protocol } from './sockets.ts'

export interface DaemonOptions {
  /** Asked for each connection. */
  maxConnections(): number
  deadline(): number
  carryOut(payload: Buffer, signals: Signals): Promise<Result>
  readonly log: Logger
  readonly statistics: Statistics
}

/** A connection reads ahead so much; one frame of the longest fits. */
const maxAhead = { requests: 64, bytes: 65_536 }
/** In milliseconds. */
const times = {
  /** Answers wait for a reader no longer than that. */
  unread: 30_000,
  /** Half a request waits for its rest no longer than that. */
  cut: 30_000,
  /** A connection that has been quiet for so long makes room for a new one when all places are taken. */
  quiet: 10_000,
  look: 1_000,
}

interface Connection {
  readonly socket: Socket
  readonly serving: Serving | LineServing
  /** performance.now() of the last bytes. */
  heard: number
  /** Whether a request is begun and not complete. */
  isCut(): boolean
}

export class Daemon {
  readonly #options: DaemonOptions
  readonly #connections = new Set<Connection>()
  readonly #ends = new Set<Promise<void>>()
  readonly #patience = new Patience(() => this.#hasRoom())
  readonly #look: NodeJS.Timeout
  #refusals = Number.NEGATIVE_INFINITY
  #isStopping: boolean = false

  constructor(options: DaemonOptions) {
    this.#options = options
    this.#look = setInterval(() => this.#closeStuck(), times.look).unref()
    options.statistics.gauges(() => ({
      connections: this.#connections.size,
      busy_connections: this.#busy(),
    }))
  }

  connected(socket: Socket, protocol: Protocol): void {
    // Whatever is wrong with it, its serving ends; an error that nobody listens to would end the process.
    socket.on('error', () => undefined)
    if (this.#isStopping || !this.#makeRoom()) {
      socket.destroy()
      return
    }
    this.#options.statistics.count('connections_accepted')
    const wire = frameWire(() => 'error-frame')
    const { log, statistics } = this.#options
    const common = {
      deadline: () => this.#options.deadline(),
      carryOut: (payload: Buffer, signals: Signals) => this.#options.carryOut(payload, signals),
      hold: (ms: number) => this.#patience.hold(ms),
      log,
      statistics,
    }
    const serving =
      protocol === 'frames'
        ? new Serving({ ...common, input: socket, output: { stream: socket }, wire, maxAhead })
        : new LineServing(socket, common)
    const connection: Connection = {
      socket,
      serving,
      heard: performance.now(),
      isCut: () => protocol === 'frames' && wire.waiting > 0,
    }
    socket.on('data', () => {
      connection.heard = performance.now()
    })
    this.#connections.add(connection)
    const end = serving.run().then((how) => this.#ended(connection, how))
    this.#ends.add(end)
    void end.finally(() => this.#ends.delete(end))
  }

  /** What runs is answered, for up to so many milliseconds; then all connections are closed. */
  async stop(ms: number): Promise<void> {
    this.#isStopping = true
    this.#patience.end()
    for (const { serving } of this.#connections) serving.stop()
    await Promise.race([Promise.all(this.#ends), new Promise((resolve) => setTimeout(resolve, ms).unref())])
    clearInterval(this.#look)
    for (const { socket } of this.#connections) socket.destroy()
  }

  #ended(connection: Connection, how: End): void {
    this.#connections.delete(connection)
    if (how === 'done') connection.socket.end(() => connection.socket.destroy())
    else connection.socket.destroy()
  }

  #busy(): number {
    let busy = 0
    for (const { serving } of this.#connections) if (serving.isBusy) busy++
    return busy
  }

  #hasRoom(): boolean {
    return this.#busy() * 2 <= this.#connections.size
  }

  /** When all places are taken, the one that has been quiet for longest gives way. */
  #makeRoom(): boolean {
    if (this.#connections.size < this.#options.maxConnections()) return true
    let quietest: Connection | undefined
    for (const connection of this.#connections) {
      const { serving } = connection
      const isIdle = serving instanceof LineServing ? serving.isIdle : !serving.isBusy
      if (isIdle && (quietest === undefined || connection.heard < quietest.heard)) quietest = connection
    }
    const now = performance.now()
    if (now - this.#refusals > 60_000) {
      this.#refusals = now
      this.#options.log.warn(
        { connections: this.#connections.size },
        'all places are taken (said once a minute)',
      )
    }
    if (quietest === undefined || now - quietest.heard < times.quiet) {
      this.#options.statistics.count('connections_refused')
      return false
    }
    this.#drop(quietest, 'it made room for another')
    return true
  }

  #closeStuck(): void {
    const now = performance.now()
    for (const connection of this.#connections) {
      const { writingSince } = connection.serving
      if (writingSince !== undefined && now - writingSince > times.unread) {
        this.#drop(connection, 'nobody reads the answers')
      } else if (connection.isCut() && !connection.serving.isBusy && now - connection.heard > times.cut) {
        this.#drop(connection, 'a request does not end')
      }
    }
  }

  #drop(connection: Connection, reason: string): void {
    this.#options.statistics.count('connections_dropped')
    this.#options.log.info({ reason }, 'a connection is closed')
    this.#connections.delete(connection)
    connection.socket.destroy()
  }
}
