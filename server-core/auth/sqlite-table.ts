/** Any existing SQLite table, by queries of the administrator's with bound parameters. */
import { z } from 'zod'
import { UnusableCredential } from '../accounts/formats/format.ts'
import { makeCredentials } from '../accounts/password.ts'
import type { Logger } from '../log.ts'
import { Database } from '../storage/sqlite/database.ts'
import { StorageUnavailable } from '../storage/storage.ts'
import { type AuthBackend, BackendUnavailable, type Verdict } from './backend.ts'
import { foreignColumns, passwordsOf } from './foreign-columns.ts'
import {
  type AccountSource,
  recognise,
  type StoredAccount,
  type StoredPassword,
  StoredPasswordsBackend,
} from './stored-passwords.ts'

const query = z.string().min(1)

export const sqliteTableOptions = {
  file: z.string().describe('the database; it must exist'),
  queries: z
    .strictObject({
      password: query.describe(
        'gives the stored passwords of @user at @host (also @jid) in a column "password", one row for each; a column ' +
          '"disabled" that is true closes the account',
      ),
      list: query.optional().describe('gives the names of all accounts of @host in a column "user"'),
      set_password: query.optional().describe('stores @password for @user at @host'),
      register: query.optional().describe('adds an account with @password'),
      remove: query.optional().describe('removes the account'),
    })
    .describe('SQL; the names with @ are bound, never pasted'),
  scheme: z
    .string()
    .regex(/^(\{[A-Za-z0-9.-]+\}|hex-[a-z0-9]+:)$/)
    .optional()
    .describe('what to put before stored values that do not name their format, such as {PLAIN} or hex-sha1:'),
  columns: z
    .enum(foreignColumns)
    .optional()
    .describe('whose columns the query "password" gives, where a password is more than one column'),
  password_format: z
    .enum(['bcrypt', 'scram', 'plain'])
    .default('bcrypt')
    .describe('how new passwords are kept'),
}

export type SqliteTableOptions = z.output<z.ZodObject<typeof sqliteTableOptions>>

type Params = Readonly<Record<'user' | 'host' | 'jid', string>>

/** What can be changed is what there is a query for. */
export function sqliteTableBackend(options: SqliteTableOptions, log: Logger): AuthBackend {
  const { queries, file } = options
  const readOnly = !queries.set_password && !queries.register && !queries.remove
  const database = new Database({ file, foreign: { readOnly } })
  const source = new TableSource(database, options, (reason) => backend.complain(reason))
  const backend = new StoredPasswordsBackend(source, log)
  const change = async (sql: string, params: Params, password: Buffer | undefined, signal: AbortSignal) => {
    const made = password && (await newPassword(options.password_format, password, signal))
    if (password && !made) return false
    return available(
      database.write((db) => db.run(sql, { ...params, ...(made ? { password: made } : {}) }) > 0, signal),
    )
  }
  const { set_password, register, remove } = queries
  return Object.assign(backend, {
    ...(set_password && {
      async setPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
        if (!(await source.find(user, host))) return { ok: false, reason: 'unknown' }
        return (await change(set_password, paramsOf(user, host), password, signal)) ? yes : refused
      },
    }),
    ...(register && {
      async register(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
        if (await source.find(user, host)) return { ok: false, reason: 'exists' }
        return (await change(register, paramsOf(user, host), password, signal)) ? yes : refused
      },
    }),
    ...(remove && {
      async remove(user: string, host: string, signal: AbortSignal): Promise<Verdict> {
        if (!(await source.find(user, host))) return { ok: false, reason: 'unknown' }
        return (await change(remove, paramsOf(user, host), undefined, signal)) ? yes : refused
      },
    }),
  })
}

const yes: Verdict = { ok: true }
const refused: Verdict = { ok: false, reason: 'refused' }

class TableSource implements AccountSource {
  readonly #database: Database
  readonly #options: SqliteTableOptions
  readonly #complain: (reason: string) => void

  constructor(database: Database, options: SqliteTableOptions, complain: (reason: string) => void) {
    this.#database = database
    this.#options = options
    this.#complain = complain
  }

  async find(user: string, host: string): Promise<StoredAccount | undefined> {
    const { queries } = this.#options
    const rows = await available(
      this.#database.read((db) => db.all<Record<string, unknown>>(queries.password, paramsOf(user, host))),
    )
    if (rows.length === 0) return undefined
    const passwords = rows.flatMap((row) => this.#passwords(row))
    return { passwords, disabled: rows.some((row) => isTrue(row['disabled'])) }
  }

  #passwords(row: Readonly<Record<string, unknown>>): readonly StoredPassword[] {
    try {
      const { columns } = this.#options
      return columns === undefined ? this.#own(row) : passwordsOf(columns, row)
    } catch (error) {
      if (!(error instanceof UnusableCredential)) throw error
      this.#complain(error.message)
      return []
    }
  }

  #own(row: Readonly<Record<string, unknown>>): StoredPassword[] {
    if (!('password' in row))
      throw new BackendUnavailable('the query "password" gives no column of that name')
    const { password } = row
    const text = Buffer.isBuffer(password) ? password.toString('latin1') : password
    // an account without a password is there, and nobody can log in to it
    if (typeof text !== 'string' || text === '') return []
    return [recognise(`${this.#options.scheme ?? ''}${text}`)]
  }

  async *list(host: string): AsyncIterable<string> {
    const sql = this.#options.queries.list
    if (!sql) return
    const rows = await available(
      this.#database.read((db) => db.all<Record<string, unknown>>(sql, paramsOf('', host))),
    )
    const names = rows.map((row) => row['user']).filter((name) => typeof name === 'string')
    yield* names.sort()
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}

function paramsOf(user: string, host: string): Params {
  return { user, host, jid: `${user}@${host}` }
}

function isTrue(value: unknown): boolean {
  return value === 1 || value === 1n || value === 't' || value === 'true'
}

async function newPassword(
  format: SqliteTableOptions['password_format'],
  password: Buffer,
  signal: AbortSignal,
): Promise<string | undefined> {
  return (await makeCredentials(format, password, '', signal))?.[0]?.value
}

/** A query that is wrong, a file that is locked or gone: whatever it is, it is no answer. */
async function available<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof BackendUnavailable) throw error
    const why =
      error instanceof StorageUnavailable ? error.message : `a query failed: ${(error as Error).message}`
    throw new BackendUnavailable(why, { cause: error })
  }
}
