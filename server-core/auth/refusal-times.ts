/**
 * How long somebody else takes to refuse a password, so that a user who is not there is refused in the same time (CWE-208). Nothing
 * is sent for that: a login as somebody else could count as a guess at that account, or fill the logs that others watch.
 */
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'

/** So many refusals are remembered: a slow hour must not count for the next one. */
const remembered = 16
/** Timers are a little late, and nobody knows how much: the last bit is waited for without one, in milliseconds. */
const coarse = 2

export class RefusalTimes {
  readonly #times: number[] = []
  #next = 0
  #accepted: number | undefined

  /** From the first question to the refusal of the password, in milliseconds. */
  refused(ms: number): void {
    this.#times[this.#next] = ms
    this.#next = (this.#next + 1) % remembered
  }

  /** A password that was accepted, in milliseconds: what is known as long as none was refused. */
  accepted(ms: number): void {
    this.#accepted = ms
  }

  /** The answer to a question, whose time is noted as that of a yes or of a no. */
  async noted<T>(ask: () => Promise<T>, isYes: (answer: T) => boolean): Promise<T> {
    const began = performance.now()
    const answer = await ask()
    const ms = performance.now() - began
    if (isYes(answer)) this.accepted(ms)
    else this.refused(ms)
    return answer
  }

  /**
   * Until a refusal would have come that began then (performance.now()): each time like one of the last ones, so that neither
   * one answer nor many of them differ; not beyond `at` (performance.now()). Rejects with the signal's reason.
   */
  async wait(
    began: number,
    { at = Number.POSITIVE_INFINITY, signal }: { readonly at?: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const until = Math.min(this.#end(began), at)
    const rough = until - performance.now() - coarse
    if (rough > 1) await delay(rough, undefined, { signal }).catch(() => undefined)
    signal.throwIfAborted()
    while (performance.now() < until) await turn()
  }

  #end(began: number): number {
    const usual = this.#usual()
    const like = usual[Math.floor(Math.random() * usual.length)]
    if (like !== undefined) return began + like
    const now = performance.now()
    // With nothing to go by, the rest takes at least as long as what was done so far.
    return now + (this.#accepted ?? now - began)
  }

  /** Without those that had to connect first, which happens once and must not be repeated. */
  #usual(): readonly number[] {
    const sorted = [...this.#times].sort((one, other) => one - other)
    const middle = sorted[Math.floor(sorted.length / 2)] ?? 0
    return sorted.filter((ms) => ms <= 2 * middle)
  }
}
