/** Work that belongs to one thing (an account, a contact) and is done one after the other, in the order it was asked for. */

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /**
   * Does the work when all earlier work of the same key is over, at once when there is none; whether that succeeded does not
   * matter. Work must never wait for another turn of the same key: it would wait for itself.
   */
  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = before === undefined ? work() : before.then(work, work)
    this.#last.set(key, mine)
    const leave = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
    mine.then(leave, leave)
    return mine
  }

  /** How many keys have work under way. */
  get size(): number {
    return this.#last.size
  }
}
