/** A changed configuration while the server runs: what comes of each change, and what mistakes do not do. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '../server-core/log.ts'
import { TestClient } from './harness/client.ts'
import { type Folder, temporaryFolder } from './harness/folder.ts'
import { freePorts } from './harness/ports.ts'
import type { Result } from './harness/process.ts'
import { type ServerInPlace, serverInPlace } from './harness/server-in-place.ts'
import { child } from './harness/stanza.ts'

let server: ServerInPlace
let logs: Folder

async function started(config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  server = await serverInPlace(
    { log_file: logs.file('log'), ...config },
    await createLogger({ level: 'info', file: logs.file('log'), pretty: false }),
  )
}

/** Reads this configuration again. */
function reload(config: Readonly<Record<string, unknown>>, ...options: string[]): Promise<Result> {
  server.configure({ log_file: logs.file('log'), ...config })
  return server.ctl(['reload_config', ...options])
}

async function must(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await server.ctl(words)
  expect({ code, stderr }, words.join(' ')).toEqual({ code: 0, stderr: '' })
  return stdout
}

beforeEach(() => {
  logs = temporaryFolder('logs')
})
afterEach(async () => {
  await server.stop()
  logs.remove()
})

test('what has not changed is left alone', async () => {
  await started()
  expect(await reload({})).toEqual({ code: 0, stdout: 'Nothing has changed.\n', stderr: '' })
})

test('all mistakes are shown, and nothing is changed', async () => {
  await started()
  const { code, stdout } = await reload({
    loglevel: 'loud',
    hosts: ['localhost', 'shop.example'],
    lisen: [],
    modules: { mod_pong: {} },
  })
  expect(code).toBe(1)
  const lines = stdout.trimEnd().split('\n')
  expect(lines.map((line) => line.replace(/^.*gatehouse\.yml:1:\d+: /, ''))).toEqual([
    expect.stringMatching(/^loglevel: must be .*, not 'loud'$/),
    "lisen: unknown option, did you mean 'listen'?",
    "modules.mod_pong: unknown module, did you mean 'mod_ping'?",
    'Nothing was changed.',
  ])
  expect(await must('registered_vhosts')).toBe('localhost\n')
})

