/**
 * The tables, as a list of steps: a file of version n gets the steps after n, all in one transaction. Steps that were
 * released are never changed; a change is a new step at the end.
 */
import { StorageUnavailable } from '../storage.ts'
import type { Connection } from './connection.ts'

/** "GaHo": tells our files from other programs' (PRAGMA application_id). */
const applicationId = 0x4761_486f

/** Every table that keeps something for one account, by columns `user` and `host`, whatever made it. */
export const accountTables = [
  'credentials',
  'accounts',
  'anonymous_users',
  'blocked',
  'last_activity',
  'module_data',
  'offline_messages',
  'offline_totals',
  'private_elements',
  'roster_items',
  'roster_removed',
  'roster_versions',
  'vcards',
] as const

const steps: readonly string[] = [
  `
  CREATE TABLE accounts (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    created INTEGER NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    ban_since INTEGER,
    ban_reason TEXT,
    ban_by TEXT,
    formats TEXT NOT NULL DEFAULT '',  -- of the account's own credentials, in order, with commas
    PRIMARY KEY (host, user)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE credentials (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    label TEXT NOT NULL,
    format TEXT NOT NULL,
    value TEXT NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (host, user, label, format),
    FOREIGN KEY (host, user) REFERENCES accounts (host, user) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;

  -- How many accounts of a host keep their own password in which set of formats, so that nobody has to count.
  CREATE TABLE account_totals (
    host TEXT NOT NULL,
    formats TEXT NOT NULL,
    accounts INTEGER NOT NULL,
    PRIMARY KEY (host, formats)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER accounts_added AFTER INSERT ON accounts BEGIN
    INSERT INTO account_totals VALUES (new.host, new.formats, 1) ON CONFLICT DO UPDATE SET accounts = accounts + 1;
  END;
  CREATE TRIGGER accounts_removed AFTER DELETE ON accounts BEGIN
    UPDATE account_totals SET accounts = accounts - 1 WHERE host = old.host AND formats = old.formats;
  END;
  CREATE TRIGGER accounts_changed AFTER UPDATE OF formats ON accounts BEGIN
    UPDATE account_totals SET accounts = accounts - 1 WHERE host = old.host AND formats = old.formats;
    INSERT INTO account_totals VALUES (new.host, new.formats, 1) ON CONFLICT DO UPDATE SET accounts = accounts + 1;
  END;

  CREATE TABLE roster_items (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    jid TEXT NOT NULL,
    name TEXT NOT NULL,
    subscription TEXT NOT NULL,
    pending_out INTEGER NOT NULL,
    pending_in TEXT,
    approved INTEGER NOT NULL,
    groups TEXT NOT NULL,              -- a JSON array
    listed INTEGER NOT NULL,
    version INTEGER NOT NULL,          -- of the roster when this item last changed
    PRIMARY KEY (host, user, jid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE roster_removed (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    jid TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (host, user, jid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE roster_versions (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    version INTEGER NOT NULL,
    oldest INTEGER NOT NULL,           -- what changed since this version or a later one is known
    PRIMARY KEY (host, user)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE offline_messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    received INTEGER NOT NULL,
    expires INTEGER,
    bytes INTEGER NOT NULL,
    stanza TEXT NOT NULL
  ) STRICT;
  CREATE INDEX offline_messages_account ON offline_messages (host, user, seq);
  CREATE TABLE offline_totals (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (host, user)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER offline_added AFTER INSERT ON offline_messages BEGIN
    INSERT INTO offline_totals VALUES (new.user, new.host, 1, new.bytes)
      ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER offline_removed AFTER DELETE ON offline_messages BEGIN
    UPDATE offline_totals SET messages = messages - 1, bytes = bytes - old.bytes
      WHERE host = old.host AND user = old.user;
  END;
  `,
  `
  CREATE TABLE last_activity (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (host, user)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX last_activity_seconds ON last_activity (host, seconds);

  CREATE TABLE private_elements (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    ns TEXT NOT NULL,
    xml TEXT NOT NULL,
    PRIMARY KEY (host, user, ns)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE vcards (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    xml TEXT NOT NULL,
    PRIMARY KEY (host, user)
  ) STRICT;

  CREATE TABLE blocked (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    jid TEXT NOT NULL,
    PRIMARY KEY (host, user, jid)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE domains (
    host TEXT NOT NULL PRIMARY KEY,
    options TEXT NOT NULL              -- a JSON object
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE anonymous_users (
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (host, user)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE module_data (
    user TEXT NOT NULL,                -- '' for what belongs to the host
    host TEXT NOT NULL,
    module TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (host, user, module, key)
  ) STRICT, WITHOUT ROWID;
  `,
]

export const schemaVersion = steps.length

/**
 * Brings the file to this program's schema. Throws StorageUnavailable for a file that a newer program or another one has
 * made, and, unless `mayBeEmpty`, for one without any tables: a file that was fine must not come back empty.
 */
export function migrate(connection: Connection, file: string, options: { mayBeEmpty: boolean }): void {
  if (check(connection, file, options) === schemaVersion) return
  connection.run('BEGIN IMMEDIATE')
  try {
    // Another process may have done it between the look and the lock.
    for (const step of steps.slice(check(connection, file, options))) connection.script(step)
    connection.script(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion};`)
    connection.run('COMMIT')
  } catch (error) {
    if (connection.inTransaction) connection.run('ROLLBACK')
    throw error
  }
}

/** For a file that may only be read; throws StorageUnavailable. */
export function requireCurrent(connection: Connection, file: string): void {
  const version = check(connection, file, { mayBeEmpty: false })
  if (version === schemaVersion) return
  throw new StorageUnavailable(
    `the database ${file} may only be read, and has the older schema version ${version}: let a program that may write open it once`,
  )
}

function check(connection: Connection, file: string, options: { mayBeEmpty: boolean }): number {
  const version = pragma(connection, 'user_version')
  const application = pragma(connection, 'application_id')
  const tables = connection.all<{ name: string }>(
    `SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 5`,
  )
  if (tables.length === 0 && version === 0) {
    if (options.mayBeEmpty) return 0
    throw new StorageUnavailable(`the database ${file} was replaced by an empty one: put the right file back`)
  }
  if (application !== applicationId) {
    const names = tables.map((table) => table.name).join(', ')
    throw new StorageUnavailable(
      `${file} is the database of another program (it holds ${names}): name another file`,
    )
  }
  if (version > schemaVersion) {
    throw new StorageUnavailable(
      `the database ${file} has schema version ${version} and this program knows versions up to ${schemaVersion}: ` +
        'start the newer gatehouse that made it',
    )
  }
  return version
}

function pragma(connection: Connection, name: 'user_version' | 'application_id'): number {
  return connection.get<Record<string, number>>(`PRAGMA ${name}`)?.[name] ?? 0
}
