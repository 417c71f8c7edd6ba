/** The life of gatehouse-extauth under a server: how it starts, what it says when it cannot know, how it ends. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../harness/deadline.ts'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs, root } from '../harness/paths.ts'
import { exited, run } from '../harness/process.ts'

let folder: Folder
const started: ExtauthProgram[] = []

beforeEach(() => {
  folder = temporaryFolder('pipe')
})

afterEach(() => {
  for (const program of started.splice(0)) program.child.kill('SIGKILL')
  folder.remove()
})

function start(...args: string[]): ExtauthProgram {
  const program = startExtauth(args)
  started.push(program)
  return program
}

/** Passwords are kept plain here, as hashes take time; `more` are further lines of the configuration. */
function config(more = ''): string {
  const file = folder.file('extauth.yml')
  writeFileSync(file, `backends: {main: {type: sqlite, file: a.sqlite, password_format: plain}}\n${more}`)
  return file
}

const exists = (user: string) => {
  const db = new Sqlite(folder.file('a.sqlite'), { readonly: true })
  const found = db.prepare('SELECT 1 FROM accounts WHERE user = ?').get(user) !== undefined
  db.close()
  return found
}

describe('a start with trouble', () => {
  test.each([
    ['no folder', ['--sqlite', '/nonexistent/folder/a.sqlite'], /no such file or directory/],
    ['no configuration', ['--config', '/nonexistent/extauth.yml'], /there is no such file/],
    ['no flags', [], /nothing says where the accounts are/],
    ['a flag that does not exist', ['--sqlitte', 'x'], /unknown option '--sqlitte'/],
    ['a directory server without a base', ['--ldap', 'ldap://127.0.0.1'], /--ldap-base/],
    ['a directory server that is no URL', ['--ldap', 'http://x', '--ldap-base', 'o=x'], /--ldap: /],
  ])('%s: it stays, denies, and says why', async (_, args, reason) => {
    const program = start(...args)
    expect(await program.ask('auth:ann:a.example:secret')).toBe('no')
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    expect(program.log()).toMatch(reason)
    expect(await program.close()).toBe(/flag/.test(_) ? 2 : 0)
  })

  test('a flag that does not exist beside the kind of server: it is answered in its own way', async () => {
    const program = start('--sqlitte', 'x', '--host-kind', 'gatehouse')
    expect(await program.ask('auth:ann:a.example:secret')).toBe('0002')
    const lines = await run(programs.extauth, ['--sqlitte', 'x', '--host-kind', 'prosody-line'], {
      input: 'auth:ann:a.example:secret\n',
    })
    expect(lines).toMatchObject({ code: 2, stdout: '0\n' })
  })

  test('a configuration with mistakes is complained about whole, with places, and used once it is right', async () => {
    const file = config('throttel: 5\nhosts: {a.example: {chain: [mian]}}\n')
    const program = start('--config', file, '--failure-reply', 'error-frame')
    expect(await program.ask('isuser:ann:a.example')).toBe('0002')
    expect(program.log()).toMatch(/extauth\.yml:2:1: throttel: .*throttle/)
    config('hosts: {a.example: {chain: [mian]}}\n')
    await until('the other complaint', () =>
      /extauth\.yml:2:\d+: .*'mian' is not in backends/.test(program.log()),
    )
    config()
    await until('an answer', async () => (await program.ask('isuser:ann:a.example')) === 'no', 20_000)
    expect(await program.close()).toBe(0)
  })

  test('a configuration that is repaired says what failures are answered with, too', async () => {
    const broken = 'backend: {}\n'
    writeFileSync(folder.file('extauth.yml'), broken)
    const program = start('--config', folder.file('extauth.yml'))
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    writeFileSync(
      folder.file('extauth.yml'),
      'failure_reply: error-frame\nbackends: {main: {type: sqlite, file: /nonexistent/a.sqlite}}\n',
    )
    program.child.kill('SIGHUP')
    await until('an error frame', async () => (await program.ask('isuser:ann:a.example')) === '0002')
  })

  test.each(['ejabberd-old', 'mongooseim'])(
    'an error frame that is asked for where the configuration says %s is never sent',
    async (kind) => {
      const program = start('--config', config(`host_kind: ${kind}\n`), '--failure-reply', 'error-frame')
      expect(await program.ask('isuser:ann:a.example')).toBe('no')
      expect(program.log()).toMatch(/stops asking for ever after an error-frame/)
    },
  )

  test('a folder that comes later is used then', async () => {
    const file = folder.file('later/a.sqlite')
    const program = start('--sqlite', file, '--failure-reply', 'error-frame')
    expect(await program.ask('isuser:ann:a.example')).toBe('0002')
    mkdirSync(folder.file('later'))
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
  })

  test('a terminal is no server', async () => {
    const python = `import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))`
    const { code, stdout } = await run('python3', [
      '-c',
      python,
      programs.extauth,
      '--sqlite',
      folder.file('a.sqlite'),
    ])
    expect(code).toBe(2)
    expect(stdout).toMatch(/standard input is a terminal/)
    expect(stdout).toMatch(/Usage: gatehouse-extauth/)
  })
})

