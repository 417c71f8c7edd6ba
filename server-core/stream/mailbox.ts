/**
 * What waits for a session from the rest of the server: handled strictly one after the other, and never while the session is
 * in the middle of something else. Without a queue it costs a comparison.
 */
export interface MailboxLimits {
  readonly items: number
  readonly bytes: number
}

export class Mailbox<T> {
  readonly #handle: (item: T) => void | Promise<void>
  readonly #size: (item: T) => number
  readonly #limits: MailboxLimits
  readonly #overflow: () => void
  #queue: T[] = []
  /** How many of the queue have been taken already. */
  #taken = 0
  #bytes = 0
  /** Reasons to wait: not open yet, in the middle of an event, a handler that waits. */
  #held = 0

  /** @param size about how many bytes an item takes; asked only for items that wait */
  constructor(
    handle: (item: T) => void | Promise<void>,
    size: (item: T) => number,
    limits: MailboxLimits,
    overflow: () => void,
  ) {
    this.#handle = handle
    this.#size = size
    this.#limits = limits
    this.#overflow = overflow
  }

  post(item: T): void {
    if (this.#held === 0 && this.#queue.length === 0) {
      this.#run(item)
      if (this.#queue.length > 0) this.#drain()
      return
    }
    this.#queue.push(item)
    this.#bytes += this.#size(item)
    if (this.#queue.length - this.#taken > this.#limits.items || this.#bytes > this.#limits.bytes)
      this.#overflow()
  }

  /** Items wait until as many releases. */
  hold(): void {
    this.#held++
  }

  release(): void {
    this.#held--
    this.#drain()
  }

  #run(item: T): void {
    this.#held++
    const done = this.#handle(item)
    if (done instanceof Promise) void done.then(() => this.release())
    else this.#held--
  }

  #drain(): void {
    while (this.#held === 0 && this.#taken < this.#queue.length) {
      const item = this.#queue[this.#taken++] as T
      this.#bytes -= this.#size(item)
      this.#run(item)
    }
    if (this.#taken === 0) return
    this.#queue.splice(0, this.#taken)
    this.#taken = 0
  }

  /** Takes out everything that has not been handled. */
  empty(): readonly T[] {
    const rest = this.#queue.slice(this.#taken)
    this.#queue = []
    this.#taken = 0
    this.#bytes = 0
    return rest
  }
}
