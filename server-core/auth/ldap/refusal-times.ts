/**
 * How long a server takes to refuse a password, so that a user who is not there is refused in the same time (CWE-208). Nothing is
 * sent for that: a bind as somebody else could count as a guess at that account, or fill the logs that others watch.
 */
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { Deadline } from './deadline.ts'

/** So many refusals are remembered: a slow hour must not count for the next one. */
const remembered = 16
/** Timers are a little late, and nobody knows how much: the last bit is waited for without one, in milliseconds. */
const coarse = 2

export class RefusalTimes {
  readonly #times: number[] = []
  #next = 0
  #bind: number | undefined

  /** From the first search to the refusal of the password, in milliseconds. */
  refused(ms: number): void {
    this.#times[this.#next] = ms
    this.#next = (this.#next + 1) % remembered
  }

  /** A bind that was accepted, in milliseconds: what is known as long as nobody was refused. */
  bound(ms: number): void {
    this.#bind = ms
  }

  /**
   * Until a refusal would have come that began then (performance.now()): each time like one of the last ones, so that neither
   * one answer nor many of them differ. Rejects with the signal's reason.
   */
  async wait(began: number, deadline: Deadline): Promise<void> {
    const until = Math.min(this.#end(began), deadline.at)
    const rough = until - performance.now() - coarse
    if (rough > 1) await delay(rough, undefined, { signal: deadline.signal }).catch(() => undefined)
    deadline.signal.throwIfAborted()
    while (performance.now() < until) await turn()
  }

  #end(began: number): number {
    const usual = this.#usual()
    const like = usual[Math.floor(Math.random() * usual.length)]
    if (like !== undefined) return began + like
    const now = performance.now()
    // Without a bind to go by, one takes at least as long as the search did.
    return now + (this.#bind ?? now - began)
  }

  /** Without those that had to connect first, which happens once and must not be repeated. */
  #usual(): readonly number[] {
    const sorted = [...this.#times].sort((one, other) => one - other)
    const middle = sorted[Math.floor(sorted.length / 2)] ?? 0
    return sorted.filter((ms) => ms <= 2 * middle)
  }
}
