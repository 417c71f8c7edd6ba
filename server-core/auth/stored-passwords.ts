/**
 * Authentication against passwords that somebody else keeps: what reads them finds the account, and here, once, the password
 * is checked.
 */
import { UnusableCredential } from '../accounts/formats/format.ts'
import { recogniseFormat } from '../accounts/formats/index.ts'
import { maxPasswordLength, verifyCredential, verifyNobody } from '../accounts/password.ts'
import type { Logger } from '../log.ts'
import type { Credential } from '../storage/storage.ts'
import type { AuthBackend, Verdict } from './backend.ts'

export type StoredPassword = Pick<Credential, 'format' | 'value'>

export interface StoredAccount {
  /** Any of them opens the account. */
  readonly passwords: readonly StoredPassword[]
  readonly disabled: boolean
}

/** What can find accounts; both calls reject with BackendUnavailable when that cannot be found out. */
export interface AccountSource {
  find(user: string, host: string): Promise<StoredAccount | undefined>
  list?(host: string): AsyncIterable<string>
  close?(): Promise<void>
}

/** Passwords of one account that are looked at; more are a mistake of the query. */
const maxPasswords = 32

/** A text by its prefix; throws UnusableCredential when no format begins like this: it is never compared as plain text. */
export function recognise(value: string): StoredPassword {
  const format = recogniseFormat(value)
  if (!format) throw new UnusableCredential('no known format begins like this')
  return { format: format.name, value }
}

export class StoredPasswordsBackend implements AuthBackend {
  readonly #source: AccountSource
  readonly #log: Logger
  readonly #complained = new Set<string>()
  /** Of somebody: who is not there takes the same time as he. */
  #sample: StoredPassword | undefined

  constructor(source: AccountSource, log: Logger) {
    this.#source = source
    this.#log = log
  }

  async checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (password.length === 0 || password.length > maxPasswordLength)
      return { ok: false, reason: 'wrong', maybeUnknown: true }
    const account = await this.#source.find(user, host)
    const passwords = account?.passwords.slice(0, maxPasswords) ?? []
    let isRight = false
    for (const stored of passwords) isRight ||= await this.#verify(stored, password, signal)
    if (passwords.length === 0) await this.checkNobody(host, password, signal)
    if (!account) return { ok: false, reason: 'unknown' }
    if (!isRight) return { ok: false, reason: 'wrong' }
    return account.disabled ? { ok: false, reason: 'disabled' } : { ok: true }
  }

  async checkNobody(_host: string, password: Buffer, signal: AbortSignal): Promise<void> {
    if (this.#sample) await verifyCredential(this.#sample, password, signal)
    else await verifyNobody('bcrypt', password, signal)
  }

  async accountExists(user: string, host: string): Promise<boolean> {
    return (await this.#source.find(user, host)) !== undefined
  }

  list(host: string): AsyncIterable<string> {
    return this.#source.list?.(host) ?? nobody()
  }

  async close(): Promise<void> {
    await this.#source.close?.()
  }

  async #verify(stored: StoredPassword, password: Buffer, signal: AbortSignal): Promise<boolean> {
    try {
      const isRight = await verifyCredential(stored, password, signal)
      this.#sample ??= stored
      return isRight
    } catch (error) {
      if (!(error instanceof UnusableCredential)) throw error
      this.complain(`${stored.format}: ${error.message}`)
      return false
    }
  }

  /** Each reason once: one bad format in a table of thousands is one line. */
  complain(reason: string): void {
    if (this.#complained.has(reason) || this.#complained.size > 100) return
    this.#complained.add(reason)
    this.#log.warn({ reason }, 'a stored password cannot be used')
  }
}

async function* nobody(): AsyncIterable<string> {
  // a source that cannot list lists nobody
}
