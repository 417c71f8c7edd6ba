/**
 * How long the answer to a wrong password is held back: a held answer holds one connection, which is one member of a server's
 * pool, so it is held only while at least half of the connections are free.
 */
import { setTimeout as delay } from 'node:timers/promises'

/** What is held in any case, and how often it is looked whether there still is room, in milliseconds. */
const step = 250

export class Patience {
  readonly #room: () => boolean
  #isOver: boolean = false

  /** `room`: whether at least half of the connections are free. */
  constructor(room: () => boolean) {
    this.#room = room
  }

  async hold(ms: number): Promise<void> {
    for (let left = ms; left > 0 && !this.#isOver; left -= step) {
      await delay(Math.min(step, left))
      if (!this.#room()) return
    }
  }

  /** Nothing is held any more. */
  end(): void {
    this.#isOver = true
  }
}
