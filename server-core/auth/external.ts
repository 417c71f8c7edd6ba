/** Authentication by an external program, over the protocol of ejabberd's external authentication. */
import { type Operation, RequestRefused } from '../extauth/packets.ts'
import type { ExtauthPool } from '../extauth/pool.ts'
import type { AuthBackend, BackendLoad, Verdict } from './backend.ts'
import { RefusalTimes } from './refusal-times.ts'

export class ExternalBackend implements AuthBackend {
  readonly #pool: ExtauthPool
  readonly #refusals = new RefusalTimes()
  /** Of the question whether there is an account. */
  readonly #absences = new RefusalTimes()

  constructor(pool: ExtauthPool) {
    this.#pool = pool
  }

  /** The protocol cannot tell an unknown user from a wrong password: both are 'wrong'. */
  async checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    // An empty password is nobody's; ejabberd does not ask either.
    if (password.length === 0) return { ok: false, reason: 'wrong', maybeUnknown: true }
    const ask = () => this.#ask('auth', user, host, password, signal)
    const isRight = await this.#refusals.noted(ask, (answer) => answer === true)
    return isRight ? { ok: true } : { ok: false, reason: 'wrong', maybeUnknown: true }
  }

  async checkNobody(_host: string, password: Buffer, signal: AbortSignal, isLast: boolean): Promise<void> {
    if (password.length > 0) await this.#refusals.wait(performance.now(), { signal })
    if (!isLast) await this.#absences.wait(performance.now(), { signal })
  }

  accountExists(user: string, host: string, signal: AbortSignal): Promise<boolean> {
    const ask = async () => (await this.#ask('isuser', user, host, undefined, signal)) === true
    return this.#absences.noted(ask, (exists) => exists)
  }

  async setPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (!(await this.accountExists(user, host, signal))) return { ok: false, reason: 'unknown' }
    return done(await this.#ask('setpass', user, host, password, signal))
  }

  async register(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (await this.accountExists(user, host, signal)) return { ok: false, reason: 'exists' }
    return done(await this.#ask('tryregister', user, host, password, signal))
  }

  async remove(user: string, host: string, signal: AbortSignal): Promise<Verdict> {
    if (!(await this.accountExists(user, host, signal))) return { ok: false, reason: 'unknown' }
    return done(await this.#ask('removeuser', user, host, undefined, signal))
  }

  load(): BackendLoad {
    return this.#pool.load
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }

  /** Undefined when the fields cannot be sent. */
  async #ask(
    op: Operation,
    user: string,
    host: string,
    password: Buffer | undefined,
    signal: AbortSignal,
  ): Promise<boolean | undefined> {
    try {
      return await this.#pool.call({ op, user, host, password }, signal)
    } catch (error) {
      if (error instanceof RequestRefused) return undefined
      throw error
    }
  }
}

function done(isDone: boolean | undefined): Verdict {
  return isDone ? { ok: true } : { ok: false, reason: 'refused' }
}
