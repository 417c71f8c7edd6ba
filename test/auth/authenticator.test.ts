import { describe, expect, test } from 'vitest'
import type { ScramHash, ScramKeys } from '../../server-core/accounts/formats/scram.ts'
import { Authenticator } from '../../server-core/auth/authenticator.ts'
import { type AuthBackend, BackendUnavailable, type Verdict } from '../../server-core/auth/backend.ts'
import { silentLogger } from '../../server-core/log.ts'

const signal = new AbortController().signal
const secret = Buffer.from('secret')
const host = 'a.example'

interface Behaviour {
  readonly accounts?: Record<string, string>
  /** Rejects always. */
  readonly out?: unknown
  /** Cannot tell an unknown user from a wrong password. */
  readonly vague?: boolean
  readonly readOnly?: boolean
  readonly disabled?: readonly string[]
  readonly scram?: readonly ScramHash[]
}

/** A backend in memory. */
function backend({ accounts = {}, out, vague, readOnly, disabled = [], scram }: Behaviour): AuthBackend {
  const kept = new Map(Object.entries(accounts))
  const meet = () => {
    if (out !== undefined) throw out
  }
  const yes: Verdict = { ok: true }
  const unknown: Verdict = { ok: false, reason: 'unknown' }
  const reading: AuthBackend = {
    async checkPassword(user, _host, password) {
      meet()
      const wrong: Verdict = { ok: false, reason: 'wrong', ...(vague && { maybeUnknown: true }) }
      if (!kept.has(user)) return vague ? wrong : unknown
      if (kept.get(user) !== password.toString()) return wrong
      return disabled.includes(user) ? { ok: false, reason: 'disabled' } : yes
    },
    async accountExists(user) {
      meet()
      return kept.has(user)
    },
    async *list() {
      meet()
      yield* [...kept.keys()].toSorted()
    },
    ...(scram && {
      async scramKeys(user: string, _host: string, hash: ScramHash) {
        meet()
        if (!kept.has(user) || !scram.includes(hash)) return undefined
        return { hash, iterations: 1, salt: Buffer.from(user) } as unknown as ScramKeys
      },
      async scramHashes() {
        meet()
        return scram
      },
    }),
  }
  if (readOnly) return reading
  return {
    ...reading,
    async setPassword(user, _host, password) {
      meet()
      if (!kept.has(user)) return unknown
      kept.set(user, password.toString())
      return yes
    },
    async register(user, _host, password) {
      meet()
      if (kept.has(user)) return { ok: false, reason: 'exists' }
      kept.set(user, password.toString())
      return yes
    },
    async remove(user) {
      meet()
      return kept.delete(user) ? yes : unknown
    },
  }
}

function chain(...links: Behaviour[]): Authenticator {
  const named = links.map((link, index) => ({ name: `b${index}`, backend: backend(link) }))
  return new Authenticator(host, named, silentLogger())
}

const out = new BackendUnavailable('down')
const ann = { ann: 'secret' }

describe('a password', () => {
  const check = (authenticator: Authenticator, user = 'ann', password = secret) =>
    authenticator.checkPassword(user, password, signal)

  test('is for the first backend that knows the account', async () => {
    const both = chain({ accounts: ann }, { accounts: { ann: 'other', bob: 'secret' } })
    expect(await check(both)).toEqual({ ok: true, backend: 'b0' })
    expect(await check(both, 'ann', Buffer.from('other'))).toEqual({
      ok: false,
      reason: 'wrong',
      backend: 'b0',
    })
    expect(await check(both, 'bob')).toEqual({ ok: true, backend: 'b1' })
    expect(await check(both, 'cid')).toEqual({ ok: false, reason: 'unknown', backend: '' })
  })

  test('is asked for further on when a backend says wrong and does not know the account', async () => {
    expect(await check(chain({ vague: true }, { accounts: ann }))).toEqual({ ok: true, backend: 'b1' })
    expect(await check(chain({ vague: true, accounts: { ann: 'x' } }, { accounts: ann }))).toEqual({
      ok: false,
      reason: 'wrong',
      backend: 'b0',
    })
  })

  test('of a disabled account is no reason to ask others', async () => {
    expect(await check(chain({ accounts: ann, disabled: ['ann'] }, { accounts: ann }))).toEqual({
      ok: false,
      reason: 'disabled',
      backend: 'b0',
    })
  })

  test.each([
    ['yes further on', [{ out }, { accounts: ann }], true],
    ['unknown further on', [{ out }, {}], false],
    ['wrong further on', [{ out }, { accounts: { ann: 'x' } }], false],
    ['unknown before', [{}, { out }], false],
    ['alone', [{ out }], false],
    ['wrong of a vague one before', [{ vague: true }, { out }], false],
  ] as const)('with a backend that is out, and %s', async (_, links, isRight) => {
    const checked = check(chain(...links))
    if (isRight) expect(await checked).toMatchObject({ ok: true })
    else await expect(checked).rejects.toThrow(BackendUnavailable)
  })

  test('is settled by the first one that knows the account, whatever is out behind it', async () => {
    expect(await check(chain({ accounts: { ann: 'x' } }, { out }))).toMatchObject({
      ok: false,
      reason: 'wrong',
    })
  })

  test.each([
    ['a fault', new TypeError('undefined is not a function')],
    ['something that is no error', 'text'],
  ])('after %s is neither right nor wrong', async (_, thrown) => {
    await expect(check(chain({ out: thrown }))).rejects.toThrow(BackendUnavailable)
  })

  test('of a host without backends is nobody’s', async () => {
    expect(await check(chain())).toEqual({ ok: false, reason: 'unknown', backend: '' })
  })
})

