/** `gatehouse-extauth account …`, as an administrator uses it. */
import { statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startExtauth } from '../harness/extauth.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { run } from '../harness/process.ts'
import { startTerminal } from '../harness/tmux.ts'

let folder: Folder

beforeEach(() => {
  folder = temporaryFolder('account')
})

afterEach(() => folder.remove())

const file = () => folder.file('a.sqlite')

function account(args: readonly string[], input = '', source = ['--sqlite', file()]) {
  return run(programs.extauth, ['account', ...args, ...source], { input })
}

async function answers(...requests: string[]): Promise<string[]> {
  const program = startExtauth(['--sqlite', file()])
  const given: string[] = []
  for (const request of requests) given.push(await program.ask(request))
  await program.close()
  return given
}

describe('account', () => {
  test('makes accounts that the server can ask for, and changes them', { timeout: 60_000 }, async () => {
    expect(await account(['add', 'Ann@A.example'], 'secret\nmore\n')).toMatchObject({
      code: 0,
      stdout: 'ann@a.example is added\n',
      stderr: '',
    })
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    expect(await account(['add', 'ann@a.example'], 'other\n')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'gatehouse-extauth: ann@a.example exists already\n',
    })
    expect(await answers('auth:ann:a.example:secret', 'auth:ann:a.example:other')).toEqual(['yes', 'no'])
    expect(await account(['passwd', 'ann@a.example'], 'other')).toMatchObject({ code: 0 })
    expect(await answers('auth:ann:a.example:secret', 'auth:ann:a.example:other')).toEqual(['no', 'yes'])
    expect(await account(['disable', 'ann@a.example'])).toMatchObject({ code: 0 })
    expect(await answers('auth:ann:a.example:other', 'isuser:ann:a.example')).toEqual(['no', 'yes'])
    await account(['add', 'bob@b.example'], 'secret\r\n')
    expect((await account(['list'])).stdout).toBe('ann@a.example\tdisabled\nbob@b.example\n')
    expect((await account(['list', 'B.EXAMPLE'])).stdout).toBe('bob@b.example\n')
    expect(await account(['enable', 'ann@a.example'])).toMatchObject({ code: 0 })
    expect(await answers('auth:ann:a.example:other', 'auth:bob:b.example:secret')).toEqual(['yes', 'yes'])
    expect(await account(['remove', 'ann@a.example'])).toMatchObject({ code: 0 })
    expect(await answers('isuser:ann:a.example')).toEqual(['no'])
  })

  test.each([
    [['passwd', 'ann@a.example'], 1, /there is no account ann@a\.example/],
    [['disable', 'ann@a.example'], 1, /there is no account ann@a\.example/],
    [['remove', 'ann@a.example'], 1, /there is no account ann@a\.example/],
    [['add', 'ann'], 1, /'ann' is not an account: write it as user@host/],
    [['add', 'ann@a.example/home'], 1, /write it as user@host/],
    [['add', 'ann@a.example'], 1, /no password was given/],
    [['add'], 2, /missing required argument/],
    [['dance', 'ann@a.example'], 2, /unknown command/],
    [['list', 'a.example', 'b.example'], 2, /too many arguments/],
  ] as const)('%j: status %d', async (args, code, said) => {
    const result = await account(args)
    expect(result.stderr).toMatch(said)
    expect(result.stdout).toBe('')
    expect(result.code).toBe(code)
  })

  test.skipIf(findProgram('tmux') === undefined)(
    'on a terminal nothing is removed before somebody is sure, unless that was said',
    { timeout: 30_000 },
    async () => {
      for (const user of ['ann', 'bob']) await account(['add', `${user}@a.example`], 'secret\n')
      const remove = [programs.extauth, 'account', 'remove', '--sqlite', file()]
      const asking = await startTerminal([...remove, 'ann@a.example'])
      try {
        await asking.shows('Remove ann@a.example and all that is kept for it?')
        await asking.press('Enter')
        await asking.shows('nothing was removed')
      } finally {
        await asking.stop()
      }
      const sure = await startTerminal([...remove, 'ann@a.example'])
      try {
        await sure.shows('Remove ann@a.example')
        await sure.type('y')
        await sure.press('Enter')
        await sure.shows('ann@a.example is removed')
      } finally {
        await sure.stop()
      }
      const told = await startTerminal([...remove, '--yes', 'bob@a.example'])
      try {
        expect(await told.shows('bob@a.example is removed')).not.toMatch(/Remove/)
      } finally {
        await told.stop()
      }
      expect((await account(['list'])).stdout).toBe('')
    },
  )

  test('passwords of applications: several beside the own, each of which can go', {
    timeout: 60_000,
  }, async () => {
    await account(['add', 'ann@a.example'], 'secret\n')
    const made = await account(['app-password', 'add', 'ann@a.example', 'my phone'])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toMatch(/^([a-z2-9]{5}-){3}[a-z2-9]{5}\n$/)
    const phone = made.stdout.trim()
    expect(
      await account(['app-password', 'add', 'ann@a.example', 'desk', '--ask'], 'for: desk\n'),
    ).toMatchObject({
      code: 0,
      stdout: 'ann@a.example has a password for desk\n',
    })
    const auth = (password: string) => `auth:ann:a.example:${password}`
    expect(await answers(auth('secret'), auth(phone), auth('for: desk'), auth('other'))).toEqual([
      'yes',
      'yes',
      'yes',
      'no',
    ])
    expect((await account(['app-password', 'list', 'ann@a.example'])).stdout).toMatch(
      /^desk\t\d{4}-\d\d-\d\d\nmy phone\t\d{4}-\d\d-\d\d\n$/,
    )
    // The own password changes, those of applications stay; an account can be told apart by them no more than by its own.
    expect(await answers('setpass:ann:a.example:new', auth('secret'), auth(phone))).toEqual([
      'yes',
      'no',
      'yes',
    ])
    expect(await account(['app-password', 'remove', 'ann@a.example', 'my phone'])).toMatchObject({ code: 0 })
    expect(await answers(auth(phone), auth('for: desk'), auth('new'))).toEqual(['no', 'yes', 'yes'])
    expect(await account(['app-password', 'remove', 'ann@a.example', 'my phone'])).toMatchObject({
      code: 1,
      stderr: 'gatehouse-extauth: ann@a.example has no password for my phone\n',
    })
    expect(await account(['app-password', 'add', 'bob@a.example', 'desk'])).toMatchObject({ code: 1 })
    expect(await account(['app-password', 'add', 'ann@a.example', 'a\nb'])).toMatchObject({ code: 1 })
    await account(['disable', 'ann@a.example'])
    expect(await answers(auth('for: desk'))).toEqual(['no'])
  })

  test('says what is wrong with the database', async () => {
    writeFileSync(file(), 'not a database '.repeat(1000))
    const result = await account(['list'])
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toMatch(/it is no SQLite database/)
    const nowhere = await account(['list'], '', ['--sqlite', folder.file('no/where.sqlite')])
    expect(nowhere).toMatchObject({ code: 1, stdout: '' })
    expect(nowhere.stderr).toMatch(/no such file or directory/)
    const nothing = await account(['list'], '', [])
    expect(nothing).toMatchObject({ code: 2, stdout: '' })
    expect(nothing.stderr).toMatch(/nothing says where the accounts are/)
  })

  test('of a gatehouse server: its database, its hosts, its way to keep passwords', {
    timeout: 60_000,
  }, async () => {
    const config = folder.file('gatehouse.yml')
    writeFileSync(config, 'hosts: [a.example]\ndata_dir: .\n')
    const source = ['--gatehouse', config]
    // The server makes its database; whoever else did would own it.
    const early = await account(['add', 'ann@a.example'], 'secret\n', source)
    expect(early).toMatchObject({ code: 1 })
    expect(early.stderr).toMatch(/gatehouse\.sqlite/)
    await account(['list'], '', ['--sqlite', folder.file('gatehouse.sqlite')])
    expect(await account(['add', 'ann@a.example'], 'secret\n', source)).toMatchObject({ code: 0 })
    const elsewhere = await account(['add', 'ann@b.example'], 'secret\n', source)
    expect(elsewhere).toMatchObject({ code: 1 })
    expect(elsewhere.stderr).toMatch(/b\.example is not served: hosts are a\.example/)
    const program = startExtauth(source)
    expect(await program.ask('auth:ann:a.example:secret')).toBe('yes')
    expect(await program.ask('isuser:ann:b.example')).toBe('no')
    expect(await program.ask('setpass:ann:a.example:other')).toBe('yes')
    await program.close()
    const { default: Sqlite } = await import('better-sqlite3')
    const db = new Sqlite(folder.file('gatehouse.sqlite'), { readonly: true })
    expect(db.prepare('SELECT format FROM credentials ORDER BY format').pluck().all()).toEqual([
      'scram-sha-1',
      'scram-sha-256',
    ])
    db.close()
  })

  test('asks for the password on a terminal, twice, anew when these differ, and does not show it', {
    timeout: 60_000,
  }, async () => {
    const talk = `
import os, pty, sys, time, select
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
text, sent, end = b"", 0, time.time() + 40
while time.time() < end:
    if select.select([fd], [], [], 0.1)[0]:
        try: data = os.read(fd, 4096)
        except OSError: break
        if not data: break
        text += data
    if sent == 0 and b"Password for ann@a.example" in text: os.write(fd, b"s3cret\\r"); sent = 1
    if sent == 1 and b"once more" in text: os.write(fd, b"secret\\r"); sent = 2
    if sent == 2 and b"not the same" in text and b"Password for" in text.split(b"not the same")[1]: os.write(fd, b"s3cret\\r"); sent = 3
    if sent == 3 and b"once more" in text.split(b"not the same")[1]: os.write(fd, b"s3cret\\r"); sent = 4
sys.stdout.buffer.write(text)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`
    const args = [programs.extauth, 'account', 'add', 'ann@a.example', '--sqlite', file()]
    const result = await run('python3', ['-c', talk, ...args], { ms: 50_000 })
    expect(result).toMatchObject({ code: 0 })
    expect(result.stdout).toMatch(/ann@a\.example is added/)
    expect(result.stdout).not.toMatch(/s3cret/)
    expect(await answers('auth:ann:a.example:s3cret')).toEqual(['yes'])
  })

  test.runIf(process.getuid?.() === 0)('refuses to run as root on the file of somebody else', async () => {
    await account(['list'])
    const { chownSync } = await import('node:fs')
    chownSync(file(), 12_345, 12_345)
    const result = await account(['list'])
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toMatch(/belongs to user id 12345, run this as that user: sudo -u '#12345'/)
  })
})
