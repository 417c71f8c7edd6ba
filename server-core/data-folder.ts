/** The data folder: made at the first start, the owner's alone. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface DataFolder {
  readonly path: string
  /** Path of the database. */
  readonly database: string
  /** 32 random bytes that never leave the server: stable salts for unknown users are made with them. */
  readonly secret: Buffer
}

/** Rejects with an Error that says what is wrong with the folder, in a sentence. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    return { path, database: join(path, 'gatehouse.sqlite'), secret: await readSecret(join(path, 'secret')) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why =
      code === 'EACCES' || code === 'EPERM'
        ? 'this user may not write there'
        : code === 'ENOSPC'
          ? 'the disk is full'
          : code === 'EROFS'
            ? 'the file system is read-only'
            : message
    throw new Error(`the data folder ${path} cannot be used: ${why}`, { cause: error })
  }
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