describe('an account', () => {
  test('exists when any backend has it, and cannot be denied while one is out', async () => {
    expect(await chain({}, { accounts: ann }).exists('ann', signal)).toBe(true)
    expect(await chain({}, {}).exists('ann', signal)).toBe(false)
    expect(await chain({ out }, { accounts: ann }).exists('ann', signal)).toBe(true)
    await expect(chain({ out }, {}).exists('ann', signal)).rejects.toThrow(BackendUnavailable)
  })

  test('is made in the first backend that can, unless any has it', async () => {
    const both = chain({ readOnly: true, accounts: { bob: 'x' } }, {})
    expect(await both.register('ann', secret, signal)).toEqual({ ok: true, backend: 'b1' })
    expect(await both.register('ann', secret, signal)).toEqual({ ok: false, reason: 'exists', backend: 'b1' })
    expect(await both.register('bob', secret, signal)).toEqual({ ok: false, reason: 'exists', backend: 'b0' })
    expect(await chain({ readOnly: true }).register('ann', secret, signal)).toMatchObject({
      reason: 'refused',
    })
    await expect(chain({}, { out }).register('ann', secret, signal)).rejects.toThrow(BackendUnavailable)
  })

  test('gets a new password where it is', async () => {
    const both = chain({ readOnly: true, accounts: { bob: 'x' } }, { accounts: ann })
    expect(await both.setPassword('ann', Buffer.from('new'), signal)).toEqual({ ok: true, backend: 'b1' })
    expect(await both.checkPassword('ann', Buffer.from('new'), signal)).toMatchObject({ ok: true })
    expect(await both.setPassword('bob', secret, signal)).toEqual({
      ok: false,
      reason: 'refused',
      backend: 'b0',
    })
    expect(await both.setPassword('cid', secret, signal)).toMatchObject({ reason: 'unknown' })
    await expect(chain({ out }, { accounts: ann }).setPassword('ann', secret, signal)).rejects.toThrow(
      BackendUnavailable,
    )
  })

  test('can be removed unless a backend that has it cannot, or one cannot say', async () => {
    expect(await chain({ accounts: ann }, {}).removable('ann', signal)).toEqual({ ok: true, backend: 'b0' })
    expect(await chain({}, {}).removable('ann', signal)).toMatchObject({ reason: 'unknown' })
    expect(
      await chain({ accounts: ann }, { accounts: ann, readOnly: true }).removable('ann', signal),
    ).toEqual({
      ok: false,
      reason: 'refused',
      backend: 'b1',
    })
    expect(await chain({ accounts: ann }, { readOnly: true }).removable('ann', signal)).toMatchObject({
      ok: true,
    })
    await expect(chain({ accounts: ann }, { out }).removable('ann', signal)).rejects.toThrow(
      BackendUnavailable,
    )
  })

  test('is removed wherever it is', async () => {
    const both = chain({ accounts: ann }, { accounts: ann })
    expect(await both.remove('ann', signal)).toEqual({ ok: true, backend: 'b0' })
    expect(await both.exists('ann', signal)).toBe(false)
    expect(await both.remove('ann', signal)).toMatchObject({ reason: 'unknown' })
    expect(await chain({ accounts: ann, readOnly: true }).remove('ann', signal)).toMatchObject({
      reason: 'refused',
    })
    await expect(chain({ accounts: ann }, { out }).remove('ann', signal)).rejects.toThrow(BackendUnavailable)
  })

  test('is listed once, in order', async () => {
    const users: string[] = []
    const both = chain({ accounts: { cid: '', ann: '' } }, { accounts: { dan: '', ann: '', bob: '' } })
    for await (const user of both.list()) users.push(user)
    expect(users).toEqual(['ann', 'bob', 'cid', 'dan'])
  })
})

describe('SCRAM', () => {
  test('is offered for what all backends can serve', async () => {
    const full = { scram: ['SHA-1', 'SHA-256'] } as const
    expect(await chain(full).scramHashes()).toEqual(['SHA-1', 'SHA-256'])
    expect(await chain(full, { scram: ['SHA-256'] }).scramHashes()).toEqual(['SHA-256'])
    expect(await chain(full, {}).scramHashes()).toEqual([])
    expect(await chain(full, { ...full, out }).scramHashes()).toEqual([])
    expect(await chain().scramHashes()).toEqual([])
  })

  test('has the keys of the first backend that knows the account', async () => {
    const scram = ['SHA-256'] as const
    const both = chain({ scram, accounts: { ann: '' } }, { scram, accounts: { ann: '', bob: '' } })
    expect(await both.scramKeys('bob', 'SHA-256', signal)).toMatchObject({ hash: 'SHA-256' })
    expect(await both.scramKeys('bob', 'SHA-1', signal)).toBeUndefined()
    expect(await both.scramKeys('cid', 'SHA-256', signal)).toBeUndefined()
    // The account is the first one's, which has no keys of it: those of the other are somebody else's.
    const mixed = chain({ scram: [], accounts: { ann: '' } }, { scram, accounts: { ann: '' } })
    expect(await mixed.scramKeys('ann', 'SHA-256', signal)).toBeUndefined()
    await expect(chain({ scram, out }, { scram }).scramKeys('ann', 'SHA-256', signal)).rejects.toThrow(
      BackendUnavailable,
    )
  })
})
