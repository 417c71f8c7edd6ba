/**
 * The accounts of one host: a chain of backends, of which the first that knows an account answers for it. A backend that
 * cannot find out is not a "no": if a later one says yes it is yes, else the whole chain could not find out. What changes
 * something stops at the first backend that is out, as the account might be that one's.
 */
import { setMaxListeners } from 'node:events'
import { type ScramHash, type ScramKeys, scramHashes } from '../accounts/formats/scram.ts'
import type { Logger } from '../log.ts'
import {
  type AuthBackend,
  type BackendLoad,
  BackendUnavailable,
  type Refusal,
  type Verdict,
} from './backend.ts'

export interface NamedBackend {
  /** As in the configuration: internal, external, … */
  readonly name: string
  readonly backend: AuthBackend
}

/** A verdict and the name of the backend that gave it; '' when none knows the account. */
export type Answer = Verdict & { readonly backend: string }
type Refused = Refusal & { readonly backend: string }

export class Authenticator {
  readonly host: string
  readonly #chain: readonly NamedBackend[]
  readonly #log: Logger

  constructor(host: string, chain: readonly NamedBackend[], log: Logger) {
    this.host = host
    this.#chain = chain
    this.#log = log
  }

  /** The names of the backends, in order. */
  get backends(): readonly string[] {
    return this.#chain.map(({ name }) => name)
  }

  /** Undefined when it is not in the chain. */
  backend(name: string): AuthBackend | undefined {
    return this.#chain.find((one) => one.name === name)?.backend
  }

  /** Whether anybody logs in with a password here. */
  get hasPasswords(): boolean {
    return this.#chain.some(({ backend }) => backend.hasPasswords !== false)
  }

  /** Whether the password of any account here can be changed. */
  get canSetPassword(): boolean {
    return this.#chain.some(({ backend }) => backend.setPassword !== undefined)
  }

  /** Whether somebody without an account may come in. */
  get takesAnonymous(): boolean {
    return this.#chain.some(({ backend }) => backend.joinAnonymously !== undefined)
  }

  /** A user for somebody without an account; undefined when no backend takes any. */
  joinAnonymously(): { readonly user: string; readonly backend: string } | undefined {
    for (const { name, backend } of this.#chain) {
      const user = backend.joinAnonymously?.()
      if (user !== undefined) return { user, backend: name }
    }
    return undefined
  }

  async checkPassword(user: string, password: Buffer, signal: AbortSignal): Promise<Answer> {
    const outages: BackendUnavailable[] = []
    let refusal: Refused | undefined
    for (const [index, { name, backend }] of this.#chain.entries()) {
      // the name might be somebody's who cannot be asked for now
      if (backend.isForStrangers && outages.length > 0) break
      try {
        const verdict = await backend.checkPassword(user, this.host, password, signal)
        if (verdict.ok) return { ...verdict, backend: name }
        if (refusal !== undefined || verdict.reason === 'unknown') continue
        const isLast = index === this.#chain.length - 1
        if (!isLast && verdict.maybeUnknown && !(await backend.accountExists(user, this.host, signal)))
          continue
        refusal = { ok: false, reason: verdict.reason, backend: name }
        if (outages.length > 0) continue
        await this.#checkNobody(index + 1, password, signal)
        return refusal
      } catch (error) {
        outages.push(this.#outage(name, error, signal))
      }
    }
    const [outage] = outages
    if (outage !== undefined) throw outage
    return refusal ?? { ok: false, reason: 'unknown', backend: '' }
  }

  /** The rest of a chain whose answer is known: who is refused by an earlier backend waits as long as who is by a later one. */
  async #checkNobody(from: number, password: Buffer, signal: AbortSignal): Promise<void> {
    try {
      const rest = this.#chain.slice(from)
      for (const [index, { backend }] of rest.entries()) {
        await backend.checkNobody?.(this.host, password, signal, index === rest.length - 1)
      }
    } catch (error) {
      this.#log.debug({ host: this.host, err: error }, 'a refusal came sooner than others: no time was left')
    }
  }

  /** Whether any backend knows the account. */
  async exists(user: string, signal: AbortSignal = never): Promise<boolean> {
    let outage: BackendUnavailable | undefined
    for (const { name, backend } of this.#chain) {
      try {
        if (await backend.accountExists(user, this.host, signal)) return true
      } catch (error) {
        outage ??= this.#outage(name, error, signal)
      }
    }
    if (outage !== undefined) throw outage
    return false
  }

