/** Where gatehouse-extauth is started under bad circumstances: it says so in a line, answers as configured, and goes on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { before, until } from '../harness/deadline.ts'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { endWithUs, exited, run } from '../harness/process.ts'
import { extauth } from './in-place.ts'

const isRoot = process.getuid?.() === 0

let folder: Folder
const started: ExtauthProgram[] = []

beforeEach(() => {
  folder = temporaryFolder('hostile')
})

afterEach(() => {
  for (const program of started.splice(0)) program.child.kill('SIGKILL')
  folder.remove()
})

/** Through a shell that makes the circumstances: `$0` is the program, `$@` its flags. */
function startIn(circumstances: string, ...flags: string[]): ExtauthProgram {
  const program = startExtauth(['-c', circumstances, programs.extauth, ...flags], '/bin/sh')
  started.push(program)
  return program
}

function plain(more = ''): readonly [string, string] {
  writeFileSync(
    folder.file('extauth.yml'),
    `failure_reply: error-frame\nbackends: {a: {type: sqlite, file: a.sqlite, password_format: plain}}\n${more}`,
  )
  return ['--config', folder.file('extauth.yml')]
}

const addAnn = () => extauth(['account', 'add', 'ann@a.test', ...plain()], 'secret\n')

async function works(program: ExtauthProgram): Promise<void> {
  expect(await program.ask('auth:ann:a.test:secret'), program.log()).toBe('yes')
  expect(await program.ask('auth:ann:a.test:Secret')).toBe('no')
  expect(await program.ask('isuser:bob:a.test')).toBe('no')
}

test.each([
  ['every permission for everybody', 'umask 0; exec "$0" "$@"'],
  ['no environment', 'exec env -i "$0" "$@"'],
  ['an empty PATH', 'PATH=; export PATH; exec "$0" "$@"'],
  ['a PATH of folders that are not there', 'PATH=/none; export PATH; exec "$0" "$@"'],
  ['options for a node that does not know them', 'NODE_OPTIONS=--no-such-option exec "$0" "$@"'],
  ['libraries of the server', 'LD_LIBRARY_PATH="$(dirname "$3")" exec "$0" "$@"'],
  ['no HOME', 'unset HOME; exec "$0" "$@"'],
  ['a HOME that is not there, and a strange language', 'HOME=/none LC_ALL=xx_YY.zz exec "$0" "$@"'],
  ['a working directory that is gone', 'mkdir "$3.d" && cd "$3.d" && rmdir "$3.d"; exec "$0" "$@"'],
  ['no standard error', 'exec "$0" "$@" 2>&-'],
  ['a standard error that is full', 'exec "$0" "$@" 2>/dev/full'],
  ['few descriptors', 'ulimit -n 128; exec "$0" "$@"'],
  ['signals that are ignored', 'trap \'\' PIPE HUP INT TERM; exec "$0" "$@"'],
])('%s', async (_, circumstances) => {
  const program = startIn(circumstances, ...plain(), '--log-level', 'debug')
  expect(await program.ask('tryregister:ann:a.test:secret'), program.log()).toBe('yes')
  await works(program)
  expect(statSync(folder.file('a.sqlite')).mode & 0o777).toBe(0o600)
  expect(await program.close()).toBe(0)
})

test('nobody reads the log any more', async () => {
  const program = startIn('exec "$0" "$@"', ...plain(), '--log-level', 'debug')
  expect(await program.ask('tryregister:ann:a.test:secret')).toBe('yes')
  program.child.stderr?.destroy()
  for (let i = 0; i < 5; i++) await works(program)
  expect(await program.close()).toBe(0)
})

// A socket takes what there is room for of an answer, a pipe all of it or nothing.
test.each([
  ['a socket', 'exec "$0" "$@"'],
  ['a pipe', 'mkfifo "$2.out"; cat "$2.out" & exec "$0" "$@" >"$2.out"'],
])(
  '%s that nobody reads for a while: it stays awake, and all answers come in their order',
  async (_, circumstances) => {
    await addAnn()
    const program = startIn(circumstances, ...plain())
    await works(program)
    program.child.stdout?.pause()
    const asked = Array.from({ length: 100_000 }, (_, n) => (n % 7 === 0 ? 'bob' : 'ann'))
    program.write(Buffer.concat(asked.map((user) => frame(`isuser:${user}:a.test`))))
    await until('it answers a signal, with the pipe full', async () => {
      program.child.kill('SIGUSR2')
      const counts = [...program.log().matchAll(/"isuser allow":(\d+)/g)].map(([, count]) => count)
      return counts.length > 2 && counts.at(-1) === counts.at(-2)
    })
    program.child.stdout?.resume()
    const answers: string[] = []
    while (answers.length < asked.length) answers.push(await program.answer())
    expect(answers.join()).toBe(asked.map((user) => (user === 'ann' ? 'yes' : 'no')).join())
    expect(await program.close()).toBe(0)
  },
)

