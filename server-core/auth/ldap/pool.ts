/**
 * Connections of one kind to one server: lent to one request at a time, opened when there is none to lend, at most so many.
 * Who finds all of them lent waits in a line that has an end.
 */
import type { Connection } from './client.ts'
import { type Deadline, onExpiry } from './deadline.ts'
import { NoAnswer } from './no-answer.ts'

export interface PoolOptions {
  readonly open: (deadline: Deadline) => Promise<Connection>
  readonly max: number
  readonly maxWaiting: number
  /** Milliseconds after which a connection that nobody used is closed. */
  readonly idleTimeout: number
}

interface Idle {
  readonly connection: Connection
  readonly timer: NodeJS.Timeout
}

type Waiter = (place: Connection | 'open' | NoAnswer) => void

export class Pool {
  readonly #options: PoolOptions
  /** The one used last is lent first, so that those that are not needed grow old. */
  readonly #idle: Idle[] = []
  readonly #lent = new Set<Connection>()
  readonly #waiting: Waiter[] = []
  /** Lent, being opened, and idle. */
  #count = 0
  #isClosed = false

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** Throws what `work` throws, NoAnswer, or the signal's reason. */
  async use<T>(deadline: Deadline, work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#take(deadline)
    this.#lent.add(connection)
    try {
      return await work(connection)
    } finally {
      this.#lent.delete(connection)
      this.#giveBack(connection)
    }
  }

  /** A connection that was opened elsewhere; closed when there is no room for it. */
  add(connection: Connection): void {
    if (this.#count >= this.#options.max || this.#isClosed) {
      connection.destroy()
      return
    }
    this.#count += 1
    this.#giveBack(connection)
  }

  /** After an outage the connections that look open may be dead. */
  discardIdle(): void {
    for (const { connection } of [...this.#idle]) connection.destroy()
  }

  close(): void {
    this.#isClosed = true
    const closed = new NoAnswer('busy', 'the backend is closed')
    for (const waiter of this.#waiting.splice(0)) waiter(closed)
    this.discardIdle()
    for (const connection of this.#lent) connection.destroy()
  }

  async #take(deadline: Deadline): Promise<Connection> {
    if (this.#isClosed) throw new NoAnswer('busy', 'the backend is closed')
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      clearTimeout(idle.timer)
      idle.connection.onClose = () => undefined
      if (idle.connection.isOpen) return idle.connection
      this.#count -= 1
    }
    if (this.#count < this.#options.max) {
      this.#count += 1
      return await this.#open(deadline)
    }
    const place = await this.#wait(deadline)
    return place === 'open' ? await this.#open(deadline) : place
  }

  /** The caller has counted it already. */
  async #open(deadline: Deadline): Promise<Connection> {
    try {
      const connection = await this.#options.open(deadline)
      if (!this.#isClosed) return connection
      connection.destroy()
      throw new NoAnswer('busy', 'the backend is closed')
    } catch (error) {
      this.#leave()
      throw error
    }
  }

  async #wait(deadline: Deadline): Promise<Connection | 'open'> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      throw new NoAnswer('busy', `${this.#waiting.length} requests wait for a connection already`)
    }
    return await new Promise((resolve, reject) => {
      const waiter: Waiter = (place) => {
        stop()
        if (place instanceof NoAnswer) reject(place)
        else resolve(place)
      }
      const stop = onExpiry(deadline, (reason) => {
        const index = this.#waiting.indexOf(waiter)
        if (index >= 0) this.#waiting.splice(index, 1)
        reject(reason ?? new NoAnswer('busy', 'all connections are busy'))
      })
      this.#waiting.push(waiter)
    })
  }

  #giveBack(connection: Connection): void {
    if (!connection.isOpen || this.#isClosed) {
      connection.destroy()
      this.#leave()
      return
    }
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next(connection)
      return
    }
    const timer = setTimeout(() => connection.destroy(), this.#options.idleTimeout).unref()
    const idle: Idle = { connection, timer }
    connection.onClose = () => {
      clearTimeout(timer)
      const index = this.#idle.indexOf(idle)
      if (index < 0) return
      this.#idle.splice(index, 1)
      this.#leave()
    }
    this.#idle.push(idle)
  }

  /** One connection less: whoever waits first may open one. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#count -= 1
    else next('open')
  }
}
