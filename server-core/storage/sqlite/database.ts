/**
 * One SQLite file as a promise-based store. Reads run at once; writes that are asked for in one turn of the event loop
 * share one transaction and one flush to disk, and their promises settle when it is committed. Several processes may have
 * the same file open. A file that is locked is tried again until the deadline without blocking the event loop; one that
 * went away or broke is opened again as soon as it is back.
 */
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type BetterSqlite3 from 'better-sqlite3'
import { StorageUnavailable } from '../storage.ts'
import { breaksConnection, Connection, isBusy, unavailable } from './connection.ts'
import { migrate, requireCurrent } from './schema.ts'

export interface DatabaseOptions {
  readonly file: string
  /** Make missing folders (mode 0700); otherwise the folder must exist. */
  readonly makeFolder?: boolean
  /** How long a call waits for a lock, in milliseconds. */
  readonly deadline?: number
  /** How many writes may wait for a lock. */
  readonly maxWaiting?: number
  /** Do not make the file, as somebody else does, who has to own it. */
  readonly mustExist?: boolean
  /** Somebody else's file: it must exist, and neither its schema nor its journal mode is touched. */
  readonly foreign?: { readonly readOnly: boolean }
}

interface PendingWrite {
  readonly run: (connection: Connection) => unknown
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
  readonly until: number
  readonly signal: AbortSignal | undefined
}

/** Loads what is CommonJS when it is needed: an import would begin with what loads ES modules, which takes longer than the library. */
const library = createRequire(import.meta.url)
/** So many writes share a transaction at most, or the event loop would stand still for too long. */
const maxBatch = 500
/** Reads that follow one another so quickly, in milliseconds, share a transaction until the end of the turn. */
const burst = 0.02
/** Pages that are copied in one turn of the event loop: some 4 MB. */
const copyRate = 1_000
/** Pages in memory; the build has 16 MiB, which each of a pool's processes would fill. The system caches the file as well. */
const cacheKiB = 4_096
/** How often reads look whether the file was replaced, in milliseconds; writes look every time. */
const lookEvery = 1000

export class Database {
  readonly #file: string
  readonly #makeFolder: boolean
  readonly #deadline: number
  readonly #maxWaiting: number
  readonly #mustExist: boolean
  readonly #foreign: DatabaseOptions['foreign']
  #connection: Connection | undefined
  #opening: Promise<Connection> | undefined
  #openedBefore: boolean = false
  #lookedAt = 0
  #lastRead = 0
  /** The connection that has a transaction open for the reads of this turn. */
  #reading: Connection | undefined
  #closed: boolean = false
  #waiting: PendingWrite[] = []
  #flushing: Promise<void> | undefined
  readonly #listeners = new Set<(ms: number) => void>()
  /** Writes wait for it. */
  #held: Promise<unknown> | undefined

  constructor(options: DatabaseOptions) {
    this.#file = options.file
    this.#makeFolder = options.makeFolder ?? false
    this.#deadline = options.deadline ?? 5000
    this.#maxWaiting = options.maxWaiting ?? 10_000
    this.#foreign = options.foreign
    this.#mustExist = options.mustExist === true || options.foreign !== undefined
  }

  /** Opens the file, makes or migrates the schema. Calls do this by themselves; this is to learn early whether it works. */
  async open(): Promise<void> {
    await this.#retrying((connection) => connection.get('SELECT 1'))
  }

  /** `run` sees what is committed. It must not wait, and may run more than once. */
  read<T>(run: (connection: Connection) => T): Promise<T> {
    return this.#retrying(run)
  }

  /**
   * `run` sees and changes the data with nothing in between, and its error undoes its own changes only. It must not wait,
   * and may run more than once. It does not start any more when `signal` has aborted.
   */
  async write<T>(run: (connection: Connection) => T, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#closed) throw this.#closedError()
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new StorageUnavailable(`the database ${this.#file}: too many changes wait for it`)
    }
    return new Promise<T>((resolve, reject) => {
      const began = performance.now()
      const until = began + this.#deadline
      const written = (result: unknown): void => {
        for (const listener of this.#listeners) listener(performance.now() - began)
        resolve(result as T)
      }
      this.#waiting.push({ run, resolve: written, reject, until, signal })
      this.#flushing ??= this.#flush()
    })
  }

  get file(): string {
    return this.#file
  }

  /** How many writes wait now. */
  get waiting(): number {
    return this.#waiting.length
  }

