/** `check` says whether it will work, `test` tries one login and shows what each backend said. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeLdap, fakeLdap } from '../auth/ldap/fake-ldap.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { run } from '../harness/process.ts'
import { startTerminal } from '../harness/tmux.ts'
import { extauth } from './in-place.ts'

let folder: Folder
let web: Server
let url: string
/** What the web application answers with. */
let answer: { status: number; body: string }

beforeEach(async () => {
  folder = temporaryFolder('check')
  answer = { status: 200, body: '{"result":false}' }
  web = createServer((request, response) => {
    request.resume().once('end', () => {
      response.statusCode = answer.status
      response.end(answer.body)
    })
  })
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/`
})

afterEach(() => {
  web.closeAllConnections()
  web.close()
  folder.remove()
})

function config(yaml: string): readonly string[] {
  writeFileSync(folder.file('extauth.yml'), yaml)
  return ['--config', folder.file('extauth.yml')]
}

const both = () =>
  config(
    `hosts: {a.test: {chain: [own, web]}}
backends:
  own: {type: sqlite, file: a.sqlite, password_format: plain}
  web: {type: http, url: "${url}"}
`,
  )

test.each([
  ['ejabberd', 30],
  ['ejabberd-old', 10],
  ['mongooseim', 10],
  ['prosody-line', 5],
])('a deadline that %s does not wait for, of %i s, is a mistake', async (kind, seconds) => {
  const rest = 'backends: {own: {type: sqlite, file: a.sqlite}}\n'
  const said = await extauth(['check', ...config(`host_kind: ${kind}\ndeadline: ${seconds}\n${rest}`)])
  expect(said).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/extauth\.yml:2:\d+: deadline: .* waits for \d+ s/),
  })
  const flag = await extauth(['check', '--host-kind', kind, ...config(`deadline: ${seconds - 0.1}\n${rest}`)])
  expect(flag.status, flag.stderr).toBe(0)
})

test('a reader that has read enough is no fault', async () => {
  const line = `"${programs.extauth}" check --sqlite "${folder.file('a.sqlite')}" | true`
  expect(await run('sh', ['-c', line])).toMatchObject({ code: 0, stderr: '' })
})

describe('a directory', () => {
  let ldap: FakeLdap
  beforeEach(async () => {
    ldap = await fakeLdap()
  })
  afterEach(() => ldap.stop())
  const flags = () => ['--ldap', ldap.url, '--ldap-base', 'dc=example,dc=org']

  test('is said to answer what it is asked, which is no change', async () => {
    const said = await extauth(['check', ...flags()])
    expect(said.stdout).toMatch(/for ejabberd: auth, isuser\n/)
  })

  test('is tried step by step, each with its time', async () => {
    const said = await extauth(['test', 'alice@a.test', ...flags()], 'right\n')
    const at = String.raw`at ldap://127\.0\.0\.1:\d+ \(\d+\.\d ms\)\n`
    const steps = [
      `a connection: ${at}`,
      `the entry of the user: uid=alice,dc=example,dc=org, ${at}`,
      String.raw`the bind as the user: 0 success \(\d+\.\d ms\)`,
      String.raw`password: right \(\d+\.\d ms\)`,
    ]
    expect(said.stdout).toMatch(new RegExp(steps.join('[^]*'), 's'))
  })
})

