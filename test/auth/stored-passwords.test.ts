/** Backends that read what somebody else keeps: a table, a file, a Prosody folder. */
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type AuthBackend, BackendUnavailable } from '../../server-core/auth/backend.ts'
import { fileBackend } from '../../server-core/auth/file.ts'
import { prosodyFolderBackend } from '../../server-core/auth/prosody-folder.ts'
import { sqliteTableBackend, sqliteTableOptions } from '../../server-core/auth/sqlite-table.ts'
import { silentLogger } from '../../server-core/log.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
const open: AuthBackend[] = []

beforeEach(() => {
  folder = temporaryFolder('stored')
})

afterEach(async () => {
  for (const backend of open.splice(0)) await backend.close?.()
  folder.remove()
})

function opened<T extends AuthBackend>(backend: T): T {
  open.push(backend)
  return backend
}

const soon = () => AbortSignal.timeout(10_000)
const yes = { ok: true }
const no = (reason: string) => ({ ok: false, reason })
const check = (backend: AuthBackend, user: string, password: string, host = 'example.org') =>
  backend.checkPassword(user, host, Buffer.from(password), soon())

// bcrypt cost 5 and {SSHA} of these words, as in the vectors of the formats
const hashcat = '$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6'
const testing123 = '{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr'

async function users(backend: AuthBackend, host: string): Promise<string[]> {
  const names: string[] = []
  for await (const name of backend.list?.(host) ?? []) names.push(name)
  return names
}

describe('a table of somebody else', () => {
  function table(options: Record<string, unknown> = {}): AuthBackend {
    const file = folder.file('app.sqlite')
    const db = new Sqlite(file)
    db.exec(`CREATE TABLE people (login TEXT PRIMARY KEY, hash TEXT, closed INTEGER DEFAULT 0);
      CREATE TABLE tokens (login TEXT, hash TEXT)`)
    const add = db.prepare('INSERT INTO people (login, hash, closed) VALUES (?, ?, ?)')
    add.run('alice', hashcat, 0)
    add.run('closed', hashcat, 1)
    add.run('odd', 'plain text without a scheme', 0)
    add.run('empty', null, 0)
    db.prepare('INSERT INTO tokens VALUES (?, ?)').run('alice', testing123)
    db.close()
    const queries = {
      password: `SELECT hash AS password, closed AS disabled FROM people WHERE login = @user AND @host = 'example.org'
        UNION ALL SELECT hash, 0 FROM tokens WHERE login = @user`,
      list: 'SELECT login AS user FROM people',
      ...(options['queries'] as object),
    }
    return opened(
      sqliteTableBackend(
        z.strictObject(sqliteTableOptions).parse({ file, ...options, queries }),
        silentLogger(),
      ),
    )
  }

  test('is asked with bound parameters, and any row opens the account', async () => {
    const backend = table()
    expect(await check(backend, 'alice', 'hashcat')).toEqual(yes)
    expect(await check(backend, 'alice', 'testing123')).toEqual(yes)
    expect(await check(backend, 'alice', 'wrong')).toEqual(no('wrong'))
    expect(await check(backend, 'alice', '')).toEqual({ ...no('wrong'), maybeUnknown: true })
    expect(await check(backend, 'closed', 'hashcat')).toEqual(no('disabled'))
    expect(await check(backend, 'closed', 'wrong')).toEqual(no('wrong'))
    expect(await check(backend, "' OR 1=1 --", 'hashcat')).toEqual(no('unknown'))
    expect(await check(backend, 'odd', 'plain text without a scheme')).toEqual(no('wrong'))
    expect(await check(backend, 'empty', 'x')).toEqual(no('wrong'))
    expect(await backend.accountExists('empty', 'example.org', soon())).toBe(true)
    expect(await backend.accountExists('nobody', 'example.org', soon())).toBe(false)
    expect(await users(backend, 'example.org')).toEqual(['alice', 'closed', 'empty', 'odd'])
  })

  test('is changed only by queries for that', async () => {
    expect(table()).not.toHaveProperty('setPassword')
    folder.remove()
    await mkdir(folder.path)
    const backend = table({
      queries: {
        set_password: 'UPDATE people SET hash = @password WHERE login = @user',
        register: 'INSERT INTO people (login, hash) VALUES (@user, @password)',
        remove: 'DELETE FROM people WHERE login = @user',
      },
    })
    const password = Buffer.from('new one')
    expect(await backend.register?.('bob', 'example.org', password, soon())).toEqual(yes)
    expect(await backend.register?.('bob', 'example.org', password, soon())).toEqual(no('exists'))
    expect(await check(backend, 'bob', 'new one')).toEqual(yes)
    expect(await backend.setPassword?.('nobody', 'example.org', password, soon())).toEqual(no('unknown'))
    expect(await backend.remove?.('bob', 'example.org', soon())).toEqual(yes)
    expect(await check(backend, 'bob', 'new one')).toEqual(no('unknown'))
  })

  test('that is not there, or whose query is wrong, gives no answer', async () => {
    const backend = table({ queries: { password: 'SELECT nothing FROM nowhere' } })
    await expect(check(backend, 'alice', 'hashcat')).rejects.toThrow(BackendUnavailable)
    const options = z.strictObject(sqliteTableOptions).parse({
      file: folder.file('missing.sqlite'),
      queries: { password: 'SELECT 1 AS password' },
    })
    const missing = opened(sqliteTableBackend(options, silentLogger()))
    await expect(check(missing, 'alice', 'hashcat')).rejects.toThrow(BackendUnavailable)
  })
})

