/** What modules keep, by their keys. */
import type { ModuleDataOwner, ModuleDataStore, ModuleDatum } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

export class SqliteModuleData implements ModuleDataStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async get(owner: ModuleDataOwner, key: string): Promise<string | undefined> {
    return this.#database.read((db) => kept(db, owner, key))
  }

  async update(
    owner: ModuleDataOwner,
    key: string,
    change: (old: string | undefined) => string | undefined,
    limits: { readonly keys: number; readonly bytes: number },
  ): Promise<'done' | 'full'> {
    const { module, user, host } = owner
    return this.#database.write((db) => {
      const old = kept(db, owner, key)
      const value = change(old)
      if (value === old) return 'done'
      if (value === undefined) {
        db.run(
          'DELETE FROM module_data WHERE host = ? AND user = ? AND module = ? AND key = ?',
          host,
          user,
          module,
          key,
        )
        return 'done'
      }
      const others = sizeBeside(db, owner, key)
      const bytes = others.bytes + Buffer.byteLength(key) + Buffer.byteLength(value)
      if (others.keys + 1 > limits.keys || bytes > limits.bytes) return 'full'
      db.run(
        `INSERT INTO module_data (user, host, module, key, value) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET value = excluded.value`,
        user,
        host,
        module,
        key,
        value,
      )
      return 'done'
    })
  }

  async list({ module, user, host }: ModuleDataOwner): Promise<readonly ModuleDatum[]> {
    return this.#database.read((db) =>
      db.all<ModuleDatum>(
        'SELECT key, value FROM module_data WHERE host = ? AND user = ? AND module = ? ORDER BY key',
        host,
        user,
        module,
      ),
    )
  }

  async ofAccount(
    user: string,
    host: string,
  ): Promise<readonly (ModuleDatum & { readonly module: string })[]> {
    return this.#database.read((db) =>
      db.all<ModuleDatum & { readonly module: string }>(
        'SELECT module, key, value FROM module_data WHERE host = ? AND user = ? ORDER BY module, key',
        host,
        user,
      ),
    )
  }

  async countModule(module: string, host: string): Promise<number> {
    const row = await this.#database.read((db) =>
      db.get<{ n: number }>(
        'SELECT count(*) AS n FROM module_data WHERE host = ? AND module = ?',
        host,
        module,
      ),
    )
    return row?.n ?? 0
  }

  async removeModule(module: string, host: string): Promise<number> {
    return this.#database.write((db) =>
      db.run('DELETE FROM module_data WHERE host = ? AND module = ?', host, module),
    )
  }
}

function kept(db: Connection, { module, user, host }: ModuleDataOwner, key: string): string | undefined {
  return db.get<{ value: string }>(
    'SELECT value FROM module_data WHERE host = ? AND user = ? AND module = ? AND key = ?',
    host,
    user,
    module,
    key,
  )?.value
}

/** What the owner keeps under other keys. */
function sizeBeside(
  db: Connection,
  { module, user, host }: ModuleDataOwner,
  key: string,
): { readonly keys: number; readonly bytes: number } {
  const row = db.get<{ keys: number; bytes: number }>(
    `SELECT count(*) AS keys, coalesce(sum(octet_length(key) + octet_length(value)), 0) AS bytes
       FROM module_data WHERE host = ? AND user = ? AND module = ? AND key <> ?`,
    host,
    user,
    module,
    key,
  )
  return row ?? { keys: 0, bytes: 0 }
}
