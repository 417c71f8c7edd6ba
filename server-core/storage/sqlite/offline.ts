/** Messages for accounts without a session. Totals are kept by triggers, so that a full store is noticed without counting. */
import type { OfflineMessage, OfflineStore } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

/** A transaction of this many rows is some milliseconds. */
const deletedAtOnce = 1_000

export class SqliteOffline implements OfflineStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async store(
    user: string,
    host: string,
    stanza: string,
    received: number,
    expires: number | undefined,
    limits: { readonly messages: number; readonly bytes: number },
  ): Promise<'stored' | 'full'> {
    const bytes = Buffer.byteLength(stanza)
    return this.#database.write((db) => {
      if (!fits(db, user, host, bytes, limits)) {
        db.run(
          'DELETE FROM offline_messages WHERE host = ? AND user = ? AND expires <= ?',
          host,
          user,
          Date.now(),
        )
        if (!fits(db, user, host, bytes, limits)) return 'full'
      }
      db.run(
        'INSERT INTO offline_messages (user, host, received, expires, bytes, stanza) VALUES (?, ?, ?, ?, ?, ?)',
        user,
        host,
        received,
        expires ?? null,
        bytes,
        stanza,
      )
      return 'stored'
    })
  }

  async list(user: string, host: string): Promise<readonly OfflineMessage[]> {
    return this.#database.read((db) =>
      db.all<OfflineMessage>(
        `SELECT seq, received, stanza FROM offline_messages
         WHERE host = ? AND user = ? AND (expires IS NULL OR expires > ?) ORDER BY seq`,
        host,
        user,
        Date.now(),
      ),
    )
  }

  async delete(user: string, host: string, seqs: readonly number[]): Promise<void> {
    if (seqs.length === 0) return
    await this.#database.write((db) => {
      for (const seq of seqs) {
        db.run('DELETE FROM offline_messages WHERE seq = ? AND host = ? AND user = ?', seq, host, user)
      }
    })
  }

  async count(user: string, host: string): Promise<number> {
    const row = await this.#database.read((db) =>
      db.get<{ n: number }>(
        `SELECT count(*) AS n FROM offline_messages
         WHERE host = ? AND user = ? AND (expires IS NULL OR expires > ?)`,
        host,
        user,
        Date.now(),
      ),
    )
    return row?.n ?? 0
  }

  async countBefore(host: string | undefined, received: number): Promise<number> {
    const row = await this.#database.read((db) =>
      db.get<{ n: number }>(
        'SELECT count(*) AS n FROM offline_messages WHERE received < @limit AND (@host IS NULL OR host = @host)',
        { limit: received, host: host ?? null },
      ),
    )
    return row?.n ?? 0
  }

  deleteBefore(host: string | undefined, received: number): Promise<number> {
    return this.#deleteWhere('received < @limit', host, received)
  }

  deleteExpired(host: string | undefined): Promise<number> {
    return this.#deleteWhere('expires <= @limit', host, Date.now())
  }

  /** Some at a time, each in a transaction of its own: others want to write as well. */
  async #deleteWhere(condition: string, host: string | undefined, limit: number): Promise<number> {
    let sum = 0
    for (;;) {
      const deleted = await this.#database.write((db) =>
        db.run(
          `DELETE FROM offline_messages WHERE seq IN (SELECT seq FROM offline_messages
           WHERE ${condition} AND (@host IS NULL OR host = @host) LIMIT ${deletedAtOnce})`,
          { limit, host: host ?? null },
        ),
      )
      sum += deleted
      if (deleted < deletedAtOnce) return sum
    }
  }
}

function fits(
  db: Connection,
  user: string,
  host: string,
  bytes: number,
  limits: { readonly messages: number; readonly bytes: number },
): boolean {
  const total = db.get<{ messages: number; bytes: number }>(
    'SELECT messages, bytes FROM offline_totals WHERE host = ? AND user = ?',
    host,
    user,
  ) ?? { messages: 0, bytes: 0 }
  return total.messages + 1 <= limits.messages && total.bytes + bytes <= limits.bytes
}
