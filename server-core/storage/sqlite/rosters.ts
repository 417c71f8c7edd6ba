/** Rosters, with enough history for roster versioning (RFC 6121 §2.6). */
import { isDeepStrictEqual } from 'node:util'
import type { RosterChange, RosterItem, RosterStore, Subscription } from '../storage.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

interface ItemRow {
  jid: string
  name: string
  subscription: Subscription
  pending_out: number
  pending_in: string | null
  approved: number
  groups: string
  listed: number
  version: number
}

/** So many removed contacts are remembered for each account. */
const maxRemoved = 200

export class SqliteRosters implements RosterStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async list(user: string, host: string): Promise<readonly RosterItem[]> {
    const rows = await this.#database.read((db) =>
      db.all<ItemRow>('SELECT * FROM roster_items WHERE host = ? AND user = ? ORDER BY jid', host, user),
    )
    return rows.map(itemOf)
  }

  async pending(user: string, host: string): Promise<readonly RosterItem[]> {
    const rows = await this.#database.read((db) =>
      db.all<ItemRow>(
        `SELECT * FROM roster_items
         WHERE host = ? AND user = ? AND (pending_out = 1 OR pending_in IS NOT NULL) ORDER BY jid`,
        host,
        user,
      ),
    )
    return rows.map(itemOf)
  }

  async get(user: string, host: string, jid: string): Promise<RosterItem | undefined> {
    return this.#database.read((db) => getItem(db, user, host, jid))
  }

  async update(
    user: string,
    host: string,
    jid: string,
    change: (old: RosterItem | undefined) => RosterItem | undefined,
  ): Promise<RosterChange> {
    return this.#database.write((db) => {
      const before = getItem(db, user, host, jid)
      const after = change(before)
      if (after === before) return { before, after, version: getVersion(db, user, host).version }
      const isVisible = !isDeepStrictEqual(shown(before), shown(after))
      const version = isVisible ? nextVersion(db, user, host) : getVersion(db, user, host).version
      if (after === undefined) removeItem(db, user, host, jid)
      else putItem(db, user, host, { ...after, jid }, isVisible ? version : undefined)
      if (isVisible) noteRemoval(db, user, host, jid, after?.listed ? undefined : version)
      return { before, after, version }
    })
  }

  async count(user: string, host: string): Promise<number> {
    const row = await this.#database.read((db) =>
      db.get<{ n: number }>(
        'SELECT count(*) AS n FROM roster_items WHERE host = ? AND user = ? AND listed = 1',
        host,
        user,
      ),
    )
    return row?.n ?? 0
  }

  async version(user: string, host: string): Promise<number> {
    return this.#database.read((db) => getVersion(db, user, host).version)
  }

  async changesSince(
    user: string,
    host: string,
    version: number,
  ): Promise<readonly { jid: string; item: RosterItem | undefined; version: number }[] | undefined> {
    return this.#database.read((db) => {
      const known = getVersion(db, user, host)
      if (version < known.oldest || version > known.version) return undefined
      const where = 'WHERE host = ? AND user = ? AND version > ?'
      const items = db
        .all<ItemRow>(`SELECT * FROM roster_items ${where} AND listed = 1`, host, user, version)
        .map((row) => ({ jid: row.jid, item: itemOf(row), version: row.version }))
      const removed = db
        .all<{ jid: string; version: number }>(
          `SELECT jid, version FROM roster_removed ${where}`,
          host,
          user,
          version,
        )
        .map((row) => ({ jid: row.jid, item: undefined, version: row.version }))
      return [...items, ...removed].sort((one, other) => one.version - other.version)
    })
  }
}

function getItem(db: Connection, user: string, host: string, jid: string): RosterItem | undefined {
  const row = db.get<ItemRow>(
    'SELECT * FROM roster_items WHERE host = ? AND user = ? AND jid = ?',
    host,
    user,
    jid,
  )
  return row && itemOf(row)
}

