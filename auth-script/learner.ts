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
    const { host } = authenticator
    const work = target
      .register(user, host, Buffer.from(password), AbortSignal.timeout(timeout))
      .then(
        (verdict) => {
          if (verdict.ok) {
            this.#statistics.count('learned')
            this.#log.info({ user, host, from: backend, to: this.#target }, 'an account has moved')
          } else if (verdict.reason !== 'exists') {
            this.#log.warn(
              { user, host, reason: verdict.reason },
              'an account cannot move: its password was refused',
            )
          }
        },
        (error: unknown) =>
          this.#log.warn({ user, host, reason: (error as Error).message }, 'an account has not moved yet'),
      )
      .finally(() => this.#learning.delete(account))
    this.#learning.set(account, work)
  }

  /** Waits for those that are being moved. */
  async close(): Promise<void> {
    await Promise.all(this.#learning.values())
  }
}
