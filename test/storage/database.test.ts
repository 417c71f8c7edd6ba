import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Sqlite from 'better-sqlite3'
import { build } from 'esbuild'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Database } from '../../server-core/storage/sqlite/database.ts'
import { schemaVersion } from '../../server-core/storage/sqlite/schema.ts'
import { StorageUnavailable } from '../../server-core/storage/storage.ts'
import { root } from '../harness/paths.ts'

let folder: string
let file: string
const opened: Database[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'database-'))
  file = join(folder, 'data', 'gatehouse.sqlite')
})

afterEach(async () => {
  for (const database of opened.splice(0)) await database.close()
  rmSync(folder, { recursive: true, force: true })
})

async function open(options: { deadline?: number; file?: string } = {}): Promise<Database> {
  const database = new Database({ file, makeFolder: true, ...options })
  opened.push(database)
  await database.open()
  return database
}

const add = (user: string) => (db: { run(sql: string, ...values: string[]): number }) =>
  db.run('INSERT INTO accounts (user, host, created) VALUES (?, ?, 0)', user, 'a.example')

async function users(database: Database): Promise<string[]> {
  const rows = await database.read((db) =>
    db.all<{ user: string }>('SELECT user FROM accounts ORDER BY user'),
  )
  return rows.map((row) => row.user)
}

describe('a fresh database', () => {
  test('is made for its owner only, in write-ahead mode, flushed at every commit', async () => {
    const database = await open()
    await database.write(add('ann'))
    expect(statSync(join(folder, 'data')).mode & 0o777).toBe(0o700)
    for (const name of ['', '-wal', '-shm']) expect(statSync(file + name).mode & 0o777).toBe(0o600)
    const settings = await database.read((db) => [
      db.get('PRAGMA journal_mode'),
      db.get('PRAGMA synchronous'),
      db.get('PRAGMA foreign_keys'),
    ])
    expect(settings).toEqual([{ journal_mode: 'wal' }, { synchronous: 2 }, { foreign_keys: 1 }])
  })

  test('is not made in a folder that does not exist, unless that was asked for', async () => {
    const database = new Database({ file })
    opened.push(database)
    await expect(database.open()).rejects.toThrow(StorageUnavailable)
    await expect(database.open()).rejects.toThrow(/no such file or directory/)
  })
})

describe('writes', () => {
  test('of one turn of the event loop share a transaction', async () => {
    const database = await open()
    const watcher = new Sqlite(file)
    const committed = () => watcher.prepare('SELECT count(*) FROM accounts').pluck().get()
    const seen = await Promise.all([
      database.write(add('ann')).then(committed),
      database.write((db) => [add('bob')(db), committed()]),
      database.write(add('cid')).then(committed),
    ])
    watcher.close()
    expect(seen).toEqual([3, [1, 0], 3])
  })

  test('that fail take only themselves down', async () => {
    const database = await open()
    const results = await Promise.allSettled([
      database.write(add('ann')),
      database.write((db) => {
        add('bob')(db)
        throw new Error('changed my mind')
      }),
      database.write(add('ann')),
      database.write(add('cid')),
    ])
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect(await users(database)).toEqual(['ann', 'cid'])
  })

  test('are durable for another connection when their promise resolves', async () => {
    const database = await open()
    await database.write(add('ann'))
    const other = await open()
    expect(await users(other)).toEqual(['ann'])
  })

  test('whose signal has aborted are not made', async () => {
    const database = await open()
    const stop = new AbortController()
    const waiting = database.write(add('ann'), stop.signal)
    stop.abort(new Error('too late'))
    await expect(waiting).rejects.toThrow('too late')
    await expect(database.write(add('bob'), stop.signal)).rejects.toThrow('too late')
    expect(await users(database)).toEqual([])
  })
})

describe('a lock of somebody else', () => {
  test('is waited for without blocking the event loop', async () => {
    const database = await open()
    const other = new Sqlite(file)
    other.exec('BEGIN IMMEDIATE')
    const write = database.write(add('ann'))
    let turns = 0
    const turning = setInterval(() => turns++, 1)
    await expect.poll(() => turns).toBeGreaterThan(5)
    expect(await users(database)).toEqual([])
    other.exec('COMMIT')
    other.close()
    await write
    clearInterval(turning)
    expect(await users(database)).toEqual(['ann'])
  })

  test('that outlasts the deadline is said to be one', async () => {
    const database = await open({ deadline: 100 })
    const other = new Sqlite(file)
    other.exec('BEGIN IMMEDIATE')
    await expect(database.write(add('ann'))).rejects.toThrow(/another program holds it locked/)
    other.exec('COMMIT')
    other.close()
    await database.write(add('ann'))
  })
})

