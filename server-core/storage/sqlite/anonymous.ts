/** Who is connected without an account. */
import type { AnonymousStore } from '../storage.ts'
import type { Database } from './database.ts'

export class SqliteAnonymous implements AnonymousStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async add(user: string, host: string): Promise<void> {
    await this.#database.write((db) =>
      db.run('INSERT INTO anonymous_users (user, host) VALUES (?, ?) ON CONFLICT DO NOTHING', user, host),
    )
  }

  async remove(user: string, host: string): Promise<void> {
    await this.#database.write((db) =>
      db.run('DELETE FROM anonymous_users WHERE host = ? AND user = ?', host, user),
    )
  }

  async list(host: string): Promise<readonly string[]> {
    const rows = await this.#database.read((db) =>
      db.all<{ user: string }>('SELECT user FROM anonymous_users WHERE host = ? ORDER BY user', host),
    )
    return rows.map(({ user }) => user)
  }
}
