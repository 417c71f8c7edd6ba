import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Accounts, type AccountsOptions } from '../../server-core/accounts/accounts.ts'
import { deriveScramKeys } from '../../server-core/accounts/formats/scram.ts'
import { silentLogger } from '../../server-core/log.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

const host = 'a.example'
const signal = new AbortController().signal
const pw = (text: string) => Buffer.from(text)
const cheapBcrypt = '$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6' // of "hashcat"

let folder: Folder
let storage: Storage

beforeEach(async () => {
  folder = temporaryFolder('accounts')
  storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
})

afterEach(async () => {
  await storage.close()
  folder.remove()
})

function accounts(options: Partial<AccountsOptions> = {}): Accounts {
  return new Accounts({ storage, log: silentLogger(), passwordFormat: 'scram', rehash: false, ...options })
}

async function formatsOf(user: string): Promise<string[]> {
  return (await storage.accounts.credentials(user, host)).map(({ label, format }) => label + format)
}

function seed(user: string, format: string, value: string, label = ''): Promise<boolean> {
  const credential = { label, format, value, changed: 1 }
  return storage.accounts.create(user, host, [credential])
}

describe('an account', () => {
  test('is made once, checked, changed and removed', async () => {
    const all = accounts()
    expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: false, reason: 'unknown' })
    expect(await all.setPassword('ann', host, pw('secret'), signal)).toEqual({ ok: false, reason: 'unknown' })
    expect(await all.create('ann', host, pw('secret'), signal)).toEqual({ ok: true })
    expect(await all.create('ann', host, pw('other'), signal)).toEqual({ ok: false, reason: 'exists' })
    expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: true })
    expect(await all.check('ann', host, pw('other'), signal)).toEqual({ ok: false, reason: 'wrong' })
    expect(await all.check('ann', 'b.example', pw('secret'), signal)).toEqual({
      ok: false,
      reason: 'unknown',
    })
    expect(await all.setPassword('ann', host, pw('other'), signal)).toEqual({ ok: true })
    expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: false, reason: 'wrong' })
    expect(await all.check('ann', host, pw('other'), signal)).toEqual({ ok: true })
    expect(await all.remove('ann', host)).toEqual({ ok: true })
    expect(await all.remove('ann', host)).toEqual({ ok: false, reason: 'unknown' })
    expect(await all.check('ann', host, pw('other'), signal)).toEqual({ ok: false, reason: 'unknown' })
  })

  test('that is disabled or banned is known to be so only to who has its password', async () => {
    const all = accounts()
    await all.create('ann', host, pw('secret'), signal)
    const closeAndOpen = [
      [() => all.disable('ann', host), () => all.enable('ann', host)],
      [() => all.ban('ann', host, { reason: 'spam', by: 'root' }), () => all.unban('ann', host)],
    ] as const
    for (const [close, open] of closeAndOpen) {
      expect(await close()).toEqual({ ok: true })
      expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: false, reason: 'disabled' })
      expect(await all.check('ann', host, pw('wrong'), signal)).toEqual({ ok: false, reason: 'wrong' })
      expect(await all.standing('ann', host)).toEqual({ ok: false, reason: 'disabled' })
      expect(await open()).toEqual({ ok: true })
      expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: true })
      expect(await all.standing('ann', host)).toEqual({ ok: true })
    }
    expect(await all.disable('bob', host)).toEqual({ ok: false, reason: 'unknown' })
    expect(await all.standing('bob', host)).toEqual({ ok: false, reason: 'unknown' })
  })

  test('of which nothing can be verified lets nobody in', async () => {
    await seed('ann', 'md6', 'secret')
    await seed('bob', 'bcrypt', '$2b$31$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6')
    await storage.accounts.create('cid', host, [])
    for (const user of ['ann', 'bob', 'cid']) {
      expect(await accounts().check(user, host, pw('secret'), signal)).toEqual({ ok: false, reason: 'wrong' })
    }
  })

  test('may have passwords of applications, which stay when its own one changes', async () => {
    const all = accounts({ rehash: true })
    await all.create('ann', host, pw('secret'), signal)
    const mail = { label: 'mail', format: 'bcrypt', value: cheapBcrypt, changed: 1 }
    await storage.accounts.setCredentials('ann', host, 'mail', [mail])
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    await all.setPassword('ann', host, pw('other'), signal)
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    expect(await all.check('ann', host, pw('other'), signal)).toEqual({ ok: true })
    await all.close()
    expect(await storage.accounts.credentials('ann', host)).toContainEqual(mail)
  })
})

