/**
 * Moves accounts from one backend to another, each with its next login: a password that an older backend has accepted is
 * written to the new one, which answers for the account from then on.
 */
import type { Authenticator } from '../server-core/auth/authenticator.ts'
import type { Logger } from '../server-core/log.ts'
import type { Statistics } from './statistics.ts'

/** More than that at once is left for the next logins. */
const maxAtOnce = 8
/** How long one may take, in milliseconds. */
const timeout = 30_000

export class Learner {
  readonly #target: string
  readonly #log: Logger
  readonly #statistics: Statistics
  readonly #learning = new Map<string, Promise<void>>()

  /** `target`: the name of the backend that learns. */
  constructor(target: string, log: Logger, statistics: Statistics) {
    this.#target = target
    this.#log = log
    this.#statistics = statistics
  }

  /** After a login that `backend` accepted; nobody waits for it. */
  learn(authenticator: Authenticator, user: string, password: Buffer, backend: string): void {
    if (backend === this.#target || this.#learning.size >= maxAtOnce) return
    const account = `${user}@${authenticator.host}`
    const target = authenticator.backend(this.#target)
    if (target?.register === undefined || this.#learning.has(account)) return
    const work = this.#move(authenticator, user, Buffer.from(password), backend)
      .catch((error: unknown) => {
        const reason = (error as Error).message
        this.#log.warn({ user, host: authenticator.host, reason }, 'an account has not moved yet')
      })
      .finally(() => this.#learning.delete(account))
    this.#learning.set(account, work)
  }

  async #move(authenticator: Authenticator, user: string, password: Buffer, from: string): Promise<void> {
    const { host } = authenticator
    const target = authenticator.backend(this.#target)
    const signal = AbortSignal.timeout(timeout)
    const verdict = await target?.register?.(user, host, password, signal)
    if (verdict?.ok) {
      // Another process may have changed or removed the account meanwhile, and did not find it here yet.
      if (await this.#isStillRight(authenticator, user, password, from)) {
        this.#statistics.count('learned')
        this.#log.info({ user, host, from, to: this.#target }, 'an account has moved')
      } else {
        await target?.remove?.(user, host, AbortSignal.timeout(timeout))
        this.#log.info({ user, host, from }, 'an account has not moved: it was changed meanwhile')
      }
    } else if (verdict !== undefined && verdict.reason !== 'exists') {
      const { reason } = verdict
      this.#log.warn({ user, host, reason }, 'an account cannot move: its password was refused')
    }
  }

  /** An outage is no reason to doubt: it was right a moment ago. */
  async #isStillRight(
    authenticator: Authenticator,
    user: string,
    password: Buffer,
    from: string,
  ): Promise<boolean> {
    const signal = AbortSignal.timeout(timeout)
    try {
      return (
        (await authenticator.backend(from)?.checkPassword(user, authenticator.host, password, signal))?.ok ??
        true
      )
    } catch {
      return true
    }
  }

  /** Resolves when the account is not being moved. */
  async settled(user: string, host: string): Promise<void> {
    await this.#learning.get(`${user}@${host}`)
  }

  /** Waits for those that are being moved. */
  async close(): Promise<void> {
    await Promise.all(this.#learning.values())
  }
}
