/**
 * Accounts with passwords of their own: made, checked, changed, closed. Users and hosts are prepared. StorageUnavailable,
 * BackendUnavailable and the signal's reason come through as they are; none of them is an answer.
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { Verdict } from '../auth/backend.ts'
import type { Logger } from '../log.ts'
import type { AccountRecord, Credential, Storage } from '../storage/storage.ts'
import { derivationsAreIdle } from './derivations.ts'
import { UnusableCredential } from './formats/format.ts'
import { plainText } from './formats/plain.ts'
import {
  deriveScramKeys,
  parseScramKeys,
  type ScramHash,
  type ScramKeys,
  scramFormatName,
  scramHashes,
  scramIterations,
  servesScram,
} from './formats/scram.ts'
import {
  areCurrent,
  makeCredentials,
  maxPasswordLength,
  type NewPasswordFormat,
  preparedPassword,
  verifyCredential,
  verifyNobody,
} from './password.ts'

export interface AccountsOptions {
  readonly storage: Pick<Storage, 'accounts' | 'removeAccount'>
  readonly log: Logger
  /** What new passwords are kept as. */
  readonly passwordFormat: NewPasswordFormat
  /** Keep a password as `passwordFormat` says once its owner has logged in with it. */
  readonly rehash: boolean
  /** Salts of SCRAM logins on plain passwords come from it; one that lasts keeps them the same for clients. */
  readonly secret?: Buffer
}

/** In bytes (RFC 7622 §3.3.1). */
const maxUserLength = 1023

/** Each costs the time of a hash when a password is wrong. */
export const maxApplicationPasswords = 10
/** Some 600 bytes each. */
const maxKeys = 1000
/** In characters. */
const maxLabel = 64

/** Which of an account's credentials is checked, as all are of one password. */
const preferred = ['plain', ...(['SHA-256', 'SHA-512', 'SHA-1'] as const).map(scramFormatName)]

export class Accounts {
  readonly #options: AccountsOptions
  readonly #storage: Pick<Storage, 'accounts' | 'removeAccount'>
  readonly #secret: Buffer
  readonly #rewriting = new Set<Promise<void>>()
  readonly #complained = new Set<string>()
  /** Keys that were made of plain passwords, as that takes a hundred times what a login takes; `known` changes with the password. */
  readonly #keysOf = new Map<string, { readonly known: string; readonly keys: ScramKeys }>()

  constructor(options: AccountsOptions) {
    this.#options = options
    this.#storage = options.storage
    this.#secret = options.secret ?? randomBytes(32)
  }

  exists(user: string, host: string): Promise<boolean> {
    return this.#storage.accounts.exists(user, host)
  }

  get(user: string, host: string): Promise<AccountRecord | undefined> {
    return this.#storage.accounts.get(user, host)
  }

  /** Takes as long for an unknown user as for a known one, and tells that an account is closed only to its owner. */
  async check(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (!isPossible(user, password)) return { ok: false, reason: 'wrong', maybeUnknown: true }
    const account = await this.#storage.accounts.get(user, host)
    const credentials = account ? await this.#storage.accounts.credentials(user, host) : []
    const matched = await this.#matching(credentials, password, signal)
    if (account === undefined) return { ok: false, reason: 'unknown' }
    if (matched === undefined) return { ok: false, reason: 'wrong' }
    if (isClosed(account)) return { ok: false, reason: 'disabled' }
    this.#rewriteLater(account, credentials, matched, password)
    return { ok: true }
  }