describe('check', () => {
  test('a configuration with mistakes: all of them, each with its place', async () => {
    const flags = config(
      `host_kind: mongooseim
failure_reply: error-frame
hosts:
  a.test: {chain: [own, wbe]}
backends:
  own: {type: sqlite, file: a.sqlite}
`,
    )
    const said = await extauth(['check', ...flags])
    expect(said).toMatchObject({ status: 1, stdout: '' })
    const lines = said.stderr.trimEnd().split('\n')
    expect(lines).toEqual([
      expect.stringMatching(/extauth\.yml:2:16: failure_reply: mongooseim stops asking for ever/),
      expect.stringMatching(
        /extauth\.yml:4:25: hosts\.a\.test\.chain\[1\]: 'wbe' is not in backends \(own\)/,
      ),
    ])
  })

  test('mistakes in flags', async () => {
    expect(await extauth(['check'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/nothing says where the accounts are/),
    })
    const ldap = await extauth(['check', '--ldap', 'http://x', '--ldap-uids', 'a b'])
    expect(ldap.status).toBe(1)
    expect(ldap.stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^--ldap: /),
      expect.stringMatching(/^--ldap-base: is missing/),
      expect.stringMatching(/^--ldap-uids: /),
    ])
  })

  test('flags that do not go together with what the file says', async () => {
    const flags = config('host_kind: ejabberd-old\nbackends: {own: {type: sqlite, file: a.sqlite}}\n')
    const said = await extauth(['check', ...flags, '--failure-reply', 'error-frame'])
    expect(said.stderr).toMatch(/ejabberd-old stops asking for ever after an error-frame/)
    expect(said.status).toBe(1)
  })

  test.each([
    ['', 0, /warning +refused_setpass: error-frame does nothing/],
    [
      'failure_reply: error-frame\n',
      0,
      /ok +a password change that is refused is answered with an error frame/,
    ],
    [
      'host_kind: gatehouse\n',
      1,
      /refused_setpass: error-frame is for ejabberd since 18\.06, gatehouse knows/,
    ],
  ])('an error frame for refused password changes, beside %j', async (more, status, says) => {
    const flags = config(
      `refused_setpass: error-frame\n${more}backends: {own: {type: sqlite, file: a.sqlite}}\n`,
    )
    const said = await extauth(['check', ...flags])
    expect(said.stdout + said.stderr).toMatch(says)
    expect(said.status).toBe(status)
  })

  test('all is well, and no database is made by looking', async () => {
    const said = await extauth(['check', ...both()])
    expect(said.stdout).toMatch(/ok +a\.test: own, then web/)
    expect(said.stdout).toMatch(/own \(sqlite\)\n +ok +.*a\.sqlite does not exist yet/)
    expect(said.stdout).toMatch(/web \(http\)\n +ok +it answers/)
    expect(said.stdout).toMatch(/\nnothing is wrong\n$/)
    expect(said).toMatchObject({ status: 0, stderr: '' })
    expect(existsSync(folder.file('a.sqlite'))).toBe(false)
  })

  test('a web application that is out, one that knows everybody', async () => {
    answer = { status: 500, body: '' }
    const out = await extauth(['check', ...both()])
    expect(out.stdout).toMatch(/WRONG +it answered with status 500\n +→ logins of a\.test cannot be answered/)
    expect(out.status).toBe(1)
    answer = { status: 200, body: '{"result":true}' }
    const everybody = await extauth(['check', ...both()])
    expect(everybody.stdout).toMatch(/warning +it says that .*@a\.test exists/)
    expect(everybody.status).toBe(0)
  })

  test.each([
    ['a file that is missing', '{type: file, file: none}', /none cannot be read/],
    [
      'a table in a file that is missing',
      '{type: sqlite-table, file: none, queries: {password: SELECT 1}}',
      /none/,
    ],
    [
      'a query with a mistake',
      '{type: sqlite-table, file: b.sqlite, queries: {password: SELEKT 1}}',
      /syntax error/,
    ],
    [
      'a command that is not there',
      '{type: command, command: /none/at/all}',
      /cannot|ended|gone|does not run/,
    ],
    ['a token file that is missing', '{type: http, url: "http://127.0.0.1:1", token_file: none}', /none/],
    ['no folder', '{type: sqlite, file: none/a.sqlite}', /there is no folder .*none/],
    ['a folder in place of the file', '{type: sqlite, file: dir}', /dir/],
  ])('%s', { timeout: 30_000 }, async (_, backend, reason) => {
    writeFileSync(folder.file('b.sqlite'), '')
    mkdirSync(folder.file('dir'))
    const said = await extauth(['check', ...config(`backends: {one: ${backend}}\n`)])
    expect(said.stdout).toMatch(new RegExp(`WRONG +.*${reason.source}`, 's'))
    expect(said.status).toBe(1)
  })

  test('files of another user are left alone', async () => {
    await extauth(['account', 'add', 'ann@a.test', ...both()], 'secret\n')
    const said = await extauth(['check', ...both()], '', 4711)
    expect(said.stdout).toMatch(/warning +.*a\.sqlite belongs to user id \d+, so it was not opened/)
  })
})

