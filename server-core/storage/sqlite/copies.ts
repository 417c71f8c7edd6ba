/**
 * Copies of the whole database while it is in use, by SQLite's own backup. A copy is one file that is complete and sound, or
 * it is not there; what is restored has been checked before anything is replaced, and replaces all of it at once.
 */
import { randomBytes } from 'node:crypto'
import { constants, copyFile, open, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { StorageUnavailable } from '../storage.ts'
import { Database } from './database.ts'

/**
 * The whole file is read, which takes a while for a large one: not in this thread. A copy has no log beside it, so it is taken
 * out of the mode that needs one.
 */
const check = `
const { parentPort, workerData } = require('node:worker_threads')
const Database = require(workerData.library)
const db = new Database(workerData.file, { fileMustExist: true, timeout: 10000 })
db.pragma('journal_mode = DELETE')
const found = db.pragma('integrity_check(3)', { simple: true })
const foreign = db.pragma('foreign_key_check')
db.close()
parentPort.postMessage(found === 'ok' && foreign.length > 0 ? 'rows without the rows that they belong to' : found)
`

/** Rejects with StorageUnavailable; nothing is at `file` then, or what was there before. */
export async function backup(database: Database, file: string): Promise<void> {
  const partial = `${file}.${randomBytes(6).toString('hex')}.part`
  try {
    // Accounts and their keys are in it: nobody else's from the first byte on.
    await (await open(partial, 'wx', 0o600)).close()
    await database.copyTo(partial)
    await mustBeSound(partial, file)
    await flushed(partial)
    await rename(partial, file)
  } catch (error) {
    throw explained(error, partial, file)
  } finally {
    await removed(partial)
  }
}

/** Rejects with StorageUnavailable when the file is not sound, not ours, or from a newer program; nothing is changed then. */
export async function restore(database: Database, file: string): Promise<void> {
  await withSoundCopy(database, file, (source) => database.exclusively(() => source.copyTo(database.file)))
}

/** What such a file holds, checked as for a restore: accounts by host. Rejects as `restore` does. */
export async function content(database: Database, file: string): Promise<ReadonlyMap<string, number>> {
  const sql = 'SELECT host, count(*) AS count FROM accounts GROUP BY host ORDER BY host'
  return withSoundCopy(database, file, async (source) => {
    const rows = await source.read((db) => db.all(sql) as { host: string; count: number }[])
    return new Map(rows.map(({ host, count }) => [host, count]))
  })
}

async function withSoundCopy<T>(
  database: Database,
  file: string,
  work: (source: Database) => Promise<T>,
): Promise<T> {
  const own = `${database.file}.${randomBytes(6).toString('hex')}.restore`
  try {
    if (!(await stat(file)).isFile()) throw new StorageUnavailable('it is no file')
    // A copy of our own: the check, and bringing it to this program's schema, write to it.
    await (await open(own, 'wx', 0o600)).close()
    await copyFile(file, own, constants.COPYFILE_FICLONE)
    await mustBeSound(own, file)
    const source = new Database({ file: own, mustExist: true })
    try {
      await source.open()
      return await work(source)
    } finally {
      await source.close()
    }
  } catch (error) {
    throw explained(error, own, file)
  } finally {
    await removed(own)
  }
}

async function mustBeSound(file: string, shown: string): Promise<void> {
  const library = createRequire(import.meta.url).resolve('better-sqlite3')
  const found = await new Promise<unknown>((resolve, reject) => {
    const worker = new Worker(check, { eval: true, workerData: { file, library }, execArgv: [], env: {} })
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the check of the copy ended without a result')))
  })
  if (found !== 'ok') throw new StorageUnavailable(`${shown} is damaged: ${String(found)}`)
}

async function flushed(file: string): Promise<void> {
  const handle = await open(file, 'r+')
  await handle.sync()
  await handle.close()
}

async function removed(file: string): Promise<void> {
  for (const end of ['', '-wal', '-shm', '-journal']) await rm(`${file}${end}`, { force: true })
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'File not found.',
  ENOTDIR: 'File not found.',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is full',
  SQLITE_FULL: 'the disk is full',
  SQLITE_NOTADB: 'it is no SQLite database',
  SQLITE_CORRUPT: 'it is damaged',
}

/** In terms of the file that was named, not of our own beside it. */
function explained(error: unknown, own: string, file: string): StorageUnavailable {
  const { code = '', message } = error as NodeJS.ErrnoException
  const reason = reasons[code] ?? message.replaceAll(own, file)
  return new StorageUnavailable(reason, { cause: error })
}
