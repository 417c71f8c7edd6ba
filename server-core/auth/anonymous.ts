/** People without an account (RFC 4505, ejabberd's `auth_method: anonymous`): they have a name while they are connected. */
import { randomUUID } from 'node:crypto'
import type { AuthBackend, Verdict } from './backend.ts'

export interface AnonymousOptions {
  /** sasl_anon: a name of ours, by SASL ANONYMOUS. login_anon: any name that is free, with any password. */
  readonly anonymous_protocol: 'sasl_anon' | 'login_anon' | 'both'
  /** Whether one name can be taken again while it is connected; with login_anon. */
  readonly allow_multiple_connections: boolean
  /** Whether somebody without an account is connected under that name. */
  isConnected(user: string, host: string): boolean
}

export class AnonymousBackend implements AuthBackend {
  readonly isForStrangers = true
  readonly hasPasswords: boolean
  readonly joinAnonymously?: () => string
  readonly #options: AnonymousOptions

  constructor(options: AnonymousOptions) {
    this.#options = options
    this.hasPasswords = options.anonymous_protocol !== 'sasl_anon'
    if (options.anonymous_protocol !== 'login_anon') this.joinAnonymously = randomUUID
  }

  async checkPassword(user: string, host: string): Promise<Verdict> {
    if (!this.hasPasswords) return { ok: false, reason: 'unknown' }
    const { allow_multiple_connections, isConnected } = this.#options
    const isFree = allow_multiple_connections || !isConnected(user, host)
    return isFree ? { ok: true } : { ok: false, reason: 'wrong' }
  }

  async accountExists(user: string, host: string): Promise<boolean> {
    return this.#options.isConnected(user, host)
  }

  /** Nobody proves to be somebody without an account. */
  async standing(): Promise<Verdict> {
    return { ok: false, reason: 'unknown' }
  }
}
