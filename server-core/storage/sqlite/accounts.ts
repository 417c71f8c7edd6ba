/** Accounts and their credentials. `accounts.formats` names the formats of the own password, for the totals. */
import type { AccountRecord, AccountStore, Ban, Credential } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

interface AccountRow {
  user: string
  host: string
  created: number
  disabled: number
  ban_since: number | null
  ban_reason: string | null
  ban_by: string | null
}

const pageSize = 1000

export class SqliteAccounts implements AccountStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  exists(user: string, host: string): Promise<boolean> {
    return this.#database.read((db) => exists(db, user, host))
  }

  async get(user: string, host: string): Promise<AccountRecord | undefined> {
    const row = await this.#database.read((db) =>
      db.get<AccountRow>('SELECT * FROM accounts WHERE host = ? AND user = ?', host, user),
    )
    return row && { user, host, created: row.created, disabled: row.disabled === 1, ban: banOf(row) }
  }

  credentials(user: string, host: string): Promise<readonly Credential[]> {
    return this.#database.read((db) =>
      db.all<Credential>(
        `SELECT label, format, value, changed FROM credentials WHERE host = ? AND user = ? ORDER BY label, format`,
        host,
        user,
      ),
    )
  }

  async create(
    user: string,
    host: string,
    credentials: readonly Credential[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    return this.#database.write((db) => {
      const made = db.run(
        'INSERT INTO accounts (user, host, created) VALUES (?, ?, unixepoch()) ON CONFLICT DO NOTHING',
        user,
        host,
      )
      if (made === 0) return false
      for (const credential of credentials) put(db, user, host, credential)
      noteFormats(db, user, host)
      return true
    }, signal)
  }

  async setCredentials(
    user: string,
    host: string,
    label: string,
    credentials: readonly Credential[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    return this.#database.write((db) => {
      if (!exists(db, user, host)) return false
      db.run('DELETE FROM credentials WHERE host = ? AND user = ? AND label = ?', host, user, label)
      for (const credential of credentials) put(db, user, host, { ...credential, label })
      noteFormats(db, user, host)
      return true
    }, signal)
  }

  async replaceCredential(
    user: string,
    host: string,
    old: Credential,
    now: readonly Credential[],
  ): Promise<boolean> {
    return this.#database.write((db) => {
      const removed = db.run(
        `DELETE FROM credentials WHERE host = ? AND user = ? AND label = ? AND format = ? AND value = ?`,
        host,
        user,
        old.label,
        old.format,
        old.value,
      )
      if (removed === 0) return false
      for (const credential of now) put(db, user, host, { ...credential, label: old.label })
      noteFormats(db, user, host)
      return true
    })
  }

  async setDisabled(user: string, host: string, disabled: boolean): Promise<boolean> {
    return this.#database.write(
      (db) =>
        db.run('UPDATE accounts SET disabled = ? WHERE host = ? AND user = ?', disabled ? 1 : 0, host, user) >
        0,
    )
  }

  async setBan(user: string, host: string, ban: Ban | undefined, signal?: AbortSignal): Promise<boolean> {
    return this.#database.write(
      (db) =>
        db.run(
          'UPDATE accounts SET ban_since = ?, ban_reason = ?, ban_by = ? WHERE host = ? AND user = ?',
          ban?.since ?? null,
          ban?.reason ?? null,
          ban?.by ?? null,
          host,
          user,
        ) > 0,
      signal,
    )
  }

  async *list(host: string): AsyncIterable<string> {
    let last = ''
    for (;;) {
      const page = await this.#database.read((db) =>
        db.all<{ user: string }>(
          'SELECT user FROM accounts WHERE host = ? AND user > ? ORDER BY user LIMIT ?',
          host,
          last,
          pageSize,
        ),
      )
      for (const { user } of page) yield user
      if (page.length < pageSize) return
      last = page.at(-1)?.user ?? last
    }
  }

  async hosts(): Promise<readonly string[]> {
    const rows = await this.#database.read((db) =>
      db.all<{ host: string }>('SELECT DISTINCT host FROM account_totals WHERE accounts > 0 ORDER BY host'),
    )
    return rows.map(({ host }) => host)
  }

  async count(host: string): Promise<number> {
    return (await this.formatSets(host)).reduce((sum, total) => sum + total.accounts, 0)
  }

  async formats(host: string): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>()
    for (const { formats, accounts } of await this.formatSets(host)) {
      for (const format of formats) counts.set(format, (counts.get(format) ?? 0) + accounts)
    }
    return counts
  }

  async formatSets(host: string): Promise<{ formats: string[]; accounts: number }[]> {
    const rows = await this.#database.read((db) =>
      db.all<{ formats: string; accounts: number }>(
        'SELECT formats, accounts FROM account_totals WHERE host = ? AND accounts > 0',
        host,
      ),
    )
    return rows.map(({ formats, accounts }) => ({ formats: formats.split(',').filter(Boolean), accounts }))
  }
}

function exists(db: Connection, user: string, host: string): boolean {
  return db.has('SELECT 1 FROM accounts WHERE host = ? AND user = ?', host, user)
}

function put(
  db: Connection,
  user: string,
  host: string,
  { label, format, value, changed }: Credential,
): void {
  db.run(
    `INSERT INTO credentials (user, host, label, format, value, changed) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, changed = excluded.changed`,
    user,
    host,
    label,
    format,
    value,
    changed,
  )
}

function noteFormats(db: Connection, user: string, host: string): void {
  db.run(
    `UPDATE accounts SET formats = (
       SELECT coalesce(group_concat(format, ','), '') FROM (
         SELECT format FROM credentials WHERE host = @host AND user = @user AND label = '' ORDER BY format))
     WHERE host = @host AND user = @user`,
    { host, user },
  )
}

function banOf(row: AccountRow): Ban | undefined {
  if (row.ban_since === null) return undefined
  return { since: row.ban_since, reason: row.ban_reason ?? '', by: row.ban_by ?? '' }
}
