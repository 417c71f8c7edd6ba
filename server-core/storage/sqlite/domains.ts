/** The domains that were added by command. */
import type { Domain, DomainStore } from '../storage.ts'
import type { Database } from './database.ts'

export class SqliteDomains implements DomainStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async list(): Promise<readonly Domain[]> {
    const rows = await this.#database.read((db) =>
      db.all<{ host: string; options: string }>('SELECT host, options FROM domains ORDER BY host'),
    )
    return rows.map(({ host, options }) => ({ host, options: JSON.parse(options) as Domain['options'] }))
  }

  async set({ host, options }: Domain): Promise<void> {
    await this.#database.write((db) =>
      db.run(
        'INSERT INTO domains (host, options) VALUES (?, ?) ON CONFLICT DO UPDATE SET options = excluded.options',
        host,
        JSON.stringify(options),
      ),
    )
  }

  async remove(host: string): Promise<boolean> {
    return this.#database.write((db) => {
      const existed = db.get('SELECT 1 FROM domains WHERE host = ?', host) !== undefined
      db.run('DELETE FROM domains WHERE host = ?', host)
      return existed
    })
  }
}