describe('passwords', () => {
  test.each([
    ['scram', ['scram-sha-1', 'scram-sha-256']],
    ['bcrypt', ['bcrypt']],
    ['plain', ['plain']],
  ] as const)('are kept as %s', async (passwordFormat, formats) => {
    const all = accounts({ passwordFormat })
    await all.create('ann', host, pw('secret'), signal)
    expect(await formatsOf('ann')).toEqual(formats)
    expect(await all.check('ann', host, pw('secret'), signal)).toEqual({ ok: true })
    expect(await all.check('ann', host, pw('Secret'), signal)).toEqual({ ok: false, reason: 'wrong' })
  })

  test.each(['scram', 'bcrypt', 'plain'] as const)(
    'kept as %s are the same however accents are typed',
    async (kind) => {
      const all = accounts({ passwordFormat: kind })
      await all.create('ann', host, pw('cre\u0302pe'), signal)
      await all.create('bob', host, pw('cr\u00eape'), signal)
      for (const user of ['ann', 'bob']) {
        for (const typed of ['cre\u0302pe', 'cr\u00eape']) {
          expect(await all.check(user, host, pw(typed), signal)).toEqual({ ok: true })
        }
      }
    },
  )

  test('that no client could type again are refused, or kept as the bytes that they are', async () => {
    const latin1 = Buffer.from('cr\u00eape', 'latin1')
    const refused = { ok: false, reason: 'refused' }
    expect(await accounts().create('ann', host, latin1, signal)).toEqual(refused)
    expect(await accounts().create('ann', host, pw('bell\u0007'), signal)).toEqual(refused)
    const hashed = accounts({ passwordFormat: 'bcrypt' })
    expect(await hashed.create('ann', host, latin1, signal)).toEqual({ ok: true })
    expect(await hashed.check('ann', host, latin1, signal)).toEqual({ ok: true })
    expect(await hashed.check('ann', host, pw('cr\u00eape'), signal)).toEqual({ ok: false, reason: 'wrong' })
  })

  test('have limits', async () => {
    const all = accounts()
    await all.create('ann', host, pw('x'.repeat(4096)), signal)
    expect(await all.check('ann', host, pw('x'.repeat(4096)), signal)).toEqual({ ok: true })
    const nobodyLooked = { ok: false, reason: 'wrong', maybeUnknown: true }
    for (const password of [pw(''), pw('x'.repeat(4097)), pw('nul\0')]) {
      expect(await all.check('ann', host, password, signal)).toEqual(nobodyLooked)
      expect(await all.setPassword('ann', host, password, signal)).toEqual({ ok: false, reason: 'refused' })
      expect(await all.create('bob', host, password, signal)).toEqual({ ok: false, reason: 'refused' })
    }
    for (const user of ['', 'x'.repeat(1024)]) {
      expect(await all.create(user, host, pw('secret'), signal)).toEqual({ ok: false, reason: 'refused' })
      expect(await all.check(user, host, pw('secret'), signal)).toEqual(nobodyLooked)
    }
  })
})