describe('a table whose passwords are several columns', () => {
  // RFC 5802 §5 and RFC 7677 §3: the password is "pencil".
  const salt = 'QSXCR+Q6sek8bf92'
  const [stored, server] = ['6dlGYMOdZcOPutkcNY8U2g7vK9Y=', 'D+CSWLOshSulAsxiupA+qs2/fTE=']
  const salt256 = 'W22ZaJ0SNY7soEsUEjb6gQ=='
  const [stored256, server256] = [
    'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=',
    'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  ]
  // Each is what the program's own schema makes, with the password of every account but the last one "pencil".
  const tables: Readonly<Record<string, { sql: string; query: string }>> = {
    ejabberd: {
      sql: `CREATE TABLE users (username text NOT NULL, type smallint NOT NULL DEFAULT 0, password text NOT NULL,
          serverkey text NOT NULL DEFAULT '', salt text NOT NULL DEFAULT '', iterationcount integer NOT NULL DEFAULT 0);
        INSERT INTO users VALUES ('plain', 0, 'pencil', '', '', 0), ('sha1', 0, '${stored}', '${server}', '${salt}', 4096),
          ('sha256', 0, 'sha256:${stored256}', '${server256}', '${salt256}', 4096),
          ('newer', 3, '${stored256}', '${server256}', '${salt256}', 4096), ('newer', 2, '${stored}', '${server}', '${salt}', 4096),
          ('clear', 1, 'pencil', '', '', 0), ('unusable', 3, 'x', 'y', 'z', 4096)`,
      query: 'SELECT * FROM users WHERE username = @user',
    },
    mongooseim: {
      sql: `CREATE TABLE users (username varchar(250), server varchar(250), password text NOT NULL, pass_details text);
        INSERT INTO users VALUES ('plain', 'example.org', 'pencil', NULL),
          ('sha1', 'example.org', '', '==SCRAM==,${stored},${server},${salt},4096'),
          ('several', 'example.org', '', '==MULTI_SCRAM==,4096,===SHA1===${salt}|${stored}|${server},==SHA256==${salt256}|${stored256}|${server256}'),
          ('unusable', 'example.org', '', '==SCRAM==,x')`,
      query: 'SELECT password, pass_details FROM users WHERE username = @user AND server = @host',
    },
    openfire: {
      sql: `CREATE TABLE ofUser (username VARCHAR(64), storedKey VARCHAR(64), serverKey VARCHAR(64), salt VARCHAR(64), iterations INTEGER,
          plainPassword VARCHAR(32), encryptedPassword VARCHAR(255));
        INSERT INTO ofUser VALUES ('plain', NULL, NULL, NULL, NULL, 'pencil', NULL),
          ('sha1', '${stored}', '${server}', '${salt}', 4096, NULL, NULL),
          ('unusable', NULL, NULL, NULL, NULL, NULL, 'abcdef')`,
      query: 'SELECT * FROM ofUser WHERE username = @user',
    },
    prosody: {
      sql: `CREATE TABLE prosody (host TEXT, user TEXT, store TEXT, key TEXT, type TEXT, value TEXT);
        INSERT INTO prosody VALUES ('example.org', 'sha1', 'accounts', 'stored_key', 'string', 'f18c311cdbcd650b1d032589992ff74819cdf73f'),
          ('example.org', 'sha1', 'accounts', 'server_key', 'string', '1c2ab00bed0d550f1c05979b5a5fd1631cd1d22b'),
          ('example.org', 'sha1', 'accounts', 'salt', 'string', '6d74c7a2-bc56-4190-9e4f-da25b901c367'),
          ('example.org', 'sha1', 'accounts', 'iteration_count', 'number', '10000'),
          ('example.org', 'unusable', 'accounts', 'stored_key', 'string', 'xx'),
          ('example.org', 'unusable', 'accounts', 'server_key', 'string', 'xx'),
          ('example.org', 'unusable', 'accounts', 'salt', 'string', 'xx'),
          ('example.org', 'unusable', 'accounts', 'iteration_count', 'number', '10000')`,
      query: `SELECT max(value) FILTER (WHERE key = 'stored_key') AS stored_key, max(value) FILTER (WHERE key = 'server_key') AS server_key,
          max(value) FILTER (WHERE key = 'salt') AS salt, max(value) FILTER (WHERE key = 'iteration_count') AS iteration_count
        FROM prosody WHERE store = 'accounts' AND host = @host AND user = @user GROUP BY user`,
    },
  }

  function table(columns: string, query?: string): AuthBackend {
    const file = folder.file(`${columns}.sqlite`)
    const db = new Sqlite(file)
    db.exec(tables[columns]?.sql ?? '')
    db.close()
    const queries = { password: query ?? tables[columns]?.query }
    const options = z.strictObject(sqliteTableOptions).parse({ file, columns, queries })
    return opened(sqliteTableBackend(options, silentLogger()))
  }

  test.each([
    ['ejabberd', ['plain', 'sha1', 'sha256', 'newer', 'clear']],
    ['mongooseim', ['plain', 'sha1', 'several']],
    ['openfire', ['plain', 'sha1']],
    ['prosody', ['sha1']],
  ])('as in %s', async (columns, users) => {
    const backend = table(columns)
    for (const user of users) {
      expect([user, await check(backend, user, 'pencil')]).toEqual([user, yes])
      expect([user, await check(backend, user, 'Pencil')]).toEqual([user, no('wrong')])
    }
    expect(await check(backend, 'unusable', 'pencil')).toEqual(no('wrong'))
    expect(await check(backend, 'nobody', 'pencil')).toEqual(no('unknown'))
  })

  test('and whose query leaves some out gives no answer', async () => {
    const backend = table('ejabberd', 'SELECT password FROM users WHERE username = @user')
    const answer = check(backend, 'sha1', 'pencil')
    await expect(answer).rejects.toThrow(/no columns of ejabberd: serverkey, salt, iterationcount/)
  })
})

describe('a file of lines', () => {
  test('as Apache and Dovecot write them', async () => {
    const file = folder.file('htpasswd')
    await writeFile(
      file,
      `# people\nalice:${hashcat}\nBob:${testing123}:1000:1000::/home/bob\ncarol@example.net:${testing123}\n` +
        `closed:!${hashcat}\nodd:secret\nno user:x\n`,
    )
    const backend = opened(fileBackend({ file }, silentLogger()))
    expect(await check(backend, 'alice', 'hashcat')).toEqual(yes)
    expect(await check(backend, 'bob', 'testing123')).toEqual(yes)
    expect(await check(backend, 'carol', 'testing123', 'example.net')).toEqual(yes)
    expect(await check(backend, 'carol', 'testing123')).toEqual(no('unknown'))
    expect(await check(backend, 'closed', 'hashcat')).toEqual(no('disabled'))
    expect(await check(backend, 'odd', 'secret')).toEqual(no('wrong'))
    expect(await users(backend, 'example.net')).toEqual(['alice', 'bob', 'carol', 'closed', 'odd'])
  })

  test('is read again when it has changed, and is no "no" when it is gone', async () => {
    const file = folder.file('htpasswd')
    await writeFile(file, `alice:${hashcat}\n`)
    const backend = opened(fileBackend({ file }, silentLogger()))
    expect(await check(backend, 'bob', 'testing123')).toEqual(no('unknown'))
    await writeFile(folder.file('new'), `alice:${hashcat}\nbob:${testing123}\n`)
    await rename(folder.file('new'), file)
    await expect.poll(() => check(backend, 'bob', 'testing123'), { timeout: 5_000 }).toEqual(yes)
    await rm(file)
    await expect
      .poll(() => check(backend, 'bob', 'testing123').catch((error: unknown) => error), { timeout: 5_000 })
      .toBeInstanceOf(BackendUnavailable)
  })
})

describe("a Prosody server's data folder", () => {
  test('has an account in each file', async () => {
    const accounts = join(folder.path, 'example%2eorg', 'accounts')
    await mkdir(accounts, { recursive: true })
    await writeFile(
      join(accounts, 'alice.dat'),
      `return {
	["iteration_count"] = 10000;
	["server_key"] = "1c2ab00bed0d550f1c05979b5a5fd1631cd1d22b";
	["salt"] = "6d74c7a2-bc56-4190-9e4f-da25b901c367";
	["stored_key"] = "f18c311cdbcd650b1d032589992ff74819cdf73f";
};
`,
    )
    await writeFile(
      join(accounts, 'b%2eo%2eb.dat'),
      'return { ["password"] = "plain"; ["disabled"] = true; };',
    )
    await writeFile(join(accounts, 'broken.dat'), 'return { ["password"] = ')
    const backend = opened(prosodyFolderBackend({ folder: folder.path }, silentLogger()))
    expect(await check(backend, 'alice', 'pencil')).toEqual(yes)
    expect(await check(backend, 'alice', 'wrong')).toEqual(no('wrong'))
    expect(await check(backend, 'b.o.b', 'plain')).toEqual(no('disabled'))
    expect(await check(backend, 'nobody', 'x')).toEqual(no('unknown'))
    expect(await check(backend, 'alice', 'pencil', 'example.net')).toEqual(no('unknown'))
    expect(await check(backend, '../accounts/alice', 'pencil')).toEqual(no('unknown'))
    await expect(check(backend, 'broken', 'x')).rejects.toThrow(BackendUnavailable)
    expect(await users(backend, 'example.org')).toEqual(['alice', 'b.o.b', 'broken'])
  })

  test('that is not there gives no answer', async () => {
    const backend = opened(prosodyFolderBackend({ folder: folder.file('missing') }, silentLogger()))
    await expect(check(backend, 'alice', 'x')).rejects.toThrow(BackendUnavailable)
    await chmod(folder.path, 0o700)
  })
})
