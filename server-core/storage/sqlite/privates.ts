/** What clients keep for themselves (XEP-0049). */
import type { PrivateElement, PrivateStore } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

export class SqlitePrivates implements PrivateStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async get(user: string, host: string, ns: string): Promise<string | undefined> {
    const row = await this.#database.read((db) =>
      db.get<{ xml: string }>(
        'SELECT xml FROM private_elements WHERE host = ? AND user = ? AND ns = ?',
        host,
        user,
        ns,
      ),
    )
    return row?.xml
  }

  async set(
    user: string,
    host: string,
    elements: readonly PrivateElement[],
    limits: { readonly elements: number; readonly bytes: number },
  ): Promise<'stored' | 'full'> {
    return this.#database.write((db) => {
      const kept = new Map(all(db, user, host).map(({ ns, xml }) => [ns, xml]))
      for (const { ns, xml } of elements) kept.set(ns, xml)
      let bytes = 0
      for (const [ns, xml] of kept) bytes += Buffer.byteLength(ns) + Buffer.byteLength(xml)
      if (kept.size > limits.elements || bytes > limits.bytes) return 'full'
      for (const { ns, xml } of elements) put(db, user, host, ns, xml)
      return 'stored'
    })
  }

  async list(user: string, host: string): Promise<readonly PrivateElement[]> {
    return this.#database.read((db) => all(db, user, host))
  }
}

function all(db: Connection, user: string, host: string): PrivateElement[] {
  return db.all<PrivateElement>(
    'SELECT ns, xml FROM private_elements WHERE host = ? AND user = ? ORDER BY ns',
    host,
    user,
  )
}

function put(db: Connection, user: string, host: string, ns: string, xml: string): void {
  db.run(
    `INSERT INTO private_elements (user, host, ns, xml) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET xml = excluded.xml`,
    user,
    host,
    ns,
    xml,
  )
}
