/** What doctor says to configurations with mistakes: cases in fixtures/doctor. */
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { judgeAppArmor } from '../../auth-script/doctor/apparmor.ts'
import { obstacle } from '../../auth-script/doctor/person.ts'
import { shellWords } from '../../auth-script/doctor/program-line.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs, root } from '../harness/paths.ts'
import { extauth } from './in-place.ts'

interface Case {
  readonly name: string
  readonly yaml: readonly string[]
  readonly files?: Readonly<Record<string, string>>
  readonly flags?: readonly string[]
  /** Only root can make the situation. */
  readonly root?: boolean
  readonly status: number
  readonly says: readonly string[]
  readonly never?: readonly string[]
}

const fixtures = `${root}/fixtures/doctor`
const cases = JSON.parse(readFileSync(`${fixtures}/ejabberd.json`, 'utf8')) as readonly Case[]
const isRoot = process.getuid?.() === 0

let folder: Folder

beforeEach(() => {
  folder = temporaryFolder('doctor')
})

afterEach(() => folder.remove())

const filled = (text: string) =>
  text.replaceAll('@PROGRAM@', programs.extauth).replaceAll('@FOLDER@', folder.path)

function put(name: string, text: string): string {
  mkdirSync(dirname(folder.file(name)), { recursive: true })
  writeFileSync(folder.file(name), filled(text))
  return folder.file(name)
}

const me = () => String(process.getuid?.() ?? 0)

test('paths that are meant from here are looked at, and pasted as absolute ones; so is all that was said', async () => {
  const file = put('ejabberd.yml', 'hosts: [lab.test]\n')
  put('secret/pw', 'x\n')
  const from = process.cwd()
  process.chdir(folder.path)
  try {
    const filter = String.raw`(&(cn=O'B*)(sn=a\2a"b))`
    const ldap = [
      '--ldap',
      'ldap://127.0.0.1:1',
      '--ldap-base',
      'dc=example,dc=org',
      '--ldap-rootdn',
      'cn=our own,o=x',
    ]
    const more = ['--ldap-password-file', 'secret/pw', '--ldap-filter', filter, '--ldap-encrypt', 'none']
    const said = await extauth(['doctor', '--ejabberd', file, '--user', me(), ...ldap, ...more])
    expect(said.stdout).toMatch(/ok +\S+ may use \/.*secret\/pw/)
    const line = /^extauth_program: (".*")$/m.exec(said.stdout)?.[1] ?? ''
    // Double quotes of YAML are those of JSON for what can be in it.
    const words = shellWords(JSON.parse(line) as string)?.slice(1)
    expect(words).toEqual([
      ...ldap,
      ...[
        '--ldap-password-file',
        folder.file('secret/pw'),
        '--ldap-filter',
        filter,
        '--ldap-encrypt',
        'none',
      ],
      ...['--failure-reply', 'error-frame'],
    ])
  } finally {
    process.chdir(from)
  }
})

describe('ejabberd.yml', () => {
  test.each(cases.filter((one) => isRoot || !one.root))(
    '$name',
    async ({ yaml, files, flags, status, says, never }) => {
      for (const [name, content] of Object.entries(files ?? {})) put(name, content)
      const file = put('ejabberd.yml', `${yaml.join('\n')}\n`)
      const said = await extauth(['doctor', '--ejabberd', file, '--user', me(), ...(flags ?? [])])
      expect(said.stderr).toBe('')
      for (const wanted of says) expect(said.stdout).toMatch(new RegExp(filled(wanted)))
      for (const unwanted of never ?? []) expect(said.stdout).not.toMatch(new RegExp(unwanted))
      expect(said.status, said.stdout).toBe(status)
    },
  )
})