test.each([
  ['a log file on a full disk', '/dev/full', undefined],
  ['a log file in a folder that is not there', '/none/at/all.log', /the log file cannot be written/],
])('%s', async (_, file, line) => {
  const program = startIn('exec "$0" "$@"', ...plain(), '--log-file', file)
  expect(await program.ask('tryregister:ann:a.test:secret')).toBe('yes')
  await works(program)
  if (line) expect(program.log().match(new RegExp(line, 'g'))).toHaveLength(1)
  expect(await program.close()).toBe(0)
})

test('standard input is closed, or nothing, others with it: it ends as at the end of input', async () => {
  for (const input of ['<&-', '</dev/null', '<&- >&-', '<&- >&- 2>&-']) {
    const { code, stdout } = await run('/bin/sh', [
      '-c',
      `exec "$0" "$@" ${input}`,
      programs.extauth,
      ...plain(),
    ])
    expect([code, stdout]).toEqual([0, ''])
  }
})

describe('no room', () => {
  test('for a file to grow: changes fail, logins go on', async () => {
    await addAnn()
    // Blocks of 512 bytes: the write-ahead log cannot take a page.
    const program = startIn('ulimit -f 128; exec "$0" "$@"', ...plain())
    await works(program)
    const answers = []
    for (let i = 0; i < 10; i++) answers.push(await program.ask(`tryregister:u${i}:a.test:secret`))
    expect(answers).toContain('0002')
    expect(program.log()).toMatch(/"outcome":"failure".*"reason":"the database .*"/)
    // What was answered with yes is there, what was not is not.
    for (const [i, answer] of answers.entries()) {
      expect(await program.ask(`isuser:u${i}:a.test`)).toBe(answer === 'yes' ? 'yes' : 'no')
    }
    await works(program)
    expect(await program.close()).toBe(0)
  })

  test.runIf(isRoot)(
    'on the disk',
    async () => {
      const disk = folder.file('disk')
      mkdirSync(disk)
      const { code } = await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', disk])
      if (code !== 0) return // not in every container
      try {
        const program = startIn(
          'exec "$0" "$@"',
          '--sqlite',
          `${disk}/a.sqlite`,
          '--failure-reply',
          'error-frame',
        )
        expect(await program.ask('tryregister:ann:a.test:secret')).toBe('yes')
        try {
          writeFileSync(`${disk}/filler`, Buffer.alloc(1_000_000))
        } catch {
          // full
        }
        let answer = 'yes'
        for (let i = 0; i < 20 && answer === 'yes'; i++)
          answer = await program.ask(`tryregister:u${i}:a.test:x`)
        expect(answer).toBe('0002')
        expect(program.log()).toMatch(/the disk or the quota is full/)
        await works(program)
        await run('rm', [`${disk}/filler`])
        await until('room', async () => (await program.ask('tryregister:eve:a.test:x')) === 'yes', 20_000)
        expect(await program.close()).toBe(0)
      } finally {
        await run('umount', ['-l', disk])
      }
    },
    60_000,
  )
})

test.runIf(isRoot)('a folder that may only be read, for a user that is not root', async () => {
  await addAnn()
  chownSync(folder.file('a.sqlite'), 65_534, 65_534)
  chmodSync(folder.path, 0o555)
  const program = startIn('exec setpriv --reuid 65534 --clear-groups "$0" "$@"', ...plain())
  expect(await program.ask('auth:ann:a.test:Secret')).toBe('0002')
  expect(await program.ask('tryregister:bob:a.test:secret')).toBe('0002')
  expect(program.log()).toMatch(/"reason":"the database .*(permission|read|folder|write)/)
  chmodSync(folder.path, 0o777)
  await until('the folder', async () => (await program.ask('auth:ann:a.test:secret')) === 'yes', 20_000)
})

test.each([
  ['bytes', Buffer.from([0, 255, 254, 1, 2, 3])],
  ['a text', Buffer.from('Dear program,\n\tplease do what you can.\n')],
  ['a list', Buffer.from('- a\n- b\n')],
  ['too much', Buffer.alloc(5_000_000, 'a: b\n')],
  [
    'aliases that unfold',
    Buffer.from(
      `a: &a [x]\n${'bcdefghij'
        .split('')
        .map((c, i) => `${c}: &${c} [${'*'.concat('abcdefghi'[i] ?? 'a', ', ').repeat(9)}]`)
        .join('\n')}\n`,
    ),
  ],
])('a configuration that is %s: one clear line, and the configured failure', async (_, bytes) => {
  writeFileSync(folder.file('extauth.yml'), bytes)
  const program = startIn(
    'exec "$0" "$@"',
    '--config',
    folder.file('extauth.yml'),
    '--failure-reply',
    'error-frame',
  )
  expect(await program.ask('auth:ann:a.test:secret')).toBe('0002')
  const complaints = program.log().match(/.*cannot answer yet: the configuration has mistakes.*/g) ?? []
  expect(complaints[0]).toMatch(/"reason":"[^"]*extauth\.yml/)
  expect(complaints[0]?.length).toBeLessThan(2000)
  expect(await program.close()).toBe(0)
})

