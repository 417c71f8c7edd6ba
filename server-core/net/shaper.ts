/** A token bucket: how long to wait before reading on, so that a peer sends no faster than it may. */
export class Shaper {
  readonly #rate: number
  readonly #burst: number
  #level: number
  #at: number

  /** @param rate bytes a second @param burst bytes that may come at once @param now milliseconds, any origin */
  constructor(rate: number, burst: number, now: number) {
    this.#rate = rate
    this.#burst = burst
    this.#level = burst
    this.#at = now
  }

  /** Counts bytes that came; milliseconds to wait before the next, 0 for none. */
  take(bytes: number, now: number): number {
    this.#level = Math.min(this.#burst, this.#level + ((now - this.#at) * this.#rate) / 1_000) - bytes
    this.#at = now
    return this.#level >= 0 ? 0 : Math.ceil((-this.#level * 1_000) / this.#rate)
  }
}
