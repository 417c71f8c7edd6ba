/** The visiting card of each account (XEP-0054). */
import type { VcardStore } from '../storage.ts'
import type { Database } from './database.ts'

export class SqliteVcards implements VcardStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async get(user: string, host: string): Promise<string | undefined> {
    const row = await this.#database.read((db) =>
      db.get<{ xml: string }>('SELECT xml FROM vcards WHERE host = ? AND user = ?', host, user),
    )
    return row?.xml
  }

  async set(user: string, host: string, vcard: string | undefined): Promise<void> {
    await this.#database.write((db) => {
      if (vcard === undefined) return db.run('DELETE FROM vcards WHERE host = ? AND user = ?', host, user)
      return db.run(
        'INSERT INTO vcards (user, host, xml) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET xml = excluded.xml',
        user,
        host,
        vcard,
      )
    })
  }
}
