/** Backup and restore while the database is in use: sound and complete, or nothing. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStorage } from '../../server-core/storage/index.ts'
import { Database } from '../../server-core/storage/sqlite/database.ts'
import { type Storage, StorageUnavailable } from '../../server-core/storage/storage.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let storage: Storage

beforeEach(async () => {
  folder = temporaryFolder('copies')
  storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
})
afterEach(async () => {
  await storage.close()
  folder.remove()
})

const card = (n: number) => `<vCard xmlns="vcard-temp"><FN>${n}</FN><NOTE>${'x'.repeat(4_000)}</NOTE></vCard>`

async function fill(from: number, to: number): Promise<void> {
  const writes: Promise<unknown>[] = []
  for (let n = from; n < to; n++) writes.push(storage.vcards.set(`user${n}`, 'a.example', card(n)))
  await Promise.all(writes)
}

async function has(n: number): Promise<boolean> {
  return (await storage.vcards.get(`user${n}`, 'a.example')) !== undefined
}

test('a backup is one sound file of the owner, taken while others write', async () => {
  await fill(0, 3_000)
  const file = folder.file('copy')
  const busy = fill(3_000, 4_000)
  await storage.backup(file)
  await busy
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder.path).filter((name) => name.startsWith('copy'))).toEqual(['copy'])
  const copy = new Sqlite(file, { readonly: true })
  expect(copy.pragma('integrity_check', { simple: true })).toBe('ok')
  expect(copy.prepare('SELECT count(*) FROM vcards WHERE user = ?').pluck().get('user2999')).toBe(1)
  copy.close()
})

test('a backup replaces an older one only when it is complete', async () => {
  const file = folder.file('copy')
  writeFileSync(file, 'older')
  await expect(storage.backup(`${folder.path}/nowhere/copy`)).rejects.toThrow('File not found.')
  await storage.backup(file)
  expect(readFileSync(file, 'latin1').slice(0, 15)).toBe('SQLite format 3')
})

test('what is restored replaces everything, and other programs on the same file see it', async () => {
  await fill(0, 500)
  const file = folder.file('copy')
  await storage.backup(file)
  await storage.vcards.set('user1', 'a.example', undefined)
  await fill(500, 600)
  const other = await openStorage('sqlite', { file: folder.file('data.sqlite') })
  expect(await other.vcards.get('user550', 'a.example')).toBeDefined()
  const restoring = storage.restore(file)
  // a change that is asked for meanwhile waits, and is made to what was restored
  await new Promise((resolve) => setTimeout(resolve, 1))
  const later = storage.vcards.set('later', 'a.example', card(0))
  await restoring
  await later
  expect([await has(1), await has(550)]).toEqual([true, false])
  expect(await other.vcards.get('user550', 'a.example')).toBeUndefined()
  expect(await other.vcards.get('user499', 'a.example')).toBe(card(499))
  await other.vcards.set('more', 'a.example', card(1))
  expect(await storage.vcards.get('more', 'a.example')).toBe(card(1))
  await other.close()
  const raw = new Sqlite(folder.file('data.sqlite'))
  expect(raw.pragma('journal_mode', { simple: true })).toBe('wal')
  expect(raw.pragma('integrity_check', { simple: true })).toBe('ok')
  raw.close()
  expect(readdirSync(folder.path).filter((name) => name.includes('restore'))).toEqual([])
})

test('changes wait for a restore, however long it takes, and are told apart from it', async () => {
  const database = new Database({ file: folder.file('data.sqlite'), deadline: 20 })
  const order: string[] = []
  let end: () => void = () => undefined
  const restoring = database.exclusively(async () => {
    await new Promise<void>((resolve) => {
      end = resolve
    })
    order.push('restored')
  })
  const writing = database
    .write((db) => db.run("INSERT INTO vcards (user, host, xml) VALUES ('u', 'h', 'v')"))
    .then(() => order.push('written'))
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(order).toEqual([])
  expect(database.waiting).toBe(1)
  end()
  await restoring
  await writing
  expect(order).toEqual(['restored', 'written'])
  await database.close()
})

test('what is no sound database of ours changes nothing, and is said in words', async () => {
  await fill(0, 200)
  const file = folder.file('copy')
  await storage.backup(file)
  const bytes = readFileSync(file)
  const cases: [string, () => void, RegExp][] = [
    ['missing', () => undefined, /^File not found\.$/],
    ['text', () => writeFileSync(folder.file('text'), 'no database'.repeat(100)), /no SQLite database/],
    [
      'torn',
      () => {
        const torn = Buffer.from(bytes)
        torn.fill(0x55, torn.length >> 1, (torn.length >> 1) + 20_000)
        writeFileSync(folder.file('torn'), torn)
      },
      /damaged/,
    ],
    [
      'foreign',
      () => {
        const db = new Sqlite(folder.file('foreign'))
        db.exec('CREATE TABLE other (x)')
        db.close()
      },
      /another program \(it holds other\)/,
    ],
    [
      'newer',
      () => {
        writeFileSync(folder.file('newer'), bytes)
        const db = new Sqlite(folder.file('newer'))
        db.pragma('user_version = 9999')
        db.close()
      },
      /schema version 9999/,
    ],
    ['empty', () => writeFileSync(folder.file('empty'), ''), /empty/],
  ]
  for (const [name, make, sentence] of cases) {
    make()
    const failure: unknown = await storage.restore(folder.file(name)).catch((error: unknown) => error)
    expect(failure, name).toBeInstanceOf(StorageUnavailable)
    expect((failure as Error).message, name).toMatch(sentence)
    expect((failure as Error).message, name).not.toContain('.restore')
    await expect(storage.backupContent(folder.file(name)), name).rejects.toThrow((failure as Error).message)
    expect(await has(150), name).toBe(true)
  }
  expect(readdirSync(folder.path).filter((name) => name.includes('.restore'))).toEqual([])
  expect(existsSync(folder.file('missing'))).toBe(false)
})

test('what is in a backup can be told before it is restored', async () => {
  const account = { label: '', format: 'plain', value: 'pw', changed: 0 }
  for (const [user, host] of [
    ['a', 'one.example'],
    ['b', 'one.example'],
    ['c', 'two.example'],
  ] as const) {
    await storage.accounts.create(user, host, [account])
  }
  await storage.backup(folder.file('copy'))
  await storage.removeAccount('a', 'one.example')
  expect([...(await storage.backupContent(folder.file('copy')))]).toEqual([
    ['one.example', 2],
    ['two.example', 1],
  ])
  expect(await storage.accounts.count('one.example')).toBe(1)
})