  /** Makes the account in the first backend that can; 'exists' when any has it, 'refused' when none can. */
  async register(user: string, password: Buffer, signal: AbortSignal): Promise<Answer> {
    for (const { name, backend } of this.#chain) {
      const isTaken = await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal))
      if (isTaken) return { ok: false, reason: 'exists', backend: name }
    }
    for (const { name, backend } of this.#chain) {
      if (backend.register === undefined) continue
      const verdict = await this.#ask(name, signal, () =>
        backend.register?.(user, this.host, password, signal),
      )
      if (verdict !== undefined) return { ...verdict, backend: name }
    }
    return { ok: false, reason: 'refused', backend: '' }
  }

  /** Changes the password where the account is; 'unknown' when it is nowhere, 'refused' when it cannot be done there. */
  async setPassword(user: string, password: Buffer, signal: AbortSignal): Promise<Answer> {
    for (const { name, backend } of this.#chain) {
      const isHere = await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal))
      if (!isHere) continue
      const verdict = await this.#ask(name, signal, () =>
        backend.setPassword?.(user, this.host, password, signal),
      )
      return { ...(verdict ?? { ok: false, reason: 'refused' }), backend: name }
    }
    return { ok: false, reason: 'unknown', backend: '' }
  }

  /** Whether `remove` would be let: 'unknown' when no backend has the account, 'refused' when one that has it cannot. */
  async removable(user: string, signal: AbortSignal): Promise<Answer> {
    let found: Answer | undefined
    for (const { name, backend } of this.#chain) {
      const isHere = await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal))
      if (!isHere) continue
      if (backend.remove === undefined) return { ok: false, reason: 'refused', backend: name }
      found ??= { ok: true, backend: name }
    }
    return found ?? { ok: false, reason: 'unknown', backend: '' }
  }

  /** Removes the account from every backend that has it; 'unknown' when none has, 'refused' when one cannot. */
  async remove(user: string, signal: AbortSignal): Promise<Answer> {
    let removed: Answer | undefined
    for (const { name, backend } of this.#chain) {
      if (backend.remove === undefined) {
        const isHere = await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal))
        if (isHere) return { ok: false, reason: 'refused', backend: name }
        continue
      }
      const verdict = await this.#ask(name, signal, () => backend.remove?.(user, this.host, signal))
      if (verdict?.ok) removed ??= { ...verdict, backend: name }
      else if (verdict !== undefined && verdict.reason !== 'unknown') return { ...verdict, backend: name }
    }
    return removed ?? { ok: false, reason: 'unknown', backend: '' }
  }

  /** The hashes for which every account of the host has SCRAM keys, as far as can be found out now. */
  async scramHashes(): Promise<readonly ScramHash[]> {
    const offers = await this.#offers((backend) => backend.scramHashes?.(this.host))
    return scramHashes.filter((hash) => offers.length > 0 && offers.every((offer) => offer?.includes(hash)))
  }

  /** Whether digests of passwords can be checked for every account, as far as can be found out now. */
  async keepsPlain(): Promise<boolean> {
    const offers = await this.#offers((backend) => backend.keepsPlain?.(this.host))
    return offers.length > 0 && offers.every((offer) => offer === true)
  }

  /** What each backend that has passwords can do; undefined for one that cannot say now. */
  async #offers<T>(ask: (backend: AuthBackend) => Promise<T> | undefined): Promise<(T | undefined)[]> {
    const offers: (T | undefined)[] = []
    for (const { name, backend } of this.#chain) {
      if (backend.hasPasswords === false) continue
      try {
        offers.push(await ask(backend))
      } catch (error) {
        this.#outage(name, error, never)
        offers.push(undefined)
      }
    }
    return offers
  }

  /** The keys of an account; undefined when it is unknown or has none of that hash. */
  scramKeys(user: string, hash: ScramHash, signal: AbortSignal): Promise<ScramKeys | undefined> {
    return this.#ofAccount(user, signal, (backend) => backend.scramKeys?.(user, this.host, hash, signal))
  }

  /** The password of an account; undefined when it is unknown, or its password is not kept as it is. */
  plainPassword(user: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#ofAccount(user, signal, (backend) => backend.plainPassword?.(user, this.host, signal))
  }

  /** What the backend that has the account gives; undefined when none has it. */
  async #ofAccount<T>(
    user: string,
    signal: AbortSignal,
    get: (backend: AuthBackend) => Promise<T | undefined> | undefined,
  ): Promise<T | undefined> {
    let outage: BackendUnavailable | undefined
    for (const { name, backend } of this.#chain) {
      try {
        const found = await get(backend)
        if (found !== undefined) return found
        if (this.#chain.length > 1 && (await backend.accountExists(user, this.host, signal))) break
      } catch (error) {
        outage ??= this.#outage(name, error, signal)
      }
    }
    if (outage !== undefined) throw outage
    return undefined
  }

  /** Whether an account that has proved itself without its password (SCRAM, a token) may be used now. */
  async standing(user: string, signal: AbortSignal): Promise<Answer> {
    let outage: BackendUnavailable | undefined
    for (const { name, backend } of this.#chain) {
      try {
        const verdict = await backend.standing?.(user, this.host, signal)
        if (verdict !== undefined && (verdict.ok || verdict.reason !== 'unknown'))
          return { ...verdict, backend: name }
        if (verdict === undefined && (await backend.accountExists(user, this.host, signal))) {
          return { ok: true, backend: name }
        }
      } catch (error) {
        outage ??= this.#outage(name, error, signal)
      }
    }
    if (outage !== undefined) throw outage
    return { ok: false, reason: 'unknown', backend: '' }
  }

  /** Unix time in seconds at which an account was made, if the backend that has it keeps that. */
  async created(user: string, signal: AbortSignal): Promise<number | undefined> {
    for (const { name, backend } of this.#chain) {
      const created = await this.#ask(name, signal, () => backend.created?.(user, this.host, signal))
      if (created !== undefined) return created
      if (await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal)))
        return undefined
    }
    return undefined
  }

  /** Closes an account, or (undefined) opens it again; 'refused' where it is in a backend that cannot. */
  async setBan(
    user: string,
    ban: { readonly reason: string; readonly by: string } | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    for (const { name, backend } of this.#chain) {
      const isHere = await this.#ask(name, signal, () => backend.accountExists(user, this.host, signal))
      if (!isHere) continue
      const verdict = await this.#ask(name, signal, () => backend.setBan?.(user, this.host, ban, signal))
      return { ...(verdict ?? { ok: false, reason: 'refused' }), backend: name }
    }
    return { ok: false, reason: 'unknown', backend: '' }
  }

  /** The users of all backends that can list theirs, each once, in order of the name. */
  async *list(): AsyncIterable<string> {
    const lists = this.#chain.flatMap(
      ({ backend }) => backend.list?.(this.host)[Symbol.asyncIterator]() ?? [],
    )
    const heads = await Promise.all(lists.map((list) => list.next()))
    let last: string | undefined
    for (;;) {
      let least: { index: number; user: string } | undefined
      for (const [index, head] of heads.entries()) {
        if (head.done) continue
        if (least === undefined || Buffer.compare(Buffer.from(head.value), Buffer.from(least.user)) < 0) {
          least = { index, user: head.value }
        }
      }
      if (least === undefined) return
      if (least.user !== last) yield least.user
      last = least.user
      const list = lists[least.index]
      if (list !== undefined) heads[least.index] = await list.next()
    }
  }

  /** How much the backends have to do, those that can say. */
  loads(): readonly (BackendLoad & { readonly backend: string })[] {
    return this.#chain.flatMap(({ name, backend }) => {
      const load = backend.load?.()
      return load ? [{ backend: name, ...load }] : []
    })
  }

  async close(): Promise<void> {
    for (const { backend } of this.#chain) await backend.close?.()
  }

  async #ask<T>(name: string, signal: AbortSignal, ask: () => T | Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw this.#outage(name, error, signal)
    }
  }

  /** Whatever went wrong: it is an outage, and neither a yes nor a no. */
  #outage(name: string, error: unknown, signal: AbortSignal): BackendUnavailable {
    if (error instanceof BackendUnavailable) {
      this.#log.warn({ host: this.host, backend: name, reason: error.message }, 'cannot authenticate')
      return error
    }
    if (signal.aborted) return new BackendUnavailable(whyAborted(signal), { cause: error })
    this.#log.error(
      { host: this.host, backend: name, err: error },
      'cannot authenticate: a fault in the backend',
    )
    return new BackendUnavailable('a fault in the backend', { cause: error })
  }
}

/** In the words of whoever gave up, if there are any. */
function whyAborted({ reason }: AbortSignal): string {
  const hasWords = reason instanceof Error && !(reason instanceof DOMException)
  return hasWords ? reason.message : 'no answer in time'
}

const never = new AbortController().signal
setMaxListeners(0, never)
