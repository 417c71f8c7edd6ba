/** A backend with a memory answers as it would without one, only sooner, or while it is away. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cached, type Lifetimes } from '../../auth-script/cache.ts'
import { type AuthBackend, BackendUnavailable, type Verdict } from '../../server-core/auth/backend.ts'
import { silentLogger } from '../../server-core/log.ts'

const signal = new AbortController().signal
const lifetimes: Lifetimes = { sinceVerification: 60_000, sinceUse: 20_000, unreachable: 600_000 }

/** Accounts by user, and what has been asked. */
class FakeBackend implements AuthBackend {
  readonly passwords = new Map([['ann', 'secret']])
  asked = 0
  isAway = false
  #isClosed = false
  during: () => Promise<void> = () => Promise.resolve()

  async checkPassword(user: string, _host: string, password: Buffer): Promise<Verdict> {
    this.asked++
    this.#look()
    const right = this.passwords.get(user)
    await this.during()
    if (right === undefined) return { ok: false, reason: 'unknown' }
    return right === password.toString() ? { ok: true } : { ok: false, reason: 'wrong' }
  }

  async accountExists(user: string): Promise<boolean> {
    this.#look()
    return this.passwords.has(user)
  }

  async setPassword(user: string, _host: string, password: Buffer): Promise<Verdict> {
    this.#look()
    this.passwords.set(user, password.toString())
    return { ok: true }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  #look(): void {
    if (this.isAway) throw new BackendUnavailable('away')
  }
}

let backend: FakeBackend
let memory: AuthBackend
const check = async (password: string, user = 'ann') => {
  const verdict = await memory.checkPassword(user, 'a.example', Buffer.from(password), signal)
  return verdict.ok ? 'yes' : verdict.reason
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
  backend = new FakeBackend()
  memory = cached(backend, lifetimes, silentLogger())
})
afterEach(() => vi.useRealTimers())

describe('a remembered password', () => {
  test('is taken without asking, until it was verified or used too long ago', async () => {
    expect(await check('secret')).toBe('yes')
    expect(await check('secret')).toBe('yes')
    expect(backend.asked).toBe(1)
    vi.advanceTimersByTime(20_000)
    expect(await check('secret')).toBe('yes')
    expect(backend.asked).toBe(2)
    for (let n = 0; n < 5; n++) {
      vi.advanceTimersByTime(15_000)
      expect(await check('secret')).toBe('yes')
    }
    expect(backend.asked).toBe(3)
  })

  test('does not hide the new one, and a guess does not make it forgotten', async () => {
    await check('secret')
    expect(await check('guess')).toBe('wrong')
    expect(await check('secret')).toBe('yes')
    expect(backend.asked).toBe(2)
    backend.passwords.set('ann', 'new')
    expect(await check('new')).toBe('yes')
    expect(await check('secret')).toBe('wrong')
  })

  test('is forgotten by a change, also one during a check', async () => {
    await check('secret')
    await memory.setPassword?.('ann', 'a.example', Buffer.from('new'), signal)
    expect(await check('secret')).toBe('wrong')
    backend.during = async () => {
      backend.during = () => Promise.resolve()
      await memory.setPassword?.('ann', 'a.example', Buffer.from('newer'), signal)
    }
    expect(await check('new')).toBe('yes') // it was, when the backend looked
    expect(await check('new')).toBe('wrong')
    expect(await check('newer')).toBe('yes')
  })

  test('is forgotten when the account is gone', async () => {
    await check('secret')
    backend.passwords.delete('ann')
    expect(await memory.accountExists('ann', 'a.example', signal)).toBe(false)
    expect(await check('secret')).toBe('unknown')
  })
})

describe('while the backend is away', () => {
  test('who was let in is let in, for as long as is set; nobody else is, and nobody is refused', async () => {
    await check('secret')
    backend.isAway = true
    vi.advanceTimersByTime(300_000)
    expect(await check('secret')).toBe('yes')
    await expect(check('guess')).rejects.toThrow(BackendUnavailable)
    await expect(check('secret', 'bob')).rejects.toThrow(BackendUnavailable)
    expect(await memory.accountExists('ann', 'a.example', signal)).toBe(true)
    await expect(memory.accountExists('bob', 'a.example', signal)).rejects.toThrow(BackendUnavailable)
    vi.advanceTimersByTime(300_000)
    await expect(check('secret')).rejects.toThrow(BackendUnavailable)
    await expect(memory.accountExists('ann', 'a.example', signal)).rejects.toThrow(BackendUnavailable)
  })
})

test('what a backend cannot do, it cannot with a memory; what it can, it does itself', async () => {
  expect(memory.remove).toBeUndefined()
  expect(memory.list).toBeUndefined()
  await memory.close?.()
  expect(backend.isClosed).toBe(true)
})
