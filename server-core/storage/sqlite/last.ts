/** When accounts were last seen. */
import type { LastActivity, LastStore } from '../storage.ts'
import type { Database } from './database.ts'

export class SqliteLast implements LastStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async get(user: string, host: string): Promise<LastActivity | undefined> {
    return this.#database.read((db) =>
      db.get<LastActivity>(
        'SELECT seconds, status FROM last_activity WHERE host = ? AND user = ?',
        host,
        user,
      ),
    )
  }

  async set(user: string, host: string, { seconds, status }: LastActivity): Promise<void> {
    await this.#database.write((db) =>
      db.run(
        `INSERT INTO last_activity (user, host, seconds, status) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET seconds = excluded.seconds, status = excluded.status`,
        user,
        host,
        seconds,
        status,
      ),
    )
  }

  async countSince(host: string, seconds: number): Promise<number> {
    const row = await this.#database.read((db) =>
      db.get<{ n: number }>(
        'SELECT count(*) AS n FROM last_activity WHERE host = ? AND seconds > ?',
        host,
        seconds,
      ),
    )
    return row?.n ?? 0
  }
}