describe('after a login', () => {
  test('an old hash is kept anew, if that is wished', async () => {
    const all = accounts({ rehash: true })
    await seed('ann', 'bcrypt', cheapBcrypt)
    expect(await all.check('ann', host, pw('wrong'), signal)).toEqual({ ok: false, reason: 'wrong' })
    await all.close()
    expect(await formatsOf('ann')).toEqual(['bcrypt'])
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    await all.close()
    expect(await formatsOf('ann')).toEqual(['scram-sha-1', 'scram-sha-256'])
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
  })

  test('a weak hash of the right kind is kept anew, a strong one is left alone', async () => {
    const all = accounts({ passwordFormat: 'bcrypt', rehash: true })
    await seed('ann', 'bcrypt', cheapBcrypt)
    await all.check('ann', host, pw('hashcat'), signal)
    await all.close()
    const strong = await storage.accounts.credentials('ann', host)
    expect(strong[0]?.value).toMatch(/^\$2b\$12\$/)
    await all.check('ann', host, pw('hashcat'), signal)
    await all.close()
    expect(await storage.accounts.credentials('ann', host)).toEqual(strong)
  })

  test('nothing weaker is left behind', async () => {
    const all = accounts({ rehash: true })
    await seed('ann', 'bcrypt', cheapBcrypt)
    await storage.accounts.setCredentials('ann', host, '', [
      { label: '', format: 'bcrypt', value: cheapBcrypt, changed: 1 },
      { label: '', format: 'plain', value: '{PLAIN}hashcat', changed: 1 },
    ])
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    await all.close()
    expect(await formatsOf('ann')).toEqual(['scram-sha-1', 'scram-sha-256'])
  })

  test('a password that was changed meanwhile is not overwritten', async () => {
    const all = accounts({ rehash: true })
    await seed('ann', 'bcrypt', cheapBcrypt)
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    await storage.accounts.setCredentials('ann', host, '', [
      { label: '', format: 'plain', value: '{PLAIN}new', changed: 2 },
    ])
    await all.close()
    expect(await formatsOf('ann')).toEqual(['plain'])
  })

  test('nothing is kept anew unless that is wished', async () => {
    const all = accounts({ rehash: false })
    await seed('ann', 'bcrypt', cheapBcrypt)
    expect(await all.check('ann', host, pw('hashcat'), signal)).toEqual({ ok: true })
    await all.close()
    expect(await formatsOf('ann')).toEqual(['bcrypt'])
  })
})

describe('SCRAM', () => {
  test('keys of a plain password are made once, and anew when it has changed', async () => {
    const all = accounts({ passwordFormat: 'plain' })
    await all.create('ann', host, pw('secret'), signal)
    const keys = () => all.scramKeys('ann', host, 'SHA-256', signal)
    const first = await keys()
    expect(await keys()).toBe(first)
    await all.setPassword('ann', host, pw('another'), signal)
    const second = await keys()
    expect(second?.salt).toEqual(first?.salt)
    expect(second?.storedKey).not.toEqual(first?.storedKey)
  })

  test('is offered for a hash when every account of the host has keys of it, or a plain password', async () => {
    const all = accounts()
    const offers = async () => {
      const hashes = await all.scramHashes(host)
      return [hashes.includes('SHA-256'), hashes.includes('SHA-512')]
    }
    expect(await offers()).toEqual([true, true])
    await accounts({ passwordFormat: 'plain' }).create('ann', host, pw('secret'), signal)
    expect(await offers()).toEqual([true, true])
    await all.create('bob', host, pw('secret'), signal)
    expect(await offers()).toEqual([true, false])
    await seed('cid', 'bcrypt', cheapBcrypt)
    expect(await offers()).toEqual([false, false])
    await all.setPassword('cid', host, pw('secret'), signal)
    expect(await offers()).toEqual([true, false])
  })

  test('has keys that fit the password, always with the same salt', async () => {
    const secret = Buffer.alloc(32, 7)
    await accounts({ passwordFormat: 'plain' }).create('ann', host, pw('secret'), signal)
    await accounts().create('bob', host, pw('secret'), signal)
    for (const user of ['ann', 'bob']) {
      const keys = await accounts({ secret }).scramKeys(user, host, 'SHA-256', signal)
      const again = await accounts({ secret }).scramKeys(user, host, 'SHA-256', signal)
      if (keys === undefined) throw new Error('no keys')
      expect(again).toEqual(keys)
      expect(keys.salt).toHaveLength(16)
      expect(await deriveScramKeys('SHA-256', pw('secret'), keys.salt, 10_000, signal)).toEqual(keys)
    }
    const ofAnn = await accounts({ secret }).scramKeys('ann', host, 'SHA-512', signal)
    expect(ofAnn?.storedKey).toHaveLength(64)
    expect(await accounts().scramKeys('bob', host, 'SHA-512', signal)).toBeUndefined()
    expect(await accounts().scramKeys('cid', host, 'SHA-256', signal)).toBeUndefined()
  })

  test('never takes the password of an application', async () => {
    await storage.accounts.create('ann', host, [
      { label: 'mail', format: 'plain', value: '{PLAIN}x', changed: 1 },
    ])
    expect(await accounts().scramKeys('ann', host, 'SHA-256', signal)).toBeUndefined()
  })
})