  onWritten(listener: (ms: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Everything as it is at one moment, into a file; reads and writes go on meanwhile. */
  async copyTo(file: string): Promise<void> {
    const connection = this.#usable(0) ?? (await this.#reopened())
    this.#endReading()
    try {
      await connection.copyTo(file, copyRate)
    } catch (error) {
      throw unavailable(file, error) ?? error
    }
  }

  /** Runs with no write of ours under way; those that are asked for meanwhile wait. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    while (this.#held) await this.#held
    let release: () => void = () => undefined
    this.#held = new Promise<void>((resolve) => {
      release = resolve
    })
    try {
      return await work()
    } finally {
      this.#held = undefined
      release()
    }
  }

  /** Waits for what was asked for, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#flushing
    await this.#opening?.catch(() => undefined)
    this.#drop()
  }

  async #retrying<T>(run: (connection: Connection) => T): Promise<T> {
    const now = performance.now()
    const until = now + this.#deadline
    const isBurst = now - this.#lastRead < burst
    this.#lastRead = now
    for (let attempt = 0; ; attempt++) {
      if (this.#closed) throw this.#closedError()
      try {
        const connection = this.#usable(lookEvery) ?? (await this.#reopened())
        if (this.#closed) throw this.#closedError()
        if (isBurst && attempt === 0) this.#beginReading(connection)
        return run(connection)
      } catch (error) {
        this.#endReading()
        if (isBusy(error) && performance.now() < until) {
          await delay(pause(attempt))
          continue
        }
        throw this.#failed(error)
      }
    }
  }

  /** Each transaction costs locks, which take longer than finding a row; so many reads at once have one. */
  #beginReading(connection: Connection): void {
    if (this.#reading !== undefined || connection.inTransaction) return
    connection.run('BEGIN')
    this.#reading = connection
    setImmediate(() => this.#endReading())
  }

  #endReading(): void {
    const connection = this.#reading
    this.#reading = undefined
    if (connection !== undefined && connection === this.#connection && connection.inTransaction) {
      connection.run('COMMIT')
    }
  }

  async #flush(): Promise<void> {
    for (let attempt = 0; this.#waiting.length > 0; ) {
      await turnOver()
      if (this.#held) await this.#held
      const batch = this.#takeBatch()
      if (batch.length === 0) continue
      try {
        const connection = this.#usable(0) ?? (await this.#reopened())
        this.#endReading()
        const settle = transaction(connection, batch)
        attempt = 0
        for (const done of settle) done()
      } catch (error) {
        if (isBusy(error)) {
          this.#waiting = [...batch, ...this.#waiting]
          this.#expire(error)
          await delay(pause(attempt++))
          continue
        }
        const failure = this.#failed(error)
        for (const write of batch) write.reject(failure)
      }
    }
    this.#flushing = undefined
  }

  #takeBatch(): PendingWrite[] {
    const batch: PendingWrite[] = []
    for (const write of this.#waiting.splice(0, maxBatch)) {
      if (write.signal?.aborted) write.reject(write.signal.reason)
      else batch.push(write)
    }
    return batch
  }

  #expire(error: unknown): void {
    const now = performance.now()
    const failure = this.#failed(error)
    this.#waiting = this.#waiting.filter((write) => {
      if (now < write.until) return true
      write.reject(failure)
      return false
    })
  }

  /** The open connection, if there is one and its file was still in place at most `maxAge` milliseconds ago. */
  #usable(maxAge: number): Connection | undefined {
    const now = performance.now()
    if (this.#connection !== undefined && now - this.#lookedAt >= maxAge) {
      this.#lookedAt = now
      if (!this.#connection.isCurrent()) this.#drop()
    }
    return this.#connection
  }

  async #reopened(): Promise<Connection> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<Connection> {
    const Sqlite = library('better-sqlite3') as typeof BetterSqlite3
    if (this.#openedBefore || this.#mustExist || existsSync(this.#file)) statSync(this.#file)
    else this.#makeFile()
    const readonly = this.#foreign?.readOnly ?? !isWritable(this.#file)
    const db = new Sqlite(this.#file, { timeout: 0, fileMustExist: true, readonly })
    const connection = new Connection(db, this.#file)
    try {
      if (!this.#foreign) this.#prepare(connection, readonly)
    } catch (error) {
      db.close()
      throw error
    }
    connection.remember()
    this.#connection = connection
    this.#openedBefore = true
    this.#lookedAt = performance.now()
    return this.#connection
  }

  /** Foreign keys are off and synchronous is what the build says, for each new connection. */
  #prepare(connection: Connection, readonly: boolean): void {
    if (readonly) {
      requireCurrent(connection, this.#file)
      return
    }
    connection.script('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;')
    connection.script(`PRAGMA cache_size = -${cacheKiB};`)
    migrate(connection, this.#file, { mayBeEmpty: !this.#openedBefore && !this.#mustExist })
  }

  /** SQLite would make the file with the mode that the umask leaves; its -wal and -shm take over the mode of the file. */
  #makeFile(): void {
    if (this.#makeFolder) mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
    closeSync(openSync(this.#file, 'a', 0o600))
  }

  #failed(error: unknown): unknown {
    if (breaksConnection(error)) this.#drop()
    return unavailable(this.#file, error) ?? error
  }

  #drop(): void {
    const connection = this.#connection
    this.#connection = undefined
    connection?.close()
  }

  #closedError(): StorageUnavailable {
    return new StorageUnavailable(`the database ${this.#file} is closed`)
  }
}

/** Runs the writes in one transaction; gives what settles each of them, for after the commit. */
function transaction(connection: Connection, batch: readonly PendingWrite[]): (() => void)[] {
  connection.run('BEGIN IMMEDIATE')
  try {
    const settle = batch.map((write) => inSavepoint(connection, write))
    connection.run('COMMIT')
    return settle
  } catch (error) {
    // Some errors (a full disk) have ended the transaction already.
    if (connection.inTransaction) connection.run('ROLLBACK')
    throw error
  }
}

function inSavepoint(connection: Connection, write: PendingWrite): () => void {
  connection.run('SAVEPOINT one')
  try {
    const result = write.run(connection)
    connection.run('RELEASE one')
    return () => write.resolve(result)
  } catch (error) {
    if (isBusy(error) || unavailable('', error) !== undefined || !connection.inTransaction) throw error
    connection.run('ROLLBACK TO one')
    connection.run('RELEASE one')
    return () => write.reject(error)
  }
}

/** A file that may only be read is read: what would change it is an outage. */
function isWritable(file: string): boolean {
  try {
    accessSync(file, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function pause(attempt: number): number {
  return Math.min(2 ** attempt, 50) + Math.random() * 3
}

/** Lets everything that is ready in this turn of the event loop run first. */
function turnOver(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
