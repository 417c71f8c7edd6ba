/**
 * Connections of one kind to one server: lent to one request at a time, opened when there is none to lend, at most so many.
 * Who finds all of them lent waits in a line that has an end.
 */
import { type Deadline, onExpiry } from './deadline.ts'
import { NoAnswer } from './no-answer.ts'

/** What can be lent. */
export interface Lendable {
  readonly isOpen: boolean
  /** Called once, when it is no longer open. */
  onClose: () => void
  destroy(): void
}

export interface PoolOptions<C extends Lendable> {
  readonly open: (deadline: Deadline) => Promise<C>
  readonly max: number
  readonly maxWaiting: number
  /** Milliseconds after which a connection that nobody used is closed. */
  readonly idleTimeout: number
}

interface Idle<C> {
  readonly connection: C
  readonly timer: NodeJS.Timeout
}

type Waiter<C> = (place: C | 'open' | NoAnswer) => void

export class Pool<C extends Lendable> {
  readonly #options: PoolOptions<C>
  /** The one used last is lent first, so that those that are not needed grow old. */
  readonly #idle: Idle<C>[] = []
  readonly #lent = new Set<C>()
  readonly #waiting: Waiter<C>[] = []
  /** Lent, being opened, and idle. */
  #count = 0
  #isClosed = false

  constructor(options: PoolOptions<C>) {
    this.#options = options
  }

  /** Throws what `work` throws, NoAnswer, or the signal's reason. */
  async use<T>(deadline: Deadline, work: (connection: C) => Promise<T>): Promise<T> {
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
  add(connection: C): void {
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

  async #take(deadline: Deadline): Promise<C> {
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
  async #open(deadline: Deadline): Promise<C> {
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

  async #wait(deadline: Deadline): Promise<C | 'open'> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      throw new NoAnswer('busy', `${this.#waiting.length} requests wait for a connection already`)
    }
    return await new Promise((resolve, reject) => {
      const waiter: Waiter<C> = (place) => {
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

  #giveBack(connection: C): void {
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
    const idle: Idle<C> = { connection, timer }
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