describe('other servers', () => {
  test('mongooseim.toml: the program, the host that has another method, and the frame that hangs it', async () => {
    const file = put('mongooseim.toml', readFileSync(`${fixtures}/mongooseim.toml`, 'utf8'))
    const { status, stdout } = await extauth(['doctor', '--mongooseim', file, '--user', me()])
    expect(stdout).toMatch(/asks the program for lab\.test \(mongooseim\.toml:10\)/)
    expect(stdout).toMatch(/WRONG .*never asked for other\.test: mongooseim\.toml:19 says \[rdbms\]/)
    expect(stdout).toMatch(/WRONG .*MongooseIM stops asking for ever after an error frame/)
    expect(stdout).toMatch(/warning .*a pool has one process/)
    expect(stdout).toMatch(/\[auth\.external\]\n {2}program = ".*--host-kind mongooseim"\n {2}instances = \d/)
    expect(status).toBe(1)
  })

  test('gatehouse.yml: its own mistakes, and the kind of server', async () => {
    const file = put(
      'gatehouse.yml',
      'hosts: [lab.test]\nauth_method: external\nextauth_program: "@PROGRAM@ --sqlite @FOLDER@/a.sqlite"\n',
    )
    const right = await extauth(['doctor', '--server', file, '--user', me()])
    expect(right.stdout).toMatch(/warning .*wrong password\n +→ add --host-kind gatehouse/)
    expect(right.status).toBe(0)
    put(
      'gatehouse.yml',
      'hosts: [lab.test]\nauth_method: external\nextauth_timeout: 5\n' +
        'extauth_program: "@PROGRAM@ --host-kind gatehouse --sqlite @FOLDER@/a.sqlite"\n',
    )
    const late = await extauth(['doctor', '--server', file, '--user', me()])
    expect(late.stdout).toMatch(
      /warning .*gatehouse waits 5 s for an answer about lab\.test \(extauth_timeout in gatehouse\.yml\), and one may take 7 s\n +→ deadline: 4\.2 /,
    )
    put('gatehouse.yml', 'hosts: [lab.test]\nauth_metod: external\n')
    const wrong = await extauth(['doctor', '--server', file, '--user', me()])
    expect(wrong.stdout).toMatch(/gatehouse\.yml:2:1: auth_metod: unknown option, did you mean 'auth_method'/)
    expect(wrong.status).toBe(1)
  })

  test('no server, two servers, a file that is not there', async () => {
    const none = await extauth(['doctor', '--ejabberd', folder.file('none.yml')])
    expect(none).toMatchObject({ status: 2, stdout: '' })
    expect(none.stderr).toMatch(/none\.yml cannot be read/)
    const two = await extauth(['doctor', '--ejabberd', 'x', '--server', 'y'])
    expect(two.stderr).toMatch(/exclude each other/)
    expect(two.status).toBe(2)
  })
})

describe('the accounts', () => {
  const ejabberd = (flags: string) =>
    put('ejabberd.yml', `hosts: [a.test]\nauth_method: external\nextauth_program: "@PROGRAM@ ${flags}"\n`)

  test('names in a table of others that no server asks for', async () => {
    const db = new Sqlite(folder.file('t.sqlite'))
    db.exec(
      "CREATE TABLE u (name TEXT, pw TEXT); INSERT INTO u VALUES ('Alice', 'x'), ('bob', 'x'), ('a b', 'x')",
    )
    db.close()
    put(
      'extauth.yml',
      `backends: {t: {type: sqlite-table, file: t.sqlite, scheme: "{PLAIN}", queries: {
        password: SELECT pw AS password FROM u WHERE name = @user, list: SELECT name AS user FROM u}}}\n`,
    )
    const file = ejabberd('--config @FOLDER@/extauth.yml')
    const { stdout } = await extauth(['doctor', '--ejabberd', file, '--user', me()])
    expect(stdout).toMatch(/'Alice' \(asked for as 'alice'\)/)
    expect(stdout).toMatch(/'a b' \(no name of XMPP\)/)
    expect(stdout).not.toMatch(/'bob'/)
  })

  test('a database that everybody may read', async () => {
    await extauth(['account', 'add', 'ann@a.test', '--sqlite', folder.file('a.sqlite')], 'secret\n')
    chmodSync(folder.file('a.sqlite'), 0o644)
    const file = ejabberd('--sqlite @FOLDER@/a.sqlite')
    const { stdout } = await extauth(['doctor', '--ejabberd', file, '--user', me()])
    expect(stdout).toMatch(/a\.sqlite: 1 account at a\.test/)
    expect(stdout).toMatch(/warning .*every user of this machine may read/)
    expect(stdout).toMatch(/sqlite: 1 name at a\.test, all as servers ask for them/)
  })

  test.runIf(isRoot)('files that root has made are closed to the server', async () => {
    await extauth(['account', 'add', 'ann@a.test', '--sqlite', folder.file('a.sqlite')], 'secret\n')
    chmodSync(folder.path, 0o777)
    const file = ejabberd('--sqlite @FOLDER@/a.sqlite')
    const { status, stdout } = await extauth(['doctor', '--ejabberd', file, '--user', 'nobody'])
    expect(stdout).toMatch(/WRONG .*user nobody may not read .*a\.sqlite\n +→ chown nobody/)
    expect(status).toBe(1)
    chownSync(folder.file('a.sqlite'), 65_534, 65_534)
    writeFileSync(folder.file('a.sqlite-wal'), '', { mode: 0o600 })
    const again = await extauth(['doctor', '--ejabberd', file, '--user', 'nobody'])
    expect(again.stdout).toMatch(/nobody may not write .*a\.sqlite-wal, so the database is closed to it/)
    expect(again.stdout).toMatch(/belongs to user id 65534, so it was not opened/)
  })

  test.runIf(isRoot)("files beside somebody else's database shut its owner out", async () => {
    const db = new Sqlite(folder.file('t.sqlite'))
    db.pragma('journal_mode = WAL')
    db.exec('CREATE TABLE u (name TEXT, pw TEXT)')
    db.close()
    chownSync(folder.file('t.sqlite'), 65_534, 65_534)
    chmodSync(folder.file('t.sqlite'), 0o644)
    put(
      'extauth.yml',
      `backends: {t: {type: sqlite-table, file: t.sqlite, queries: {
        password: SELECT pw AS password FROM u WHERE name = @user}}}\n`,
    )
    const file = ejabberd('--config @FOLDER@/extauth.yml')
    const doctor = async (user: string) =>
      (await extauth(['doctor', '--ejabberd', file, '--user', user])).stdout
    chmodSync(folder.path, 0o777)
    expect(await doctor('daemon')).toMatch(
      /warning .*t\.sqlite is nobody's and in write-ahead mode: .* daemon makes/,
    )
    chmodSync(folder.path, 0o755)
    for (const fine of ['daemon', 'nobody', 'root'])
      expect(await doctor(fine)).not.toMatch(/write-ahead|shut/)
    writeFileSync(folder.file('t.sqlite-shm'), '')
    chownSync(folder.file('t.sqlite-shm'), 0, 0)
    expect(await doctor('root')).toMatch(
      /WRONG +nobody may not write .*t\.sqlite-shm, so the database is closed to it/,
    )
  })
})