/** `version` undefined: nothing that shows has changed, the item keeps its own. */
function putItem(
  db: Connection,
  user: string,
  host: string,
  item: RosterItem,
  version: number | undefined,
): void {
  db.run(
    `INSERT INTO roster_items
       (user, host, jid, name, subscription, pending_out, pending_in, approved, groups, listed, version)
     VALUES (@user, @host, @jid, @name, @subscription, @pendingOut, @pendingIn, @approved, @groups, @listed,
       coalesce(@version, 0))
     ON CONFLICT DO UPDATE SET name = excluded.name, subscription = excluded.subscription,
       pending_out = excluded.pending_out, pending_in = excluded.pending_in, approved = excluded.approved,
       groups = excluded.groups, listed = excluded.listed, version = coalesce(@version, version)`,
    {
      user,
      host,
      jid: item.jid,
      name: item.name,
      subscription: item.subscription,
      pendingOut: item.pendingOut ? 1 : 0,
      pendingIn: item.pendingIn ?? null,
      approved: item.approved ? 1 : 0,
      groups: JSON.stringify(item.groups),
      listed: item.listed ? 1 : 0,
      version: version ?? null,
    },
  )
}

function removeItem(db: Connection, user: string, host: string, jid: string): void {
  db.run('DELETE FROM roster_items WHERE host = ? AND user = ? AND jid = ?', host, user, jid)
}

function getVersion(db: Connection, user: string, host: string): { version: number; oldest: number } {
  const row = db.get<{ version: number; oldest: number }>(
    'SELECT version, oldest FROM roster_versions WHERE host = ? AND user = ?',
    host,
    user,
  )
  return row ?? { version: 0, oldest: 0 }
}

/**
 * Versions start at the time of the first change: an account that was removed and made again never gives out a version that
 * a client remembers from before.
 */
function nextVersion(db: Connection, user: string, host: string): number {
  const start = Date.now()
  const row = db.get<{ version: number }>(
    `INSERT INTO roster_versions (user, host, version, oldest) VALUES (@user, @host, @start, @start)
       ON CONFLICT DO UPDATE SET version = version + 1 RETURNING version`,
    { user, host, start },
  )
  return row?.version ?? start
}

/** Remembers that a contact went at this version (undefined: it is there), and forgets the oldest such notes. */
function noteRemoval(
  db: Connection,
  user: string,
  host: string,
  jid: string,
  version: number | undefined,
): void {
  db.run('DELETE FROM roster_removed WHERE host = ? AND user = ? AND jid = ?', host, user, jid)
  if (version === undefined) return
  db.run(
    'INSERT INTO roster_removed (user, host, jid, version) VALUES (?, ?, ?, ?)',
    user,
    host,
    jid,
    version,
  )
  const forgotten = db.get<{ version: number }>(
    `SELECT version FROM roster_removed WHERE host = ? AND user = ? ORDER BY version DESC LIMIT 1 OFFSET ?`,
    host,
    user,
    maxRemoved,
  )
  if (forgotten === undefined) return
  db.run(
    'DELETE FROM roster_removed WHERE host = ? AND user = ? AND version <= ?',
    host,
    user,
    forgotten.version,
  )
  db.run('UPDATE roster_versions SET oldest = ? WHERE host = ? AND user = ?', forgotten.version, host, user)
}

function itemOf(row: ItemRow): RosterItem {
  return {
    jid: row.jid,
    name: row.name,
    subscription: row.subscription,
    pendingOut: row.pending_out === 1,
    pendingIn: row.pending_in ?? undefined,
    approved: row.approved === 1,
    groups: JSON.parse(row.groups) as string[],
    listed: row.listed === 1,
  }
}

/** What of an item shows in the roster. */
function shown(item: RosterItem | undefined): Partial<RosterItem> | undefined {
  if (item === undefined || !item.listed) return undefined
  const { name, subscription, pendingOut, approved, groups } = item
  return { name, subscription, pendingOut, approved, groups }
}