describe('trouble', () => {
  test('a file that is no database is complained about, and used once it is repaired', async () => {
    const database = await open()
    await database.write(add('ann'))
    await database.close()
    copyFileSync(file, `${file}.backup`)
    writeFileSync(file, 'this is not a database, it is a text of some length'.repeat(100))
    const again = new Database({ file })
    opened.push(again)
    await expect(users(again)).rejects.toThrow(/no SQLite database.*SQLITE_NOTADB/)
    copyFileSync(`${file}.backup`, file)
    expect(await users(again)).toEqual(['ann'])
  })

  test('a removed file is never taken for an empty one, and used again when it is back', async () => {
    const database = await open()
    await database.write(add('ann'))
    renameSync(file, `${file}.away`)
    await expect(database.write(add('bob'))).rejects.toThrow(StorageUnavailable)
    await expect(users(database)).rejects.toThrow(StorageUnavailable)
    renameSync(`${file}.away`, file)
    await database.write(add('bob'))
    expect(await users(database)).toEqual(['ann', 'bob'])
  })

  test('a file that comes back empty is not believed', async () => {
    const database = await open()
    await database.write(add('ann'))
    renameSync(file, `${file}.away`)
    writeFileSync(file, '')
    await expect(database.write(add('bob'))).rejects.toThrow(/replaced by an empty one/)
    await expect(users(database)).rejects.toThrow(/replaced by an empty one/)
  })

  test('a file that was replaced while running is noticed, and the old log is not played into it', async () => {
    const database = await open()
    await database.write(add('ann'))
    const other = await open({ file: join(folder, 'data', 'other.sqlite') })
    await other.write(add('zoe'))
    await other.close()
    renameSync(join(folder, 'data', 'other.sqlite'), file)
    await database.write(add('bob'))
    expect(await users(database)).toEqual(['bob', 'zoe'])
  })

  test('a damaged file is said to be damaged, and a restored one is used', async () => {
    const database = await open()
    for (let i = 0; i < 500; i++) await Promise.all([add(`user-${i}`)].map((one) => database.write(one)))
    await database.close()
    copyFileSync(file, `${file}.backup`)
    truncateSync(file, statSync(file).size - 4096 * 3)
    const again = new Database({ file })
    opened.push(again)
    await expect(users(again)).rejects.toThrow(StorageUnavailable)
    copyFileSync(`${file}.backup`, file)
    expect(await users(again)).toHaveLength(500)
  })

  test('a full disk fails the writes with words, and the next ones succeed when there is room', async () => {
    const database = await open()
    const pages = await database.read((db) => db.get<{ page_count: number }>('PRAGMA page_count')?.page_count)
    await database.read((db) => db.get(`PRAGMA max_page_count = ${pages}`))
    const many = Array.from({ length: 400 }, (_, i) => database.write(add(`user-${i}`)))
    const results = await Promise.allSettled(many)
    expect(new Set(results.map((result) => result.status))).toEqual(new Set(['rejected']))
    expect((results[0] as PromiseRejectedResult).reason).toBeInstanceOf(StorageUnavailable)
    expect(String((results[0] as PromiseRejectedResult).reason)).toMatch(/full: make room \(SQLITE_FULL\)/)
    await database.read((db) => db.get('PRAGMA max_page_count = 100000'))
    await database.write(add('ann'))
    expect(await users(database)).toEqual(['ann'])
  })
})

describe('the schema', () => {
  test('of a newer program is refused with one sentence', async () => {
    const database = await open()
    await database.close()
    const other = new Sqlite(file)
    other.pragma(`user_version = ${schemaVersion + 1}`)
    other.close()
    const older = new Database({ file })
    opened.push(older)
    await expect(older.open()).rejects.toThrow(
      new RegExp(
        `schema version ${schemaVersion + 1} and this program knows versions up to ${schemaVersion}`,
      ),
    )
  })

  test('of another program is not touched', async () => {
    const path = join(folder, 'users.sqlite')
    const other = new Sqlite(path)
    other.exec('CREATE TABLE users (name TEXT)')
    other.close()
    const database = new Database({ file: path })
    opened.push(database)
    await expect(database.open()).rejects.toThrow(/database of another program \(it holds users\)/)
  })
})

test('a folder that may not be entered is said to be the trouble', async () => {
  if (process.getuid?.() === 0) return
  const database = await open()
  await database.close()
  chmodSync(file, 0o000)
  const again = new Database({ file })
  opened.push(again)
  await expect(again.open()).rejects.toThrow(/owner and mode/)
})

test('several processes write at once, and nothing acknowledged is lost', async () => {
  await open()
  const source = await bundled()
  const writers = ['one', 'two', 'three'].map((name) => writer(source, name))
  const acknowledged = (await Promise.all(writers)).flat()
  expect(acknowledged).toHaveLength(3 * 200)
  const database = opened[0] as Database
  expect(new Set(await users(database))).toEqual(new Set(acknowledged))
})

/** The class as plain JavaScript, for other processes. */
async function bundled(): Promise<string> {
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const outfile = join(folder, 'database.mjs')
  await build({
    entryPoints: [join(root, 'server-core/storage/sqlite/database.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
  })
  return outfile
}

/** Another process that adds 200 accounts and says the name of each one whose promise has resolved. */
async function writer(source: string, name: string): Promise<string[]> {
  const program = `
    const { Database } = await import(process.argv[1])
    const database = new Database({ file: process.argv[2] })
    for (let i = 0; i < 50; i++) {
      const names = [0, 1, 2, 3].map((n) => process.argv[3] + '-' + (4 * i + n))
      await Promise.all(names.map((user) => database.write((db) =>
        db.run('INSERT INTO accounts (user, host, created) VALUES (?, ?, 0)', user, 'a.example'))
        .then(() => console.log(user))))
    }
    await database.close()`
  const child: ChildProcess = spawn(
    process.execPath,
    ['--input-type=module', '-e', program, source, file, name],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines: string[] = []
  if (child.stdout === null) throw new Error('no output')
  for await (const line of createInterface(child.stdout)) lines.push(line)
  return lines
}
