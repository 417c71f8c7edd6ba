/** The accounts of a Prosody server in its data folder (internal_hashed, internal_plain), read-only. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type ProsodyAccount, prosodyPassword } from '../accounts/formats/columns.ts'
import { UnusableCredential } from '../accounts/formats/format.ts'
import {
  fromProsodyPath,
  LuaDataError,
  type LuaTable,
  parseLuaData,
  prosodyPath,
} from '../accounts/lua-data.ts'
import type { Logger } from '../log.ts'
import { BackendUnavailable } from './backend.ts'
import { type AccountSource, type StoredAccount, StoredPasswordsBackend } from './stored-passwords.ts'

export const prosodyFolderOptions = {
  folder: z.string().describe("Prosody's data folder, such as /var/lib/prosody"),
}

export type ProsodyFolderOptions = z.output<z.ZodObject<typeof prosodyFolderOptions>>

const plainAccount = z.object({ password: z.string() })
const hashedAccount = z.object({
  stored_key: z.string(),
  server_key: z.string(),
  salt: z.string(),
  iteration_count: z.number(),
})

export function prosodyFolderBackend(options: ProsodyFolderOptions, log: Logger): StoredPasswordsBackend {
  const source = new FolderSource(options.folder, (reason) => backend.complain(reason))
  const backend = new StoredPasswordsBackend(source, log)
  return backend
}

class FolderSource implements AccountSource {
  readonly #folder: string
  readonly #complain: (reason: string) => void

  constructor(folder: string, complain: (reason: string) => void) {
    this.#folder = folder
    this.#complain = complain
  }

  async find(user: string, host: string): Promise<StoredAccount | undefined> {
    const file = join(this.#accounts(host), `${prosodyPath(user)}.dat`)
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (await this.#isMissing(error)) return undefined
      throw unreadable(file, error)
    }
    try {
      return this.#account(parseLuaData(text))
    } catch (error) {
      // half a file, or one that is being written: nobody knows what it says
      if (error instanceof LuaDataError) throw unreadable(file, error)
      throw error
    }
  }

  #account(table: LuaTable): StoredAccount {
    const fields: unknown = Object.fromEntries(table)
    const disabled = table.get('disabled') === true
    const plain = plainAccount.safeParse(fields)
    const hashed = hashedAccount.safeParse(fields)
    const account: ProsodyAccount | undefined = hashed.success ? hashed.data : plain.data
    if (!account) return { passwords: [], disabled }
    try {
      return { passwords: [prosodyPassword(account)], disabled }
    } catch (error) {
      if (!(error instanceof UnusableCredential)) throw error
      this.#complain(error.message)
      return { passwords: [], disabled }
    }
  }

  /** No such account; but a data folder that is not there at all is an outage. */
  async #isMissing(error: unknown): Promise<boolean> {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return false
    try {
      await readdir(this.#folder)
      return true
    } catch (gone) {
      throw unreadable(this.#folder, gone)
    }
  }

  async *list(host: string): AsyncIterable<string> {
    const folder = this.#accounts(host)
    let files: string[] = []
    try {
      files = await readdir(folder)
    } catch (error) {
      if (!(await this.#isMissing(error))) throw unreadable(folder, error)
    }
    const names = files
      .filter((name) => name.endsWith('.dat'))
      .map((name) => fromProsodyPath(name.slice(0, -4)))
    yield* names.sort()
  }

  #accounts(host: string): string {
    return join(this.#folder, prosodyPath(host), 'accounts')
  }
}

function unreadable(path: string, error: unknown): BackendUnavailable {
  return new BackendUnavailable(`${path} cannot be read: ${(error as Error).message}`, { cause: error })
}
