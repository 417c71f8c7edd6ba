/**
 * What this process has changed within the last minute. A server that loses a relay or a connection over a request sends it again,
 * and is to be told what it would have been told: a second registration is no conflict, a second removal no failure.
 */
import { createHmac, randomBytes } from 'node:crypto'

/** How long a request may be one that is sent again, in milliseconds. */
export const replayWindow = 60_000
/** More than that are not made within the window; the oldest is forgotten first. */
const maxChanges = 10_000

export interface Change {
  readonly op: 'tryregister' | 'removeuser3'
  readonly user: string
  readonly host: string
  readonly password: Buffer
}

export class RecentChanges {
  /** Passwords are not kept, not even for a minute. */
  readonly #key = randomBytes(32)
  /** By what was changed: performance.now() when it had been. */
  readonly #made = new Map<string, number>()

  add(change: Change): void {
    const name = this.#nameOf(change)
    this.#made.delete(name)
    this.#made.set(name, performance.now())
    for (const [oldest, at] of this.#made) {
      if (this.#made.size <= maxChanges && isRecent(at)) break
      this.#made.delete(oldest)
    }
  }

  has(change: Change): boolean {
    const at = this.#made.get(this.#nameOf(change))
    return at !== undefined && isRecent(at)
  }

  #nameOf({ op, user, host, password }: Change): string {
    return createHmac('sha256', this.#key).update(`${op}:${user}@${host}:`).update(password).digest('base64')
  }
}

function isRecent(at: number): boolean {
  return performance.now() - at < replayWindow
}
