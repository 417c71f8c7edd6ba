/** Every backend that can be written to behaves the same, as backend.ts says. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Accounts } from '../../server-core/accounts/accounts.ts'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { ExternalBackend } from '../../server-core/auth/external.ts'
import { InternalBackend } from '../../server-core/auth/internal.ts'
import { ExtauthPool } from '../../server-core/extauth/pool.ts'
import { silentLogger } from '../../server-core/log.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'

interface Subject {
  readonly backend: AuthBackend
  /** Takes away what it depends on. */
  breakIt(): Promise<void>
}

const log = silentLogger()
const host = 'a.example'
const other = 'b.example'
const signal = new AbortController().signal
const pw = (text: string) => Buffer.from(text)

async function internal(folder: Folder, passwordFormat: 'scram' | 'bcrypt' | 'plain'): Promise<Subject> {
  const storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
  const backend = new InternalBackend(new Accounts({ storage, log, passwordFormat, rehash: true }))
  return { backend, breakIt: () => storage.close() }
}

const subjects: Record<string, (folder: Folder) => Promise<Subject>> = {
  'external, a program in Python': async () => {
    const program = `python3 ${root}/fixtures/extauth-programs/accounts.py`
    const pool = new ExtauthPool({ program, size: 1, timeout: 5000, log })
    return { backend: new ExternalBackend(pool), breakIt: () => pool.close() }
  },
  'external, gatehouse-extauth itself': async (folder) => {
    const program = `${root}/dist/gatehouse-extauth --sqlite ${folder.file('data.sqlite')} --host-kind gatehouse`
    const pool = new ExtauthPool({ program, size: 1, timeout: 15_000, log })
    return { backend: new ExternalBackend(pool), breakIt: () => pool.close() }
  },
  'internal, bcrypt': (folder) => internal(folder, 'bcrypt'),
  'internal, plain': (folder) => internal(folder, 'plain'),
  'internal, scram': (folder) => internal(folder, 'scram'),
}

describe.each(Object.entries(subjects))('%s', { timeout: 60_000 }, (_, open) => {
  let folder: Folder
  let subject: Subject
  let backend: AuthBackend

  beforeEach(async () => {
    folder = temporaryFolder('backend')
    subject = await open(folder)
    backend = subject.backend
    await backend.remove?.('ann', host, signal)
  })

  afterEach(async () => {
    await backend.close?.()
    await subject.breakIt()
    folder.remove()
  })

  test('an account from its registration to its removal', async () => {
    expect(await backend.accountExists('ann', host, signal)).toBe(false)
    expect(await backend.checkPassword('ann', host, pw('secret'), signal)).toMatchObject({ ok: false })
    expect(await backend.setPassword?.('ann', host, pw('secret'), signal)).toEqual({
      ok: false,
      reason: 'unknown',
    })
    expect(await backend.accountExists('ann', host, signal)).toBe(false)
    expect(await backend.register?.('ann', host, pw('secret'), signal)).toEqual({ ok: true })
    expect(await backend.register?.('ann', host, pw('other'), signal)).toEqual({
      ok: false,
      reason: 'exists',
    })
    expect(await backend.accountExists('ann', host, signal)).toBe(true)
    expect(await backend.accountExists('ann', other, signal)).toBe(false)
    expect(await backend.checkPassword('ann', host, pw('secret'), signal)).toEqual({ ok: true })
    expect(await backend.checkPassword('ann', host, pw('other'), signal)).toMatchObject({
      ok: false,
      reason: 'wrong',
    })
    expect(await backend.checkPassword('ann', other, pw('secret'), signal)).toMatchObject({ ok: false })
    expect(await backend.setPassword?.('ann', host, pw('ö:ther'), signal)).toEqual({ ok: true })
    expect(await backend.checkPassword('ann', host, pw('ö:ther'), signal)).toEqual({ ok: true })
    expect(await backend.checkPassword('ann', host, pw('secret'), signal)).toMatchObject({ ok: false })
    expect(await backend.remove?.('ann', host, signal)).toEqual({ ok: true })
    expect(await backend.remove?.('ann', host, signal)).toEqual({ ok: false, reason: 'unknown' })
    expect(await backend.accountExists('ann', host, signal)).toBe(false)
  })

  test('no password is right that nobody can have', async () => {
    await backend.register?.('ann', host, pw('secret'), signal)
    for (const password of [
      pw(''),
      pw('secret\0'),
      pw('secret\0more'),
      pw('x'.repeat(70_000)),
      Buffer.from([0xff]),
    ]) {
      expect(await backend.checkPassword('ann', host, password, signal)).toMatchObject({ ok: false })
    }
    expect(await backend.checkPassword('', host, pw('secret'), signal)).toMatchObject({ ok: false })
    expect(await backend.accountExists('', host, signal)).toBe(false)
    expect(await backend.checkPassword('ann', host, pw('secret'), signal)).toEqual({ ok: true })
  })

  test('nothing is changed once the signal has aborted', async () => {
    const late = AbortSignal.abort(new Error('too late'))
    await backend.register?.('ann', host, pw('secret'), signal)
    await expect(backend.register?.('bob', host, pw('secret'), late)).rejects.toThrow('too late')
    await expect(backend.setPassword?.('ann', host, pw('other'), late)).rejects.toThrow('too late')
    await expect(backend.remove?.('ann', host, late)).rejects.toThrow('too late')
    expect(await backend.accountExists('bob', host, signal)).toBe(false)
    expect(await backend.checkPassword('ann', host, pw('secret'), signal)).toEqual({ ok: true })
  })

  test('what it depends on has gone: it cannot find out, and says neither yes nor no', async () => {
    await backend.register?.('ann', host, pw('secret'), signal)
    await subject.breakIt()
    const asked = [
      backend.accountExists('ann', host, signal),
      backend.checkPassword('ann', host, pw('secret'), signal),
      backend.checkPassword('bob', host, pw('secret'), signal),
      backend.register?.('bob', host, pw('secret'), signal),
      backend.setPassword?.('ann', host, pw('other'), signal),
      backend.remove?.('ann', host, signal),
    ]
    for (const one of asked) await expect(one).rejects.toThrow(BackendUnavailable)
  })
})