test('a port that cannot be opened changes nothing either', async () => {
  await started()
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const { code, stdout } = await reload({
    loglevel: 'debug',
    hosts: ['localhost', 'shop.example'],
    listen: [
      { port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none' },
      { port, ip: '127.0.0.1', module: 'c2s' },
    ],
  })
  expect({ code, stdout }).toEqual({
    code: 1,
    stdout: `port ${port} on 127.0.0.1 is in use: stop the program that has it, or give another port under listen\nNothing was changed.\n`,
  })
  expect(await must('registered_vhosts')).toBe('localhost\n')
  expect(await must('get_loglevel')).toContain("'info'")
  taken.close()
})

test('what was opened is closed again when another thing cannot be had', async () => {
  await started()
  const [port = 0] = await freePorts(1)
  const path = server.folder.file('taken')
  writeFileSync(path, 'no socket')
  const { code, stdout } = await reload({
    hosts: ['localhost', 'shop.example'],
    auth_password_format: 'plain',
    listen: [
      { port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none' },
      { port, ip: '127.0.0.1', module: 'c2s' },
    ],
    control: [{ path: server.socket }, { path }],
  })
  expect(code).toBe(1)
  expect(stdout).toBe(`${path} is there and is no socket; move it out of the way\nNothing was changed.\n`)
  await expect(TestClient.connect({ port })).rejects.toThrow()
  expect(await must('registered_vhosts')).toBe('localhost\n')
})

test('a host whose module does not start is not served, and the rest is in place', async () => {
  await started()
  const modules = { mod_ping: {}, mod_echo: { host: 'echo.localhost' } }
  // both hosts want the one domain
  const { code, stdout } = await reload({ hosts: ['localhost', 'shop.example'], loglevel: 'debug', modules })
  expect(code).toBe(1)
  expect(stdout).toMatch(
    /\nFailed:\n {2}host shop\.example: mod_echo on shop\.example did not start: .*echo\.localhost/,
  )
  expect(await must('registered_vhosts')).toBe('localhost\n')
  expect(await must('get_loglevel')).toContain("'debug'")
  // and it is, as soon as it can be
  expect((await reload({ hosts: ['localhost', 'shop.example'], modules: { mod_ping: {} } })).code).toBe(0)
  expect(await must('registered_vhosts')).toBe('localhost\nshop.example\n')
})

test('--dry-run says it and does not do it', async () => {
  await started()
  const config = { loglevel: 'debug', data_dir: 'elsewhere', send_timeout: 20 }
  const planned = await reload({ ...config, control: [{ path: server.socket }] }, '--dry-run')
  expect(planned.stdout).toBe(
    'Applied:\n  loglevel: debug\nFor new connections:\n  send_timeout\nNeeds a restart:\n  data_dir\n',
  )
  expect(await must('get_loglevel')).toContain("'info'")
})

describe('hosts', () => {
  test('one that is added is served at once, one that is removed says goodbye', async () => {
    await started()
    const added = await reload({ hosts: ['localhost', 'shop.example'] })
    expect(added).toEqual({ code: 0, stdout: 'Applied:\n  hosts: shop.example added\n', stderr: '' })
    await must('register', 'alice', 'shop.example', 'pw')
    await must('register', 'bob', 'localhost', 'pw')
    const { port } = server
    const alice = await TestClient.login({ port, domain: 'shop.example', user: 'alice', password: 'pw' })
    const bob = await TestClient.login({ port, user: 'bob', password: 'pw' })
    bob.message('alice@shop.example', 'hello')
    await alice.waitFor('message')

    const removed = await reload({})
    expect(removed.stdout).toBe('Applied:\n  hosts: shop.example removed\n')
    expect((await alice.streamError()).condition).toBe('host-gone')
    bob.message('alice@shop.example', 'are you there')
    const answer = await bob.waitFor('message')
    expect(answer.attrs['type']).toBe('error')
    const late = await TestClient.connect({ port, domain: 'shop.example' })
    await expect(late.open()).rejects.toThrow()
    expect(late.transcript()).toContain('host-unknown')
    // and again: nothing of it was left
    expect((await reload({ hosts: ['localhost', 'shop.example'] })).code).toBe(0)
    const again = await TestClient.login({ port, domain: 'shop.example', user: 'alice', password: 'pw' })
    again.destroy()
    bob.destroy()
  })

  test('another auth_method holds from the next login on, and sessions stay', async () => {
    await started()
    await must('register', 'alice', 'localhost', 'pw')
    const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
    const changed = await reload({ auth_password_format: 'plain', extauth_pool_size: 3 })
    expect(changed.stdout).toBe(
      'Applied:\n  auth_password_format of localhost\n  extauth_pool_size of localhost\n',
    )
    await must('register', 'bob', 'localhost', 'pw')
    // only a plain password can be compared with a hash of it
    await must('check_password_hash', 'bob', 'localhost', '8fe4c11451281c094a6578e6ddbf5eed', 'md5')
    expect(await alice.iq('get', "<ping xmlns='urn:xmpp:ping'/>")).toBeDefined()
    alice.destroy()
  })
})

describe('modules and services', () => {
  test('start, stop, and take over their options', async () => {
    await started({ modules: { mod_ping: {}, mod_disco: { name: 'before' } } })
    const { stdout } = await reload({
      modules: { mod_time: {}, mod_disco: { name: 'after' } },
      services: {},
    })
    expect(stdout).toBe(
      [
        'Applied:',
        '  modules: mod_ping stopped on localhost',
        '  modules: mod_time started on localhost',
        '  modules: mod_disco reloaded on localhost',
        '  services: service_admin_extra stopped',
        '  services: service_cache stopped',
        '',
      ].join('\n'),
    )
    expect(await must('modules', 'localhost')).toMatch(/mod_time\trunning.*\n/)
    expect((await server.ctl(['stats', 'onlineusers'])).code).toBe(2)
    // The service's options too.
    await reload({ services: { service_admin_extra: { submods: ['stats'] } } })
    expect(await must('stats', 'onlineusers')).toBe('0\n')
    await reload({ services: { service_admin_extra: { submods: ['last'] } } })
    expect((await server.ctl(['stats', 'onlineusers'])).code).toBe(2)
  })

  test('by command, until the configuration is read again', async () => {
    await started({ modules: { mod_ping: {}, mod_disco: { name: 'before' } } })
    await must('load_module', 'localhost', 'mod_echo', '{host: mirror.localhost}')
    await must('reload_module', 'localhost', 'mod_disco', '{name: now}')
    await must('restart_module', 'localhost', 'mod_disco')
    await must('unload_module', 'localhost', 'mod_ping')
    const running = (await must('modules', 'LOCALHOST'))
      .split('\n')
      .filter((line) => line.includes('\trunning'))
    expect(running.map((line) => line.split('\t')[0])).toEqual(['mod_disco', 'mod_echo'])
    const { stdout } = await server.ctl(['reload_config'])
    expect(stdout).toBe(
      'Applied:\n  modules: mod_echo stopped on localhost\n  modules: mod_ping started on localhost\n  modules: mod_disco reloaded on localhost\n',
    )
  })

  test.each([
    [['load_module', 'nowhere', 'mod_echo'], 'nowhere is not a host of this server (localhost)'],
    [['load_module', 'localhost', 'mod_ecco'], "there is no module mod_ecco, did you mean 'mod_echo'?"],
    [['load_module', 'localhost', 'mod_ping'], 'mod_ping runs on localhost already'],
    [
      ['load_module', 'localhost', 'mod_echo', '[1]'],
      'The options must be names with values, such as {name: Our server}',
    ],
    [['load_module', 'localhost', 'mod_echo', '{hots: x}'], /mod_echo/],
    [['unload_module', 'localhost', 'mod_time'], 'mod_time does not run on localhost'],
    [['restart_module', 'localhost', 'mod_time'], 'mod_time does not run on localhost'],
  ] as const)('%j is refused with a sentence', async (words, sentence) => {
    await started({ modules: { mod_ping: {} } })
    const { code, stderr } = await server.ctl(words)
    expect(code).toBe(1)
    const said = stderr.replace(/^Error: "(.*)"\n$/s, '$1')
    if (typeof sentence === 'string') expect(said).toBe(sentence)
    else expect(said).toMatch(sentence)
  })
})

describe('ports', () => {
  const one = { ip: '127.0.0.1', module: 'c2s', shaper: 'none' }

  test('open and close; what changes holds for those who connect then', async () => {
    const [first = 0, second = 0] = await freePorts(2)
    await started({ listen: [{ ...one, port: first }] })
    await must('register', 'alice', 'localhost', 'pw')
    const alice = await TestClient.login({ port: first, user: 'alice', password: 'pw', resource: 'a' })
    const added = await reload({
      listen: [
        { ...one, port: first, max_stanza_size: 20_000, backlog: 99 },
        { ...one, port: second },
      ],
    })
    expect(added.stdout).toBe(
      `Applied:\n  listen: 127.0.0.1 ${second} opened\nFor new connections:\n  listen: 127.0.0.1 ${first} changed\nNeeds a restart:\n  listen: backlog of 127.0.0.1 ${first}\n`,
    )
    const late = await TestClient.login({ port: first, user: 'alice', password: 'pw', resource: 'b' })
    const large = 'x'.repeat(30_000)
    alice.message('nobody@localhost', large)
    await alice.settled()
    late.message('nobody@localhost', large)
    expect((await late.streamError()).condition).toBe('policy-violation')
    const other = await TestClient.login({ port: second, user: 'alice', password: 'pw', resource: 'c' })
    const closed = await reload({ listen: [{ ...one, port: second }] })
    expect(closed.stdout).toBe(`Applied:\n  listen: 127.0.0.1 ${first} closed\n`)
    await expect(TestClient.connect({ port: first })).rejects.toThrow()
    await alice.settled()
    for (const client of [alice, other]) client.destroy()
  })

  test('one that another address of ours has is opened when that is closed', async () => {
    const [port = 0] = await freePorts(1)
    await started({ listen: [{ ...one, ip: '0.0.0.0', port }] })
    const moved = await reload({ listen: [{ ...one, port }] })
    expect(moved.stdout).toBe(
      `Applied:\n  listen: 127.0.0.1 ${port} opened\n  listen: 0.0.0.0 ${port} closed\n`,
    )
    ;(await TestClient.connect({ port })).destroy()
  })
})

test('control sockets come and go, and change their lists', async () => {
  await started()
  const path = server.folder.file('operators.sock')
  const own = { path: server.socket }
  const added = await reload({ control: [own, { path, commands: ['status'] }] })
  expect(added.stdout).toBe(`Applied:\n  control: ${path} opened\n`)
  expect(await server.ctl(['stats', 'onlineusers', '--socket', path])).toEqual({
    code: 1,
    stdout: '',
    stderr: `Error: "stats may not be run through ${path}: it is not among the commands of this socket (option control)"\n`,
  })
  const changed = await reload({ control: [own, { path, commands: ['stats'] }] })
  expect(changed.stdout).toBe(`For new connections:\n  control: ${path} changed\n`)
  expect((await server.ctl(['stats', 'onlineusers', '--socket', path])).stdout).toBe('0\n')
  const removed = await reload({ control: [own] })
  expect(removed.stdout).toBe(`Applied:\n  control: ${path} closed\n`)
  expect((await server.ctl(['stats', 'onlineusers', '--socket', path])).code).toBe(3)
})

test('limits hold from then on, for those who are there too', async () => {
  await started()
  await must('register', 'alice', 'localhost', 'pw')
  const login = (resource: string) =>
    TestClient.login({ port: server.port, user: 'alice', password: 'pw', resource })
  const first = await login('a')
  expect((await reload({ max_user_sessions: 1 })).stdout).toBe('Applied:\n  max_user_sessions\n')
  const second = await login('b')
  expect((await first.streamError()).condition).toBe('conflict')
  second.destroy()
})

test('load_config takes another file, until the own one is read again', async () => {
  await started()
  const other = server.folder.file('other.yml')
  const listen = [{ port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none' }]
  const same = { listen, log_file: logs.file('log') }
  writeFileSync(other, JSON.stringify({ ...same, hosts: ['localhost', 'shop.example'] }))
  expect(await must('load_config', 'other.yml')).toBe('Applied:\n  hosts: shop.example added\n')
  expect(await must('reload_config')).toBe('Applied:\n  hosts: shop.example removed\n')
  const missing = await server.ctl(['load_config', 'nosuch.yml'])
  expect(missing.code).toBe(1)
  expect(missing.stdout).toMatch(/nosuch\.yml: .*\nNothing was changed\.\n$/)
})

test('the log goes on in a new file when the old one was moved away, and to another one', async () => {
  await started()
  const log = logs.file('log')
  renameSync(log, `${log}.1`)
  await must('status')
  await must('reopen_log')
  await must('stats', 'onlineusers')
  expect(readFileSync(`${log}.1`, 'utf8')).toContain('"command":"status"')
  expect(readFileSync(log, 'utf8')).toContain('"command":"stats"')
  const moved = await reload({ log_file: logs.file('other') })
  expect(moved.stdout).toBe(`Applied:\n  log_file: ${logs.file('other')}\n`)
  await must('status')
  expect(readFileSync(logs.file('other'), 'utf8')).toContain('"command":"status"')
})

test('whoever is removed tells his contacts before he goes', async () => {
  await started()
  for (const user of ['alice', 'bob']) {
    await must('register', user, 'localhost', 'pw')
    const [other = ''] = ['alice', 'bob'].filter((one) => one !== user)
    await must('add_rosteritem', user, 'localhost', other, 'localhost', '', '', 'both')
  }
  const bob = await TestClient.login({ port: server.port, user: 'bob', password: 'pw' })
  await bob.iq('get', "<query xmlns='jabber:iq:roster'/>")
  await must('unregister', 'alice', 'localhost')
  await bob.waitFor((stanza) => stanza.attrs['type'] === 'unsubscribed')
  const push = await bob.waitFor((stanza) => child(stanza, 'query') !== undefined)
  expect(push).toBeDefined()
  expect(await must('get_roster', 'bob', 'localhost')).toMatch(/^alice@localhost\t\tnone/)
  bob.destroy()
})
