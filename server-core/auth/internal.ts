/** Authentication against our own accounts. */
import type { Accounts } from '../accounts/accounts.ts'
import type { ScramHash, ScramKeys } from '../accounts/formats/scram.ts'
import { StorageUnavailable } from '../storage/storage.ts'
import { type AuthBackend, BackendUnavailable, type Verdict } from './backend.ts'

export class InternalBackend implements AuthBackend {
  readonly accounts: Accounts

  constructor(accounts: Accounts) {
    this.accounts = accounts
  }

  checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    return answer(this.accounts.check(user, host, password, signal))
  }

  checkNobody(_host: string, password: Buffer, signal: AbortSignal): Promise<void> {
    return this.accounts.checkNobody(password, signal)
  }

  accountExists(user: string, host: string): Promise<boolean> {
    return answer(this.accounts.exists(user, host))
  }

  setPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    return answer(this.accounts.setPassword(user, host, password, signal))
  }

  register(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    return answer(this.accounts.create(user, host, password, signal))
  }

  remove(user: string, host: string, signal: AbortSignal): Promise<Verdict> {
    return answer(this.accounts.remove(user, host, signal))
  }

  standing(user: string, host: string): Promise<Verdict> {
    return answer(this.accounts.standing(user, host))
  }

  async created(user: string, host: string): Promise<number | undefined> {
    return (await answer(this.accounts.get(user, host)))?.created
  }

  async setBan(
    user: string,
    host: string,
    ban: { readonly reason: string; readonly by: string } | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    return answer(
      ban === undefined
        ? this.accounts.unban(user, host, signal)
        : this.accounts.ban(user, host, ban, signal),
    )
  }

  scramKeys(
    user: string,
    host: string,
    hash: ScramHash,
    signal: AbortSignal,
  ): Promise<ScramKeys | undefined> {
    return answer(this.accounts.scramKeys(user, host, hash, signal))
  }

  scramHashes(host: string): Promise<readonly ScramHash[]> {
    return answer(this.accounts.scramHashes(host))
  }

  async plainPassword(user: string, host: string): Promise<string | undefined> {
    return answer(this.accounts.plainPassword(user, host))
  }

  async keepsPlain(host: string): Promise<boolean> {
    return answer(this.accounts.keepsPlain(host))
  }

  async *list(host: string): AsyncIterable<string> {
    try {
      yield* this.accounts.list(host)
    } catch (error) {
      throw outage(error)
    }
  }

  async close(): Promise<void> {
    await this.accounts.close()
  }
}

async function answer<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    throw outage(error)
  }
}

/** A storage that cannot be used is a backend that cannot be used. */
function outage(error: unknown): unknown {
  return error instanceof StorageUnavailable ? new BackendUnavailable(error.message, { cause: error }) : error
}