  /** Takes the time of a check for an account that is not there. */
  async checkNobody(password: Buffer, signal: AbortSignal): Promise<void> {
    await verifyNobody(this.#options.passwordFormat, password, signal)
  }

  /** 'exists', or 'refused' for a password that cannot be kept. */
  async create(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (!isPossible(user, password)) return { ok: false, reason: 'refused' }
    if (await this.#storage.accounts.get(user, host)) return { ok: false, reason: 'exists' }
    const credentials = await makeCredentials(this.#options.passwordFormat, password, '', signal)
    if (credentials === undefined) return { ok: false, reason: 'refused' }
    const isNew = await this.#storage.accounts.create(user, host, credentials, signal)
    return isNew ? { ok: true } : { ok: false, reason: 'exists' }
  }

  /** 'unknown', or 'refused' for a password that cannot be kept. Passwords of applications stay. */
  async setPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (!(await this.#storage.accounts.get(user, host))) return { ok: false, reason: 'unknown' }
    if (!isPossible(user, password)) return { ok: false, reason: 'refused' }
    const credentials = await makeCredentials(this.#options.passwordFormat, password, '', signal)
    if (credentials === undefined) return { ok: false, reason: 'refused' }
    const isKnown = await this.#storage.accounts.setCredentials(user, host, '', credentials, signal)
    return isKnown ? { ok: true } : { ok: false, reason: 'unknown' }
  }

  /**
   * Adds a password of one application, under its name, or replaces it; the account's own stays. 'unknown', or 'refused' for
   * a password or a name that cannot be kept, or when the account has too many.
   */
  async setApplicationPassword(
    user: string,
    host: string,
    label: string,
    password: Buffer,
    signal: AbortSignal,
  ): Promise<Verdict> {
    if (!isLabel(label) || !isPossible(user, password)) return { ok: false, reason: 'refused' }
    const labels = await this.applicationPasswords(user, host)
    if (labels === undefined) return { ok: false, reason: 'unknown' }
    const isNew = !labels.some((one) => one.label === label)
    if (isNew && labels.length >= maxApplicationPasswords) return { ok: false, reason: 'refused' }
    const credentials = await makeCredentials(this.#options.passwordFormat, password, label, signal)
    if (credentials === undefined) return { ok: false, reason: 'refused' }
    const isKnown = await this.#storage.accounts.setCredentials(user, host, label, credentials, signal)
    return isKnown ? { ok: true } : { ok: false, reason: 'unknown' }
  }

  /** The names of its applications' passwords and since when each is so; undefined when there is no such account. */
  async applicationPasswords(
    user: string,
    host: string,
  ): Promise<readonly Pick<Credential, 'label' | 'changed'>[] | undefined> {
    if (!(await this.#storage.accounts.get(user, host))) return undefined
    const all = new Map<string, number>()
    for (const { label, changed } of await this.#storage.accounts.credentials(user, host)) {
      if (label !== '') all.set(label, changed)
    }
    return [...all].map(([label, changed]) => ({ label, changed }))
  }

  /** 'unknown' when there is no account or it has no such password. */
  async removeApplicationPassword(user: string, host: string, label: string): Promise<Verdict> {
    const labels = await this.applicationPasswords(user, host)
    if (label === '' || !labels?.some((one) => one.label === label)) return { ok: false, reason: 'unknown' }
    return known(await this.#storage.accounts.setCredentials(user, host, label, []))
  }

  /** Removes everything that is kept for the account, not only its password. */
  async remove(user: string, host: string, signal?: AbortSignal): Promise<Verdict> {
    const existed = await this.#storage.removeAccount(user, host, signal)
    return existed ? { ok: true } : { ok: false, reason: 'unknown' }
  }

  list(host: string): AsyncIterable<string> {
    return this.#storage.accounts.list(host)
  }

  async hosts(): Promise<readonly string[]> {
    return this.#storage.accounts.hosts()
  }

  async count(host: string): Promise<number> {
    return this.#storage.accounts.count(host)
  }

  async enable(user: string, host: string): Promise<Verdict> {
    return known(await this.#storage.accounts.setDisabled(user, host, false))
  }

  async disable(user: string, host: string): Promise<Verdict> {
    return known(await this.#storage.accounts.setDisabled(user, host, true))
  }

  async ban(
    user: string,
    host: string,
    ban: { reason: string; by: string },
    signal?: AbortSignal,
  ): Promise<Verdict> {
    const since = Math.floor(Date.now() / 1000)
    return known(await this.#storage.accounts.setBan(user, host, { since, ...ban }, signal))
  }

  async unban(user: string, host: string, signal?: AbortSignal): Promise<Verdict> {
    return known(await this.#storage.accounts.setBan(user, host, undefined, signal))
  }

  /** Whether the account is there and may be used: what a proof without the password leaves open. */
  async standing(user: string, host: string): Promise<Verdict> {
    const account = await this.#storage.accounts.get(user, host)
    if (account === undefined) return { ok: false, reason: 'unknown' }
    return isClosed(account) ? { ok: false, reason: 'disabled' } : { ok: true }
  }

  /** The keys of an account for a hash; undefined when it is unknown, or its password is kept otherwise. */
  async scramKeys(
    user: string,
    host: string,
    hash: ScramHash,
    signal: AbortSignal,
  ): Promise<ScramKeys | undefined> {
    const credentials = await this.#storage.accounts.credentials(user, host)
    for (const { label, format, value } of credentials) {
      if (label !== '') continue
      const keys = await this.#usable(format, () => {
        if (format === scramFormatName(hash)) return parseScramKeys(value)
        if (format === 'plain') return this.#keysOfPlain(user, host, hash, plainText(value), signal)
        return undefined
      })
      if (keys !== undefined) return keys
    }
    return undefined
  }

  /** The hashes for which every account of the host has keys, or a plain password to make them of. */
  async scramHashes(host: string): Promise<readonly ScramHash[]> {
    const sets = await this.#storage.accounts.formatSets(host)
    return scramHashes.filter((hash) => sets.every(({ formats }) => servesScram(formats, hash)))
  }

  /** The password of an account; undefined when it is unknown, or its password is kept otherwise. */
  async plainPassword(user: string, host: string): Promise<string | undefined> {
    const credentials = await this.#storage.accounts.credentials(user, host)
    const plain = credentials.find(({ label, format }) => label === '' && format === 'plain')
    return plain && this.#usable('plain', () => plainText(plain.value))
  }

  /** Whether every account of the host has its password kept as it is. */
  async keepsPlain(host: string): Promise<boolean> {
    const sets = await this.#storage.accounts.formatSets(host)
    return sets.every(({ formats }) => formats.includes('plain'))
  }

  /** Waits for passwords that are being kept anew. */
  async close(): Promise<void> {
    await Promise.all(this.#rewriting)
  }

  /** The credential that the password fits. Checks something in any case, so that time does not tell what is there. */
  async #matching(
    credentials: readonly Credential[],
    password: Buffer,
    signal: AbortSignal,
  ): Promise<Credential | undefined> {
    let hasChecked = false
    for (const label of new Set(['', ...credentials.map((credential) => credential.label)])) {
      const choice = credentials
        .filter((credential) => credential.label === label)
        .sort((one, other) => rank(one.format) - rank(other.format))
      for (const credential of choice) {
        const isRight = await this.#usable(credential.format, () =>
          verifyCredential(credential, password, signal),
        )
        if (isRight) return credential
        if (isRight === undefined) continue
        hasChecked = true
        break
      }
    }
    if (!hasChecked) await this.checkNobody(password, signal)
    return undefined
  }

  /** Undefined for a credential that can never be verified, which is logged once for each reason. */
  async #usable<T>(format: string, use: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await use()
    } catch (error) {
      if (!(error instanceof UnusableCredential)) throw error
      const complaint = `${format}: ${error.message}`
      if (!this.#complained.has(complaint)) {
        this.#complained.add(complaint)
        this.#options.log.warn({ format, reason: error.message }, 'a stored password cannot be used')
      }
      return undefined
    }
  }

  async #keysOfPlain(
    user: string,
    host: string,
    hash: ScramHash,
    password: string,
    signal: AbortSignal,
  ): Promise<ScramKeys> {
    const keyed = (text: string) => createHmac('sha256', this.#secret).update(text).digest()
    const name = `${hash}:${user}@${host}`
    const known = keyed(`${name} ${password}`).toString('base64')
    const before = this.#keysOf.get(name)
    if (before?.known === known) return before.keys
    const bytes = preparedPassword(Buffer.from(password)) ?? Buffer.from(password)
    const salt = keyed(name).subarray(0, 16)
    const keys = await deriveScramKeys(hash, bytes, salt, scramIterations[hash], signal)
    this.#keysOf.delete(name)
    this.#keysOf.set(name, { known, keys })
    const [oldest] = this.#keysOf.keys()
    if (this.#keysOf.size > maxKeys && oldest !== undefined) this.#keysOf.delete(oldest)
    return keys
  }

  /** Not before the answer, not while others wait for a check, and not if the password was changed meanwhile. */
  #rewriteLater(
    { user, host }: AccountRecord,
    credentials: readonly Credential[],
    matched: Credential,
    password: Buffer,
  ): void {
    if (!this.#options.rehash || matched.label !== '') return
    const own = credentials.filter((credential) => credential.label === '')
    if (areCurrent(this.#options.passwordFormat, own) || !derivationsAreIdle()) return
    const work = this.#rewrite(user, host, own, matched, password)
      .catch((error: unknown) =>
        this.#options.log.warn({ user, host, err: error }, 'a password was not kept anew'),
      )
      .finally(() => this.#rewriting.delete(work))
    this.#rewriting.add(work)
  }

  async #rewrite(
    user: string,
    host: string,
    own: readonly Credential[],
    matched: Credential,
    password: Buffer,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(30_000)
    const now = await makeCredentials(this.#options.passwordFormat, password, '', deadline)
    if (now === undefined) return
    if (!(await this.#storage.accounts.replaceCredential(user, host, matched, now))) return
    const obsolete = own.filter((old) => !now.some(({ format }) => format === old.format) && old !== matched)
    for (const old of obsolete) await this.#storage.accounts.replaceCredential(user, host, old, [])
    this.#options.log.info({ user, host, from: matched.format }, 'a password is kept anew')
  }
}

function isPossible(user: string, password: Buffer): boolean {
  return (
    user !== '' &&
    Buffer.byteLength(user) <= maxUserLength &&
    password.length > 0 &&
    password.length <= maxPasswordLength &&
    !password.includes(0)
  )
}

function isLabel(label: string): boolean {
  return label !== '' && [...label].length <= maxLabel && !/\p{C}/u.test(label)
}

function isClosed(account: AccountRecord): boolean {
  return account.disabled || account.ban !== undefined
}

function known(isKnown: boolean): Verdict {
  return isKnown ? { ok: true } : { ok: false, reason: 'unknown' }
}

function rank(format: string): number {
  const index = preferred.indexOf(format)
  return index === -1 ? preferred.length : index
}