describe('a database that may only be read', () => {
  const setpriv = findProgram('setpriv')
  const isRoot = process.getuid?.() === 0

  /** As somebody who may not write it, in a folder that he may not write either. */
  function startAsReader(file: string, journal: 'DELETE' | 'WAL'): ExtauthProgram {
    const db = new Sqlite(file)
    db.pragma(`journal_mode = ${journal}`)
    db.close()
    chmodSync(file, 0o444)
    chmodSync(folder.path, 0o555)
    const args = ['--sqlite', file, '--failure-reply', 'error-frame']
    const program = isRoot
      ? startExtauth(['--reuid=65534', '--regid=65534', '--clear-groups', programs.extauth, ...args], setpriv)
      : startExtauth(args)
    started.push(program)
    return program
  }

  async function withAnn(): Promise<string> {
    const file = folder.file('a.sqlite')
    const owner = start('--config', config())
    expect(await owner.ask('tryregister:ann:a.example:secret')).toBe('yes')
    expect(await owner.close()).toBe(0)
    return file
  }

  afterEach(() => chmodSync(folder.path, 0o700))

  test.skipIf(isRoot && setpriv === undefined)(
    'answers questions, and what would change it is an outage',
    async () => {
      const reader = startAsReader(await withAnn(), 'DELETE')
      expect(await reader.ask('auth:ann:a.example:secret')).toBe('yes')
      expect(await reader.ask('auth:ann:a.example:wrong')).toBe('no')
      expect(await reader.ask('isuser:bob:a.example')).toBe('no')
      for (const change of [
        'setpass:ann:a.example:other',
        'tryregister:bob:a.example:x',
        'removeuser:ann:a.example',
      ])
        expect(await reader.ask(change)).toBe('0002')
      expect(await reader.ask('auth:ann:a.example:secret')).toBe('yes')
      expect(reader.log()).toMatch(/it can be read but not written/)
    },
  )

  test.skipIf(isRoot && setpriv === undefined)('with a log that cannot be made says what to do', async () => {
    const reader = startAsReader(await withAnn(), 'WAL')
    expect(await reader.ask('auth:ann:a.example:secret')).toBe('0002')
    expect(reader.log()).toMatch(/journal_mode WAL.*only while its owner has it open/)
  })
})

