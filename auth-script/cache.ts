/**
 * Remembers passwords that a backend has accepted, as slow hashes in memory, for backends that are far away. A password that is
 * not the remembered one is always the backend's to judge: a new password works at once, and a wrong one is never refused from
 * memory. What a change through this process invalidates is forgotten; a change behind it is seen when `sinceVerification` ends.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { derive } from '../server-core/accounts/derivations.ts'
import { type AuthBackend, BackendUnavailable, type Verdict } from '../server-core/auth/backend.ts'
import type { Logger } from '../server-core/log.ts'

/** In milliseconds. */
export interface Lifetimes {
  /** The backend is not asked for so long after it accepted the password … */
  readonly sinceVerification: number
  /** … as long as the password was used within this time. */
  readonly sinceUse: number
  /** While the backend is out, a password counts for so long after it was accepted. */
  readonly unreachable: number
}

interface Entry {
  readonly salt: Buffer
  readonly hash: Buffer
  /** performance.now() of the backend's yes, and of the last use. */
  readonly verified: number
  used: number
}

/** So many accounts are remembered; the one not used for longest is forgotten first. */
const maxEntries = 10_000
/** 16 MiB and some 40 ms of a core. */
const cost = { N: 16_384, r: 8, p: 1, maxmem: 33_554_432 }

/** The same backend with a memory. Whatever it cannot do, it still cannot. */
export function cached(backend: AuthBackend, lifetimes: Lifetimes, log: Logger): AuthBackend {
  const cache = new Cache(backend, lifetimes, log)
  const { setPassword, register, remove, setBan } = backend
  const changing = <A extends unknown[], R>(
    change: (user: string, host: string, ...rest: A) => Promise<R>,
  ): ((user: string, host: string, ...rest: A) => Promise<R>) => {
    return (user, host, ...rest) =>
      cache.changing(user, host, () => change.call(backend, user, host, ...rest))
  }
  const inherited: AuthBackend = Object.create(backend) as AuthBackend
  const own: Partial<AuthBackend> = {
    checkPassword: (user, host, password, signal) => cache.checkPassword(user, host, password, signal),
    checkNobody: (host, password, signal, isLast) => cache.checkNobody(host, password, signal, isLast),
    accountExists: (user, host, signal) => cache.accountExists(user, host, signal),
    ...(setPassword && { setPassword: changing(setPassword) }),
    ...(register && { register: changing(register) }),
    ...(remove && { remove: changing(remove) }),
    ...(setBan && { setBan: changing(setBan) }),
  }
  for (const name of ['standing', 'created', 'scramKeys', 'scramHashes', 'list', 'close'] as const) {
    // Called on the backend itself: private fields are not inherited.
    const method = backend[name] as ((...args: unknown[]) => unknown) | undefined
    if (method) Object.assign(own, { [name]: (...args: unknown[]) => method.apply(backend, args) })
  }
  return Object.assign(inherited, own)
}

class Cache {
  readonly #backend: AuthBackend
  readonly #lifetimes: Lifetimes
  readonly #log: Logger
  readonly #entries = new Map<string, Entry>()
  /** Goes up with each change, so that a check that ran meanwhile is not remembered. */
  #changes = 0

  constructor(backend: AuthBackend, lifetimes: Lifetimes, log: Logger) {
    this.#backend = backend
    this.#lifetimes = lifetimes
    this.#log = log
  }

  async checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    const key = `${user}@${host}`
    const entry = this.#entries.get(key)
    const now = performance.now()
    const isFresh =
      entry !== undefined &&
      now - entry.verified < this.#lifetimes.sinceVerification &&
      now - entry.used < this.#lifetimes.sinceUse
    if (isFresh && (await this.#fits(key, entry, password, signal))) return this.#use(key, entry)
    const changes = this.#changes
    let verdict: Verdict
    try {
      verdict = await this.#backend.checkPassword(user, host, password, signal)
    } catch (error) {
      if (entry === undefined) await spendHash(password, signal)
      if (!(error instanceof BackendUnavailable) || entry === undefined || isFresh) throw error
      if (performance.now() - entry.verified >= this.#lifetimes.unreachable) throw error
      if (!(await this.#fits(key, entry, password, signal))) throw error
      this.#log.warn({ user, host, reason: error.message }, 'let in by memory: the backend is unreachable')
      return this.#use(key, entry)
    }
    if (verdict.ok) {
      await this.#remember(key, password, changes, signal)
      return verdict
    }
    // Each refusal takes one hash: time must not tell who is remembered.
    if (entry === undefined) await spendHash(password, signal)
    // A wrong guess says nothing about the remembered password, unless that was it; or might be, when there is no time to look.
    const wasRemembered =
      entry !== undefined && !isFresh && (await this.#fits(key, entry, password, signal).catch(() => true))
    if (verdict.reason !== 'wrong' || wasRemembered) this.#forget(key)
    return verdict
  }

  async checkNobody(host: string, password: Buffer, signal: AbortSignal, isLast: boolean): Promise<void> {
    await this.#backend.checkNobody?.(host, password, signal, isLast)
    await spendHash(password, signal)
  }

  async accountExists(user: string, host: string, signal: AbortSignal): Promise<boolean> {
    try {
      const exists = await this.#backend.accountExists(user, host, signal)
      if (!exists) this.#forget(`${user}@${host}`)
      return exists
    } catch (error) {
      const entry = this.#entries.get(`${user}@${host}`)
      if (!(error instanceof BackendUnavailable) || entry === undefined) throw error
      if (performance.now() - entry.verified >= this.#lifetimes.unreachable) throw error
      return true
    }
  }

  /** Forgets before and after: neither a check before the change nor one during it may be remembered beyond it. */
  async changing<T>(user: string, host: string, change: () => Promise<T>): Promise<T> {
    this.#forget(`${user}@${host}`)
    try {
      return await change()
    } finally {
      this.#forget(`${user}@${host}`)
    }
  }

  #use(key: string, entry: Entry): Verdict {
    entry.used = performance.now()
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return { ok: true }
  }

  #forget(key: string): void {
    this.#changes++
    this.#entries.delete(key)
  }

  /** Whether it is the remembered password, and still is remembered after the time that this takes. */
  async #fits(key: string, entry: Entry, password: Buffer, signal: AbortSignal): Promise<boolean> {
    const hash = await slowHash(password, entry.salt, signal)
    return timingSafeEqual(hash, entry.hash) && this.#entries.get(key) === entry
  }

  async #remember(key: string, password: Buffer, changes: number, signal: AbortSignal): Promise<void> {
    const verified = performance.now()
    const salt = randomBytes(16)
    const hash = await slowHash(password, salt, signal).catch(() => undefined)
    // The answer is known, also when there was no time left to remember it.
    if (hash === undefined || this.#changes !== changes) return
    this.#entries.delete(key)
    this.#entries.set(key, { salt, hash, verified, used: verified })
    const [oldest] = this.#entries.keys()
    if (this.#entries.size > maxEntries && oldest !== undefined) this.#entries.delete(oldest)
  }
}

const nobodysSalt = randomBytes(16)

/** What is known already stays known when there is no time left for it. */
async function spendHash(password: Buffer, signal: AbortSignal): Promise<void> {
  await slowHash(password, nobodysSalt, signal).catch(() => undefined)
}

async function slowHash(password: Buffer, salt: Buffer, signal: AbortSignal): Promise<Buffer> {
  return derive(
    signal,
    () =>
      new Promise((resolve, reject) =>
        scrypt(password, salt, 32, cost, (error, key) => (error ? reject(error) : resolve(key))),
      ),
  )
}
