/** Everything in one SQLite file. */
import type { Storage } from '../storage.ts'
import { SqliteAccounts } from './accounts.ts'
import { SqliteAnonymous } from './anonymous.ts'
import { SqliteBlocklists } from './blocklists.ts'
import { backup, content, restore } from './copies.ts'
import { Database, type DatabaseOptions } from './database.ts'
import { SqliteDomains } from './domains.ts'
import { SqliteLast } from './last.ts'
import { SqliteModuleData } from './module-data.ts'
import { SqliteOffline } from './offline.ts'
import { SqlitePrivates } from './privates.ts'
import { SqliteRosters } from './rosters.ts'
import { accountTables } from './schema.ts'
import { SqliteVcards } from './vcards.ts'

/** Opens nothing yet: the first call does, or `open`. */
export class SqliteStorage implements Storage {
  readonly #database: Database
  readonly accounts: SqliteAccounts
  readonly rosters: SqliteRosters
  readonly offline: SqliteOffline
  readonly last: SqliteLast
  readonly privates: SqlitePrivates
  readonly vcards: SqliteVcards
  readonly blocklists: SqliteBlocklists
  readonly domains: SqliteDomains
  readonly anonymous: SqliteAnonymous
  readonly moduleData: SqliteModuleData

  constructor(options: DatabaseOptions) {
    this.#database = new Database(options)
    this.accounts = new SqliteAccounts(this.#database)
    this.rosters = new SqliteRosters(this.#database)
    this.offline = new SqliteOffline(this.#database)
    this.last = new SqliteLast(this.#database)
    this.privates = new SqlitePrivates(this.#database)
    this.vcards = new SqliteVcards(this.#database)
    this.blocklists = new SqliteBlocklists(this.#database)
    this.domains = new SqliteDomains(this.#database)
    this.anonymous = new SqliteAnonymous(this.#database)
    this.moduleData = new SqliteModuleData(this.#database)
  }

  async open(): Promise<void> {
    await this.#database.open()
  }

  async removeAccount(user: string, host: string, signal?: AbortSignal): Promise<boolean> {
    return this.#database.write((db) => {
      const existed = db.get('SELECT 1 FROM accounts WHERE host = ? AND user = ?', host, user) !== undefined
      for (const table of accountTables)
        db.run(`DELETE FROM ${table} WHERE host = ? AND user = ?`, host, user)
      return existed
    }, signal)
  }

  async removeHost(host: string): Promise<void> {
    await this.#database.write((db) => {
      for (const table of accountTables) db.run(`DELETE FROM ${table} WHERE host = ?`, host)
    })
  }

  async backup(file: string): Promise<void> {
    await backup(this.#database, file)
  }

  async restore(file: string): Promise<void> {
    await restore(this.#database, file)
  }

  async backupContent(file: string): Promise<ReadonlyMap<string, number>> {
    return content(this.#database, file)
  }

  get waiting(): number {
    return this.#database.waiting
  }

  onWritten(listener: (ms: number) => void): () => void {
    return this.#database.onWritten(listener)
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}