describe('what could not be found out', () => {
  test.each([
    [[], 'no'],
    [['--failure-reply', 'error-frame'], '0002'],
    [['--host-kind', 'gatehouse'], '0002'],
    [['--host-kind', 'gatehouse', '--failure-reply', 'deny'], 'no'],
    [['--host-kind', 'mongooseim'], 'no'],
  ] as const)('is answered with %j as %s, and logged as an outage', async (args, answer) => {
    writeFileSync(folder.file('a.sqlite'), 'no database at all, but a text. '.repeat(300))
    const program = start('--sqlite', folder.file('a.sqlite'), ...args)
    for (const request of ['auth:ann:a.example:x', 'isuser:ann:a.example', 'tryregister:ann:a.example:x']) {
      expect(await program.ask(request)).toBe(answer)
    }
    expect(program.log()).toMatch(/"level":"warning".*"outcome":"failure".*no SQLite database/)
    expect(program.log()).not.toMatch(/"outcome":"deny"/)
  })

  test('is what a refused password change is answered like, for an ejabberd that would tell it as made', async () => {
    const program = start('--config', config('failure_reply: error-frame\nrefused_setpass: error-frame\n'))
    expect(await program.ask('setpass:ann:a.example:new')).toBe('0002')
    expect(await program.ask('tryregister:ann:a.example:secret')).toBe('yes')
    expect(await program.ask('setpass:ann:a.example:')).toBe('0002')
    expect(await program.ask('setpass:ann:a.example:new')).toBe('yes')
    expect(await program.ask('auth:ann:a.example:secret')).toBe('no')
    expect(await program.ask('tryregister:ann:a.example:other')).toBe('no')
    program.child.kill('SIGKILL')
    const reading = start('--read-only', '--config', folder.file('extauth.yml'))
    expect(await reading.ask('setpass:ann:a.example:other')).toBe('0002')
    expect(await reading.ask('removeuser:ann:a.example')).toBe('no')
    expect(await reading.ask('auth:ann:a.example:new')).toBe('yes')
  })

  test.each(['ejabberd-old', 'mongooseim'])(
    'is never an error frame for %s, which would hang',
    async (kind) => {
      const program = start(
        '--sqlite',
        folder.file('a.sqlite'),
        '--host-kind',
        kind,
        '--failure-reply',
        'error-frame',
      )
      expect(await program.ask('isuser:ann:a.example')).toBe('no')
      expect(program.log()).toMatch(/leave the failure reply at deny/)
    },
  )

  test('is found out again when the database is back', async () => {
    const program = start('--config', config(), '--failure-reply', 'error-frame')
    expect(await program.ask('tryregister:ann:a.example:secret')).toBe('yes')
    renameSync(folder.file('a.sqlite'), folder.file('away'))
    expect(await program.ask('setpass:ann:a.example:other')).toBe('0002')
    renameSync(folder.file('away'), folder.file('a.sqlite'))
    await until('an answer', async () => (await program.ask('auth:ann:a.example:secret')) === 'yes')
  })
})

describe('time', () => {
  test('runs from the arrival of a request, and nothing is changed after it', {
    timeout: 30_000,
  }, async () => {
    const program = start('--config', config('deadline: 2500 ms\nfailure_reply: error-frame\n'))
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    const other = new Sqlite(folder.file('a.sqlite'))
    other.exec('BEGIN IMMEDIATE')
    program.write(Buffer.concat(['ann', 'bob'].map((user) => frame(`tryregister:${user}:a.example:x`))))
    expect([await program.answer(), await program.answer()]).toEqual(['0002', '0002'])
    other.exec('COMMIT')
    other.close()
    for (const user of ['ann', 'bob']) expect(await program.ask(`isuser:${user}:a.example`)).toBe('no')
  })
})

