/** One open SQLite connection with its prepared statements, and what its errors mean to us. */
import { renameSync, statSync } from 'node:fs'
import type BetterSqlite3 from 'better-sqlite3'
import { StorageUnavailable } from '../storage.ts'

export type Value = string | number | bigint | Buffer | null
/** Values for the `?` of a statement in order, or one object for its `@name`s. */
export type Values = readonly Value[] | readonly [Readonly<Record<string, Value>>]

export class Connection {
  readonly #db: BetterSqlite3.Database
  readonly #statements = new Map<string, BetterSqlite3.Statement<unknown[]>>()
  readonly #questions = new Map<string, BetterSqlite3.Statement<unknown[]>>()
  readonly #file: string
  #identity: string | undefined
  #walIdentity: string | undefined

  constructor(db: BetterSqlite3.Database, file: string) {
    this.#db = db
    this.#file = file
  }

  /** To be called once there is a log (-wal) beside the file: remembers which files these are. */
  remember(): void {
    this.#identity = identityOf(this.#file)
    this.#walIdentity = identityOf(`${this.#file}-wal`)
  }

  get<Row>(sql: string, ...values: Values): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined
  }

  /** Whether there is a row: faster than reading it. */
  has(sql: string, ...values: Values): boolean {
    let statement = this.#questions.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare<unknown[]>(sql).pluck()
      this.#questions.set(sql, statement)
    }
    return statement.get(...values) !== undefined
  }

  all<Row>(sql: string, ...values: Values): Row[] {
    return this.#prepare(sql).all(...values) as Row[]
  }

  /** Returns the number of rows that were changed. */
  run(sql: string, ...values: Values): number {
    return this.#prepare(sql).run(...values).changes
  }

  /** Several statements without parameters or results. */
  script(sql: string): void {
    this.#db.exec(sql)
  }

  /** Copies all of it into a file, which may be in use: then it is replaced at once, when all has been written. */
  async copyTo(file: string, rate: number): Promise<void> {
    await this.#db.backup(file, { progress: () => rate })
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  /** Whether the path still leads to the file that this connection has open. */
  isCurrent(): boolean {
    return identityOf(this.#file) === this.#identity
  }

  /**
   * Closes. If the file was replaced by another one, the log of the old one must not stay beside it: the next to open
   * would play it into the new file (sqlite.org/howtocorrupt.html §1.4). It is kept under another name.
   */
  close(): void {
    const replaced = this.#identity !== undefined && identityOf(this.#file) !== undefined && !this.isCurrent()
    if (
      replaced &&
      this.#walIdentity !== undefined &&
      identityOf(`${this.#file}-wal`) === this.#walIdentity
    ) {
      renameSync(`${this.#file}-wal`, `${this.#file}-wal.of-replaced-file-${Date.now()}`)
      renameSync(`${this.#file}-shm`, `${this.#file}-shm.of-replaced-file-${Date.now()}`)
    }
    this.#db.close()
  }

  #prepare(sql: string): BetterSqlite3.Statement<unknown[]> {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare<unknown[]>(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false, bigint: true })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/** SQLite's name of an error (SQLITE_BUSY, SQLITE_IOERR_WRITE, …); undefined for errors that are not SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code.startsWith('SQLITE_') ? error.code : undefined
  }
  return undefined
}

/** Somebody else has it for a moment: worth another try. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error)
  return code !== undefined && /^SQLITE_(BUSY|LOCKED|PROTOCOL|SCHEMA)/.test(code)
}

/** Errors after which nothing this connection has in its memory is trusted any more. */
export function breaksConnection(error: unknown): boolean {
  const code = sqliteCode(error)
  return code !== undefined && /^SQLITE_(CORRUPT|NOTADB|IOERR|CANTOPEN|READONLY|NOMEM|PERM|AUTH)/.test(code)
}

const reasons: readonly (readonly [RegExp, string])[] = [
  [
    /^SQLITE_(BUSY|LOCKED|PROTOCOL)/,
    'another program holds it locked: look for a backup or an open sqlite3 shell',
  ],
  [/^SQLITE_FULL/, 'the disk or the quota is full: make room'],
  [/^SQLITE_READONLY_DBMOVED/, 'the file was moved or removed: put it back'],
  [
    /^SQLITE_READONLY_(DIRECTORY|CANTINIT|RECOVERY|CANTLOCK)/,
    'it has a log beside it (journal_mode WAL), so who may not write into its folder can read it only while its owner has it open: ' +
      'permit that, or let the owner say `PRAGMA journal_mode = DELETE`',
  ],
  [/^SQLITE_READONLY/, 'it can be read but not written: look at owner and mode of the file and its folder'],
  [/^SQLITE_(CANTOPEN|PERM|AUTH)/, 'it cannot be opened: look at owner and mode of the file and its folder'],
  [/^SQLITE_NOTADB/, 'it is no SQLite database: put the right file there or restore a backup'],
  [/^SQLITE_CORRUPT/, 'it is damaged: restore a backup, or recover it with `sqlite3 FILE .recover`'],
  [/^SQLITE_IOERR/, 'the disk reports an error: look at the kernel log and the free space'],
  [/^SQLITE_NOMEM/, 'there is not enough memory'],
]

/** What an administrator reads; undefined for errors that are faults of ours (a constraint, bad SQL). */
export function unavailable(file: string, error: unknown): StorageUnavailable | undefined {
  if (error instanceof StorageUnavailable) return error
  const code = sqliteCode(error)
  if (code === undefined) {
    const system =
      error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined
    if (system === undefined) return undefined
    return new StorageUnavailable(`the database ${file}: ${(error as Error).message}`, { cause: error })
  }
  const reason = reasons.find(([pattern]) => pattern.test(code))?.[1]
  if (reason === undefined) return undefined
  return new StorageUnavailable(`the database ${file}: ${reason} (${code})`, { cause: error })
}
