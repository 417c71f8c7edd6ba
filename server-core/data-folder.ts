/** The data folder: made at the first start, the owner's alone, one server's at a time. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface DataFolder {
  readonly path: string
  /** Path of the database. */
  readonly database: string
  /** 32 random bytes that never leave the server: stable salts for unknown users are made with them. */
  readonly secret: Buffer
  /** Another server may have the folder. */
  release(): void
}

/** Path of the database of a data folder. */
export function databaseIn(path: string): string {
  return join(path, 'gatehouse.sqlite')
}

/** Rejects with an Error that says what is wrong with the folder, in a sentence. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const release = await lock(join(path, 'lock'))
    try {
      const secret = await readSecret(join(path, 'secret'))
      return { path, database: databaseIn(path), secret, release }
    } catch (error) {
      release()
      throw error
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why =
      code === 'EACCES' || code === 'EPERM'
        ? 'this user may not write there'
        : code === 'ENOSPC'
          ? 'the disk is full'
          : code === 'EROFS'
            ? 'the file system is read-only'
            : code === 'EEXIST' || code === 'ENOTDIR'
              ? 'there is a file of that name'
              : message
    throw new Error(`the data folder ${path} cannot be used: ${why}`, { cause: error })
  }
}

/**
 * Two servers on one folder would each believe to know all sessions. The lock is the system's, on a database file that
 * holds nothing: it goes with the process, however that ends, and knows no process numbers that somebody else may have.
 */
async function lock(file: string): Promise<() => void> {
  const { default: Database } = await import('better-sqlite3')
  const database = new Database(file, { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    throw new Error('another server runs on it: stop that one, or give this one another data_dir', {
      cause: error,
    })
  }
  return () => database.close()
}

async function readSecret(file: string): Promise<Buffer> {
  try {
    const secret = await readFile(file)
    if (secret.length === 32) return secret
    throw new Error(`${file} is damaged: remove it, a new one is made`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const secret = randomBytes(32)
  await writeFile(file, secret, { mode: 0o600, flag: 'wx' })
  return secret
}
