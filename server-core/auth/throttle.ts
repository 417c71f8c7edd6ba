/**
 * Guessing is made slow, and nobody is locked out: after ten wrong passwords in a row for one account its next wrong answers
 * are held back. A held answer may hold others, so whoever carries it decides how long it can be held there.
 */

const free = 10
/** So many accounts are remembered; the one not tried for longest is forgotten first. */
const maxAccounts = 10_000

export class Throttle {
  readonly #longest: () => number
  readonly #wrong = new Map<string, number>()

  /** `longest`: how long an answer is held at most, in milliseconds; 0 switches it off. */
  constructor(longest: number | (() => number)) {
    this.#longest = typeof longest === 'number' ? () => longest : longest
  }

  right(user: string, host: string): void {
    this.#wrong.delete(`${user}@${host}`)
  }

  /** Counts, and gives for how long the answer is to be held, in milliseconds. */
  wrong(user: string, host: string): number {
    const account = `${user}@${host}`
    const count = (this.#wrong.get(account) ?? 0) + 1
    this.#wrong.delete(account)
    this.#wrong.set(account, count)
    if (this.#wrong.size > maxAccounts) {
      const [oldest] = this.#wrong.keys()
      if (oldest !== undefined) this.#wrong.delete(oldest)
    }
    return count > free ? Math.min(this.#longest(), 25 * 2 ** Math.min(count - free, 16)) : 0
  }
}