describe('the end', () => {
  test('of the input between requests is a good one', async () => {
    const program = start('--config', config())
    expect(await program.close()).toBe(0)
  })

  test('of the input inside a request is not', async () => {
    const program = start('--config', config())
    program.write(Buffer.from([0, 20, 0x61]))
    expect(await program.close()).toBe(1)
    expect(program.log().match(/the input ended inside a request/g)).toHaveLength(1)
  })

  test('of the input: what was asked is answered, what would change something is not carried out', async () => {
    const program = start('--config', config('failure_reply: error-frame\n'))
    expect(await program.ask('tryregister:ann:a.example:secret')).toBe('yes')
    // enough questions that the end is seen before the change is due, however busy the machine is
    const questions = 300
    program.child.stdin?.end(
      Buffer.concat([
        ...Array.from({ length: questions }, () => frame('auth:ann:a.example:secret')),
        frame('removeuser:ann:a.example'),
      ]),
    )
    const { end } = program
    for (let i = 0; i < questions; i++) expect(await program.answer()).toBe('yes')
    expect(await program.answer()).toBe('0002')
    expect(await end).toBe(0)
    expect(exists('ann')).toBe(true)
    expect(program.log()).toMatch(/"op":"removeuser".*"reason":"the input has ended"/)
  })

  test('of the reader of the answers ends it with 1, and nothing is changed any more', async () => {
    const program = start('--config', config())
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    program.child.stdout?.destroy()
    program.write(frame('isuser:ann:a.example'))
    program.write(frame('isuser:ann:a.example'))
    program.write(frame('tryregister:ann:a.example:secret'))
    expect(await program.end).toBe(1)
    expect(exists('ann')).toBe(false)
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('by %s is a good one', async (signal) => {
    const program = start('--config', config())
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    program.child.kill(signal)
    expect(await program.end).toBe(0)
  })

  test('by SIGTERM comes after the running request, before the next one', { timeout: 30_000 }, async () => {
    const program = start('--config', config('failure_reply: error-frame\n'))
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    const other = new Sqlite(folder.file('a.sqlite'))
    other.exec('BEGIN IMMEDIATE')
    const requests = ['isuser:ann:a.example', 'tryregister:ann:a.example:x', 'tryregister:bob:a.example:x']
    program.write(Buffer.concat(requests.map(frame)))
    expect(await program.answer()).toBe('no')
    program.child.kill('SIGTERM')
    await until('the signal to be heard', () => program.log().includes('told to end'))
    other.exec('COMMIT')
    other.close()
    expect(await program.answer()).toBe('yes')
    expect(await program.end).toBe(0)
    expect([exists('ann'), exists('bob')]).toEqual([true, false])
  })
})

describe('signals', () => {
  test('SIGHUP reads the configuration again, and keeps the old one when the new has mistakes', async () => {
    const file = config()
    const program = start('--config', file)
    expect(await program.ask('tryregister:ann:a.example:secret')).toBe('yes')
    config('operations: [isuser]\n')
    program.child.kill('SIGHUP')
    await until(
      'the new configuration',
      async () => (await program.ask('auth:ann:a.example:secret')) === 'no',
    )
    expect(await program.ask('isuser:ann:a.example')).toBe('yes')
    config('operations: [nothing]\n')
    program.child.kill('SIGHUP')
    await until('a complaint', () => /the configuration stays as it was/.test(program.log()))
    expect(await program.ask('isuser:ann:a.example')).toBe('yes')
  })

  test('SIGUSR2 prints statistics; SIGUSR1 opens no debugger', async () => {
    const program = start('--config', config())
    expect(await program.ask('isuser:ann:a.example')).toBe('no')
    program.child.kill('SIGUSR1')
    program.child.kill('SIGUSR2')
    await until('statistics', () => /"isuser deny":1/.test(program.log()))
    expect(program.log()).not.toMatch(/[Dd]ebugger/)
  })
})

describe('around the answers', () => {
  test('nothing else gets into standard output, also without the launcher', async () => {
    const input = Buffer.concat([frame('isuser:ann:a.example'), frame('nonsense')])
    for (const [file, args] of [
      [programs.extauth, []],
      [process.execPath, [`${root}/dist/gatehouse-extauth-main.cjs`]],
    ] as const) {
      const child = spawn(file, [...args, '--config', config(), '--log-level', 'debug'])
      const chunks: Buffer[] = []
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
      child.stdin.end(input)
      expect(await exited(child)).toBe(0)
      expect(Buffer.concat(chunks).toString('hex')).toBe('0002000000020000')
    }
  })

  test('answers may go to a file', async () => {
    const out = folder.file('out')
    const input = frame('isuser:ann:a.example').toString()
    const shell = (command: string) => run('sh', ['-c', `${command} >${out}`], { input })
    for (const command of [
      `${programs.extauth} --config ${config()}`,
      `${process.execPath} ${root}/dist/gatehouse-extauth-main.cjs --config ${config()}`,
    ]) {
      expect((await shell(command)).code).toBe(0)
      expect(readFileSync(out).toString('hex')).toBe('00020000')
    }
  })

  test('the log goes to a file when asked, and holds no password', async () => {
    const log = folder.file('log')
    const program = start('--config', config(), '--log-file', log, '--log-level', 'debug')
    for (const request of [
      'tryregister:ann:a.example:s3cret',
      'auth:ann:a.example:s3cret',
      'auth:ann:a.example:wr0ng',
    ]) {
      await program.ask(request)
    }
    await program.ask('auth:ann')
    await program.ask('what:ann:a.example:s3cret')
    await program.close()
    const text = readFileSync(log, 'utf8')
    expect(text).toMatch(/"op":"auth","user":"ann","host":"a.example","outcome":"deny","reason":"wrong"/)
    expect(text).not.toMatch(/s3cret|wr0ng/)
    expect(program.log()).toBe('')
  })

  test('the configuration says how much is logged, where, and in words; SIGHUP opens the file again', async () => {
    const file = config('log: {level: error, file: own.log, format: plain}\n')
    const program = start('--config', file)
    await program.ask('auth:ann:a.example:s3cret')
    config('log: {level: debug, file: own.log, format: plain}\n')
    renameSync(folder.file('own.log'), folder.file('own.log.1'))
    program.child.kill('SIGHUP')
    await until('the other level', () => existsSync(folder.file('own.log')))
    await program.ask('auth:ann:a.example:s3cret')
    await program.ask('isuser:ann:a.example')
    expect(await program.close()).toBe(0)
    expect(readFileSync(folder.file('own.log.1'), 'utf8')).toBe('')
    const text = readFileSync(folder.file('own.log'), 'utf8')
    expect(text).toMatch(
      /^\d{4}-\S+Z info request id=2 op=auth user=ann host=a\.example outcome=deny reason=unknown /m,
    )
    expect(text).toMatch(/^\S+ debug request id=3 op=isuser /m)
    expect(text).not.toMatch(/s3cret|[{}]/)
    expect(program.log()).toBe('')
  })

  test('words in the log stay one line, whatever is in them; flags count more than the configuration', async () => {
    const program = start(
      '--config',
      config('log: {format: json, level: none}\n'),
      '--log-format',
      'plain',
      '--log-level',
      'info',
    )
    await program.ask(`auth:ann "x" =\u2028\n\u009b:a.example:s3cret`)
    await program.close()
    expect(program.log()).toContain(String.raw` user="ann \"x\" =`)
    expect(
      program
        .log()
        .trim()
        .split(/[\n\u2028]/),
    ).toHaveLength(3)
  })

  test('lines instead of frames, for Prosody', async () => {
    const child = spawn(programs.extauth, ['--host-kind', 'prosody-line', '--config', config()])
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stdin.write(
      'isuser:ann:a.example\r\nauth:ann:a.example:x:y\ntryregister:ann:a.example:x\n\nnonsense\n',
    )
    child.stdin.end(`${'x'.repeat(70_000)}\nisuser:ann:a.example\n`)
    expect(await exited(child)).toBe(0)
    expect(Buffer.concat(chunks).toString()).toBe('0\n0\n0\n0\n0\n0\n0\n')
  })

  test('hosts have their own chains, and others are not served', async () => {
    const file = folder.file('extauth.yml')
    writeFileSync(
      file,
      `backends:
  one: {type: sqlite, file: one.sqlite, password_format: plain}
  two: {type: sqlite, file: two.sqlite, password_format: plain}
hosts:
  a.example: {chain: [one]}
  b.example: {chain: [two, one]}
`,
    )
    const program = start('--config', file)
    expect(await program.ask('tryregister:ann:a.example:x')).toBe('yes')
    expect(await program.ask('tryregister:ann:b.example:y')).toBe('yes')
    expect(await program.ask('tryregister:ann:c.example:y')).toBe('no')
    expect(await program.ask('auth:ann:a.example:x')).toBe('yes')
    expect(await program.ask('auth:ann:b.example:y')).toBe('yes')
    expect(await program.ask('auth:ann:A.EXAMPLE:x')).toBe('yes')
    renameSync(folder.file('two.sqlite'), folder.file('away'))
    expect(await program.ask('auth:ann:a.example:x')).toBe('yes')
    expect(await program.ask('tryregister:bob:b.example:x')).toBe('no')
    await until('the log', () =>
      /"op":"tryregister","user":"bob","host":"b.example","outcome":"failure"/.test(program.log()),
    )
  })

  test("ejabberd's ban_account closes the account, when that is wished", async () => {
    const program = start('--config', config('ban_prefix: true\n'))
    await program.ask('tryregister:ann:a.example:secret')
    const ban = 'setpass:ann:a.example:BANNED_ACCOUNT--20261121T12:00:00--1234567890ABCDEF--sent--spam'
    expect(await program.ask(ban)).toBe('yes')
    expect(await program.ask('auth:ann:a.example:secret')).toBe('no')
    expect(await program.ask('isuser:ann:a.example')).toBe('yes')
    expect(await program.ask('setpass:ann:a.example:secret')).toBe('yes')
    expect(await program.ask('auth:ann:a.example:secret')).toBe('yes')
  })
})