test('no node anywhere: it says so, and does not end at once', async () => {
  mkdirSync(folder.file('bin'))
  mkdirSync(folder.file('deep/in/the/tree'), { recursive: true })
  for (const name of ['readlink', 'dirname', 'sleep']) symlinkSync(`/bin/${name}`, folder.file(`bin/${name}`))
  // The launcher with another PATH at its end, as this machine has a node where services look.
  const launcher = readFileSync(programs.extauth, 'utf8').replaceAll(
    '/usr/local/bin:/usr/bin:/bin',
    folder.file('bin'),
  )
  expect(launcher).toContain(folder.file('bin'))
  writeFileSync(folder.file('deep/in/the/tree/launcher'), launcher, { mode: 0o755 })
  const child = spawn(folder.file('deep/in/the/tree/launcher'), [], { env: { PATH: '' } })
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  const begun = performance.now()
  expect(await before(15_000, 'its end', exited(child))).toBe(1)
  expect(performance.now() - begun).toBeGreaterThan(4000)
  expect(log).toMatch(/^gatehouse-extauth: there is no node in .*\n$/)
})

test.each([
  ['ends', '#!/bin/sh\nexit 1\n'],
  ['is killed', '#!/bin/sh\nkill -9 $$\n'],
  ['cannot be started', '#!/none/such\n'],
  ['is for another machine', '\x7fELF\x02\x01\x01'],
])(
  'a node that %s at once: the server sees it end after a while, and what it asks is not lost at once',
  async (_, node) => {
    mkdirSync(folder.file('bin'))
    writeFileSync(folder.file('bin/node'), node, { mode: 0o755 })
    const path = `${folder.file('bin')}:${process.env['PATH'] ?? ''}`
    const child = spawn(programs.extauth, [], { env: { PATH: path } })
    endWithUs(child)
    const broken: Error[] = []
    child.stdin.on('error', (error) => broken.push(error))
    const ended = exited(child)
    const begun = performance.now()
    await before(15_000, 'its end', once(child, 'exit'))
    child.stdin.write(frame('auth:ann:a.test:secret'))
    await before(15_000, 'the end of its answers', ended)
    expect(performance.now() - begun).toBeGreaterThan(1500)
    expect(broken).toEqual([])
  },
)

test('a clock that jumps changes no deadline, and no answer', async () => {
  await addAnn()
  // faketime is not everywhere: Node's own clock is moved, an hour with every look at it.
  writeFileSync(
    folder.file('clock.cjs'),
    'let jumps = 0; const now = Date.now; Date.now = () => now() + (jumps++ % 2 ? 1 : -1) * 3600000 * jumps',
  )
  const main = '"$(dirname "$0")"/gatehouse-extauth-main.cjs'
  const program = startIn(`exec node --require ${folder.file('clock.cjs')} ${main} "$@"`, ...plain())
  for (let i = 0; i < 20; i++) await works(program)
  expect(await program.close()).toBe(0)
})

test('garbage in place of frames', async () => {
  const program = startIn('exec "$0" "$@"', ...plain())
  program.write(frame(Buffer.alloc(0)))
  expect(await program.answer()).toBe('no')
  program.write(frame(Buffer.from([0xff, 0xfe, 0x3a, 0x3a])))
  expect(await program.answer()).toBe('no')
  program.write(frame(Buffer.alloc(65_535, ':')))
  expect(await program.answer()).toBe('no')
  expect(await program.ask('isuser:ann:a.test')).toBe('no')
})
