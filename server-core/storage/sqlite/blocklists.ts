/** Whom accounts have blocked (XEP-0191). */
import type { BlocklistStore } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

export class SqliteBlocklists implements BlocklistStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async get(user: string, host: string): Promise<readonly string[]> {
    return this.#database.read((db) => list(db, user, host))
  }

  async change(
    user: string,
    host: string,
    change: { readonly add: readonly string[]; readonly remove: readonly string[] | 'all' },
    limit: number,
  ): Promise<'full' | { readonly before: readonly string[]; readonly after: readonly string[] }> {
    return this.#database.write((db) => {
      const before = list(db, user, host)
      const removed = new Set(change.remove === 'all' ? before : change.remove)
      const kept = before.filter((jid) => !removed.has(jid))
      if (new Set([...kept, ...change.add]).size > limit) return 'full'
      for (const jid of removed) {
        db.run('DELETE FROM blocked WHERE host = ? AND user = ? AND jid = ?', host, user, jid)
      }
      for (const jid of change.add) {
        db.run(
          'INSERT INTO blocked (user, host, jid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
          user,
          host,
          jid,
        )
      }
      return { before, after: list(db, user, host) }
    })
  }
}

function list(db: Connection, user: string, host: string): string[] {
  return db
    .all<{ jid: string }>('SELECT jid FROM blocked WHERE host = ? AND user = ? ORDER BY jid', host, user)
    .map((row) => row.jid)
}