describe('test', () => {
  beforeEach(async () => {
    await extauth(['account', 'add', 'ann@a.test', ...both()], 'secret\n')
  })

  test('the right password', async () => {
    const said = await extauth(['test', 'ANN@A.test', ...both()], 'secret\n')
    expect(said.stdout).toMatch(/^account +ANN@A\.test, which is ann@a\.test\n/)
    expect(said.stdout).toMatch(/\nchain +own, then web\n/)
    expect(said.stdout).toMatch(/\nown +password: right \(\d+\.\d ms\)\nyes, after \d+\.\d ms\n$/)
    expect(said).toMatchObject({ status: 0, stderr: '' })
  })

  test("a wrong one, which the account's own backend judges", async () => {
    const said = await extauth(['test', 'ann@a.test', ...both()], 'geheim\r\n')
    expect(said.stdout).toMatch(/own +password: wrong/)
    expect(said.stdout).not.toMatch(/^web/m)
    expect(said.stdout).toMatch(/\nno: the password is wrong, after/)
    expect(said.status).toBe(1)
    expect(said.stdout + said.stderr).not.toMatch(/geheim|secret/)
  })

  test('somebody of a backend further on, and nobody', async () => {
    const said = await extauth(['test', 'bob@a.test', ...both()], 'x\n')
    expect(said.stdout).toMatch(/own +password: no such account.*\nweb +password: wrong/)
    expect(said.status).toBe(1)
    answer.body = '{"result":true}'
    expect((await extauth(['test', 'bob@a.test', ...both()], 'x\n')).status).toBe(0)
  })

  test('what cannot be found out is no "no"', async () => {
    answer = { status: 502, body: '<html>' }
    const said = await extauth(['test', 'bob@a.test', ...both()], 'x\n')
    expect(said.stdout).toMatch(/web +password: cannot find out: it answered with status 502/)
    expect(said.stdout).toMatch(/\ncould not find out: it answered with status 502, after/)
    expect(said.status).toBe(2)
  })

  test('a configuration with mistakes', async () => {
    const said = await extauth(['test', 'bob@a.test', ...config('backends: {}\n')], 'x\n')
    expect(said).toMatchObject({ status: 2, stdout: '' })
    expect(said.stderr).toMatch(/backends: must have one at least/)
  })

  test('another host, no account, no password', async () => {
    const other = await extauth(['test', 'ann@b.test', ...both()], 'secret\n')
    expect(other.stdout).toMatch(/b\.test is not served; hosts are a\.test\nno: not a host of this program/)
    expect(other.status).toBe(1)
    const none = await extauth(['test', 'ann', ...both()], 'secret\n')
    expect(none.stderr).toMatch(/'ann' is not an account/)
    expect(none.status).toBe(2)
    const empty = await extauth(['test', 'ann@a.test', ...both()])
    expect(empty.stderr).toMatch(/no password was given/)
    expect(empty.status).toBe(2)
  })

  test.skipIf(findProgram('tmux') === undefined)(
    'on a terminal the password is asked for once, and not shown',
    {
      timeout: 30_000,
    },
    async () => {
      const terminal = await startTerminal([programs.extauth, 'test', 'ann@a.test', ...both()])
      try {
        await terminal.shows('Password for ann@a.test')
        await terminal.type('secret')
        await terminal.shows('******')
        await terminal.press('Enter')
        const screen = await terminal.shows(/yes, after/)
        expect(screen).toMatch(/own +password: right/)
        expect(screen).not.toMatch(/secret|toggle/)
      } finally {
        await terminal.stop()
      }
    },
  )
})
