/**
 * How long a chain takes to refuse does not tell whose account it is, or whether there is one (CWE-208). Counted are keys that are
 * derived and times that are waited, not milliseconds.
 */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cached } from '../../auth-script/cache.ts'
import { SqliteBackend } from '../../auth-script/sqlite.ts'
import { derive } from '../../server-core/accounts/derivations.ts'
import { Authenticator, type NamedBackend } from '../../server-core/auth/authenticator.ts'
import { type AuthBackend, BackendUnavailable } from '../../server-core/auth/backend.ts'
import { fileBackend } from '../../server-core/auth/file.ts'
import { type JsonAnswer, JsonBackend } from '../../server-core/auth/json-contract.ts'
import { RefusalTimes } from '../../server-core/auth/refusal-times.ts'
import { silentLogger } from '../../server-core/log.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

vi.mock('../../server-core/accounts/derivations.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../server-core/accounts/derivations.ts')>()
  return { ...original, derive: vi.fn(original.derive) }
})

const host = 'a.example'
const soon = () => AbortSignal.timeout(10_000)
const wrong = Buffer.from('not the password')
// bcrypt cost 5 of "hashcat"
const hashcat = '$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6'

let folder: Folder
let log: ReturnType<typeof silentLogger>
const opened: AuthBackend[] = []

beforeEach(() => {
  folder = temporaryFolder('chain-time')
  log = silentLogger()
})

afterEach(async () => {
  vi.restoreAllMocks()
  for (const backend of opened.splice(0)) await backend.close?.()
  folder.remove()
})

function chain(...backends: AuthBackend[]): Authenticator {
  opened.push(...backends)
  const named: NamedBackend[] = backends.map((backend, index) => ({ name: `b${index}`, backend }))
  return new Authenticator(host, named, log)
}

async function ours(user: string): Promise<AuthBackend> {
  const options = { file: folder.file('ours.sqlite'), password_format: 'bcrypt', rehash: false } as const
  const backend = new SqliteBackend(options, log)
  expect(await backend.register(user, host, Buffer.from('right'), soon())).toEqual({ ok: true })
  return backend
}

async function theirs(user: string): Promise<AuthBackend> {
  const file = folder.file('htpasswd')
  await writeFile(file, `${user}:${hashcat}\n`)
  return fileBackend({ file }, log)
}

/** A system that answers `auth` with what is given, by user. */
function system(answers: Record<string, JsonAnswer>, asked: string[] = []): AuthBackend {
  return new JsonBackend({
    async ask({ op, user }) {
      asked.push(`${op} ${user}`)
      return op === 'auth' ? (answers[user] ?? { result: false }) : { result: user in answers }
    },
    async close() {
      // there is nothing
    },
  })
}

/** How many keys are derived, and how many times are waited for, until somebody is refused. */
async function costOf(authenticator: Authenticator, user: string): Promise<readonly [number, number]> {
  vi.mocked(derive).mockClear()
  const wait = vi.spyOn(RefusalTimes.prototype, 'wait')
  const answer = await authenticator.checkPassword(user, wrong, soon())
  expect(answer.ok).toBe(false)
  const cost = [vi.mocked(derive).mock.calls.length, wait.mock.calls.length] as const
  wait.mockRestore()
  return cost
}

describe('a chain refuses', () => {
  test('the users of each of its backends, and who is nobody’s, with as many keys', async () => {
    const authenticator = chain(await ours('ann'), await theirs('bob'))
    for (const user of ['ann', 'bob', 'cid'])
      expect([user, await costOf(authenticator, user)]).toEqual([user, [2, 0]])
  })

  test('without asking another system for whom an earlier backend answers', async () => {
    const asked: string[] = []
    const authenticator = chain(await ours('ann'), system({ bob: { result: false } }, asked))
    expect(await costOf(authenticator, 'bob')).toEqual([1, 0])
    expect(asked.splice(0)).toEqual(['auth bob'])
    expect(await costOf(authenticator, 'ann')).toEqual([1, 1])
    expect(asked).toEqual([])
  })

  test('in as many questions whom a backend does not know for sure', async () => {
    const asked: string[] = []
    const authenticator = chain(system({ ann: { result: false } }, asked), await theirs('bob'))
    expect(await costOf(authenticator, 'bob')).toEqual([1, 0])
    expect(asked.splice(0)).toEqual(['auth bob', 'isuser bob'])
    expect(await costOf(authenticator, 'ann')).toEqual([1, 0])
    expect(asked).toEqual(['auth ann', 'isuser ann'])
  })

  test.each([
    ['leaves open whom it knows', {}, [1, 2]],
    ['says whom it does not know', { reason: 'unknown' } as const, [1, 1]],
  ])('in the time of as many questions, when a system between them %s', async (_, more, expected) => {
    const asked: string[] = []
    const between = system({ cid: { result: false, ...more } }, asked)
    const authenticator = chain(await ours('ann'), between, {
      checkPassword: async () => ({ ok: false, reason: 'unknown' }),
      accountExists: async () => false,
    })
    await costOf(authenticator, 'cid')
    asked.length = 0
    expect(await costOf(authenticator, 'ann')).toEqual(expected)
    expect(asked).toEqual([])
  })

  test('also who has the right password and may not come in', async () => {
    const closed = await ours('ann')
    await closed.setBan?.('ann', host, { reason: '', by: 'test' }, soon())
    const authenticator = chain(closed, await theirs('bob'))
    vi.mocked(derive).mockClear()
    expect(await authenticator.checkPassword('ann', Buffer.from('right'), soon())).toEqual({
      ok: false,
      reason: 'disabled',
      backend: 'b0',
    })
    expect(derive).toHaveBeenCalledTimes(2)
  })

  test('in time, when there is none left for that', async () => {
    const authenticator = chain(await ours('ann'), {
      checkPassword: () => Promise.reject(new Error('it is not asked')),
      accountExists: () => Promise.reject(new Error('it is not asked')),
      checkNobody: () => Promise.reject(new BackendUnavailable('too many wait')),
    })
    expect(await authenticator.checkPassword('ann', wrong, soon())).toMatchObject({ reason: 'wrong' })
  })
})

test('a memory takes one key for each refusal, whoever is remembered', async () => {
  const lifetimes = { sinceVerification: 60_000, sinceUse: 60_000, unreachable: 60_000 }
  const authenticator = chain(cached(await theirs('bob'), lifetimes, log))
  const before = await costOf(authenticator, 'bob')
  expect(await authenticator.checkPassword('bob', Buffer.from('hashcat'), soon())).toMatchObject({ ok: true })
  const remembered = await costOf(authenticator, 'bob')
  expect([before, remembered, await costOf(authenticator, 'cid')]).toEqual([
    [2, 0],
    [2, 0],
    [2, 0],
  ])
})