test('permissions are those of the mode, folder by folder', () => {
  const file = put('a/b', 'x')
  const [owner, group, other] = [
    { name: 'o', uid: process.getuid?.() ?? 0, gids: [] },
    { name: 'g', uid: 77_777, gids: [process.getgid?.() ?? 0] },
    { name: 'x', uid: 77_777, gids: [] },
  ] as const
  chmodSync(folder.path, 0o755)
  chmodSync(folder.file('a'), 0o750)
  chmodSync(file, 0o640)
  if (!isRoot) expect(obstacle(owner, file, 'execute')).toMatch(/may not execute/)
  expect(obstacle(owner, file, 'read', 'write')).toBeUndefined()
  expect(obstacle(group, file, 'read')).toBeUndefined()
  expect(obstacle(group, file, 'write')).toBe(`user g may not write ${file}`)
  expect(obstacle(other, file, 'read')).toBe(`user x may not go into ${folder.file('a')}`)
  expect(obstacle(other, folder.file('none/b'))).toMatch(/there is no folder/)
})

test.each([
  ['/a/b --x y', ['/a/b', '--x', 'y']],
  [`'/a b/c' --x "two 'words'" th\\ ree`, ['/a b/c', '--x', "two 'words'", 'th ree']],
  ['/a --x="b c"d', ['/a', '--x=b cd']],
  ['  /a   ', ['/a']],
  ['', []],
  ["/a 'b", undefined],
])('the words of %j', (line, words) => {
  expect(shellWords(line)).toEqual(words)
})

test('AppArmor forbids, complains, or has been told', () => {
  const judge = () =>
    judgeAppArmor('/opt/gatehouse-extauth', folder.path).map(({ level, says }) => `${level}: ${says}`)
  expect(judge()).toEqual([])
  put('etc/apparmor.d/usr.sbin.ejabberdctl', '/usr/sbin/ejabberdctl flags=(complain) {\n}\n')
  expect(judge()).toEqual([expect.stringMatching(/^warning: .*only complains now/)])
  put(
    'sys/kernel/security/apparmor/profiles',
    '/usr/sbin/ejabberdctl (enforce)\n/usr/sbin/ejabberdctl//su (enforce)\n',
  )
  expect(judge()).toEqual([expect.stringMatching(/^wrong: .*forbids it to start \/opt\/gatehouse-extauth/)])
  put('etc/apparmor.d/local/usr.sbin.ejabberdctl', '/opt/gatehouse-extauth Ux,\n')
  expect(judge()).toEqual([])
})
