/** gatehouse-extauth daemon: one process behind many relays, whatever its clients do. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Daemon, type DaemonClient, daemonClient, lineClient, startDaemon } from '../harness/daemon.ts'
import { until, before as within } from '../harness/deadline.ts'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { exited, run } from '../harness/process.ts'

let folder: Folder
let socket: string
let lines: string
const daemons: Daemon[] = []
const relays: ExtauthProgram[] = []
const clients: DaemonClient[] = []

beforeEach(() => {
  folder = temporaryFolder('daemon')
  socket = folder.file('s')
  lines = folder.file('l')
})

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy()
  for (const { child } of relays.splice(0)) child.kill('SIGKILL')
  for (const { child, end } of daemons.splice(0)) {
    child.kill('SIGKILL')
    await end
  }
  folder.remove()
})

/** Passwords are kept plain here, as hashes take time; `more` are further lines of the configuration. */
function config(more = '', format = 'plain'): string {
  const file = folder.file('extauth.yml')
  writeFileSync(
    file,
    `backends: {main: {type: sqlite, file: a.sqlite, password_format: ${format}}}\n` +
      `daemon: {path: s, line_path: l, max_connections: 64}\n${more}`,
  )
  return file
}

async function start(args: readonly string[] = ['--config', config()], env = {}): Promise<Daemon> {
  const daemon = await startDaemon(args, { env })
  daemons.push(daemon)
  return daemon
}

async function client(): Promise<DaemonClient> {
  const one = await daemonClient(socket)
  clients.push(one)
  return one
}

function relay(...args: string[]): ExtauthProgram {
  const program = startExtauth(['relay', socket, '--failure-reply', 'error-frame', ...args])
  relays.push(program)
  return program
}

function residentKiB(pid: number | undefined): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

describe('a pool of relays', () => {
  test('16 for each of four hosts are served by one daemon, in less than 300 MiB', async () => {
    const daemon = await start()
    const hosts = ['a.example', 'b.example', 'c.example', 'd.example']
    const pool = hosts.flatMap((host) => Array.from({ length: 16 }, () => ({ host, program: relay() })))
    const answers = await Promise.all(
      pool.map(async ({ host, program }, n) => [
        await program.ask(`tryregister:user${n}:${host}:secret ${n}`),
        await program.ask(`auth:user${n}:${host}:secret ${n}`),
        await program.ask(`auth:user${n}:${host}:other`),
        await program.ask(`isuser:nobody:${host}`),
      ]),
    )
    for (const answer of answers) expect(answer).toEqual(['yes', 'yes', 'no', 'no'])
    const all = [daemon.child, ...pool.map(({ program }) => program.child)]
    const total = all.reduce((sum, { pid }) => sum + residentKiB(pid), 0)
    expect(total).toBeLessThan(300 * 1024)
    for (const { program } of pool) program.child.stdin?.end()
    for (const { program } of pool) expect(await program.end).toBe(0)
  }, 60_000)

  test('outlives the daemon: killed and started anew, it answers the same relays, and its old socket is no obstacle', async () => {
    const first = await start()
    const program = relay()
    expect(await program.ask('tryregister:ann:a.example:secret')).toBe('yes')
    first.child.kill('SIGKILL')
    await first.end
    expect(existsSync(socket)).toBe(true)
    const asked = program.ask('auth:ann:a.example:secret')
    await start()
    expect(await asked).toBe('yes')
    expect(await program.ask('setpass:ann:a.example:other')).toBe('yes')
    expect(await program.ask('auth:ann:a.example:other')).toBe('yes')
  })

  test('is told of failures, which are no answers', async () => {
    await start(['--sqlite', '/nonexistent/folder/a.sqlite', '--listen', socket])
    expect(await relay().ask('isuser:ann:a.example')).toBe('0002')
    const denying = startExtauth(['relay', socket])
    relays.push(denying)
    expect(await denying.ask('isuser:ann:a.example')).toBe('no')
  })
})

describe('the socket', () => {
  test('belongs to its owner alone, unless the configuration says otherwise, and goes away with the daemon', async () => {
    const daemon = await start()
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    expect(await daemon.stop()).toBe(0)
    expect(readdirSync(folder.path).filter((name) => name.length === 1)).toEqual([])
    writeFileSync(
      folder.file('b.yml'),
      `backends: {m: {type: sqlite, file: b}}\ndaemon: {path: s, mode: '0660'}\n`,
    )
    await start(['--config', folder.file('b.yml')])
    expect(statSync(socket).mode & 0o777).toBe(0o660)
  })

  test('of a running daemon is left alone by a second one, which says so', async () => {
    await start()
    const second = await run(programs.extauth, ['daemon', '--config', config()])
    expect(second).toMatchObject({ code: 1, stderr: expect.stringMatching(/somebody answers on/) })
    expect(await (await client()).ask('isuser:ann:a.example')).toBe('no')
  })

  test('moves with the configuration, at SIGHUP: connections that are there stay', async () => {
    const daemon = await start()
    const before = await client()
    expect(await before.ask('tryregister:ann:a.example:secret')).toBe('yes')
    const reload = async (sockets: string, what: RegExp) => {
      writeFileSync(config(), `backends: {main: {type: sqlite, file: a.sqlite}}\ndaemon: ${sockets}\n`)
      const said = daemon.log().length
      daemon.child.kill('SIGHUP')
      await until('the configuration to be read', () => what.test(daemon.log().slice(said)))
    }
    await reload(`{path: elsewhere, line_path: l, mode: '0660'}`, /frames at [^"]*elsewhere/)
    expect(existsSync(socket)).toBe(false)
    expect(statSync(folder.file('elsewhere')).mode & 0o777).toBe(0o660)
    expect(statSync(lines).mode & 0o777).toBe(0o660)
    const now = await daemonClient(folder.file('elsewhere'))
    clients.push(now)
    expect(await now.ask('auth:ann:a.example:secret')).toBe('yes')
    expect(await before.ask('isuser:ann:a.example')).toBe('yes')

    // What cannot be made leaves all of them as they are.
    await reload('{path: s, line_path: missing/l}', /the sockets stay as they were/)
    expect(existsSync(socket)).toBe(false)
    expect(await now.ask('isuser:ann:a.example')).toBe('yes')
    const line = await lineClient(lines)
    line.write('1 isuser:ann:a.example\n')
    expect(await line.line()).toBe('1 1')
    line.socket.destroy()

    await reload('{path: s}', /frames at [^"]*\/s"/)
    expect(existsSync(lines)).toBe(false)
    expect(await (await client()).ask('isuser:ann:a.example')).toBe('yes')
    expect(await daemon.stop()).toBe(0)
    expect(readdirSync(folder.path).filter((name) => name.length === 1 || name === 'elsewhere')).toEqual([])
  })

  test('named by flags stays there, and the one that the configuration names comes once it is right', async () => {
    writeFileSync(folder.file('extauth.yml'), 'daemon: {path: other, line_path: l}\nbackend: {}\n')
    const daemon = await start(['--config', folder.file('extauth.yml'), '--listen', socket])
    expect(await (await client()).ask('isuser:ann:a.example')).toBe('0002')
    writeFileSync(
      config(),
      `backends: {main: {type: sqlite, file: a.sqlite}}\ndaemon: {path: other, line_path: l}\n`,
    )
    await until('the socket for lines', () => existsSync(lines))
    expect(await (await client()).ask('isuser:ann:a.example')).toBe('no')
    expect(existsSync(folder.file('other'))).toBe(false)
    expect(daemon.log()).toMatch(/lines at/)
  })

  test.each([
    ['nowhere', ['--sqlite', 'a'], 1, /nothing says where to listen/],
    ['in a folder that is not there', ['--sqlite', 'a', '--listen', '/nonexistent/s'], 1, /cannot be made/],
    ['nor where the accounts are', ['--listen', 's'], 2, /nothing says where the accounts are/],
    ['at a path that is too long', ['--sqlite', 'a', '--listen', `/tmp/${'x'.repeat(120)}`], 1, /107/],
  ])('%s is a mistake that is explained', async (_, args, code, text) => {
    const result = await run(programs.extauth, ['daemon', ...args], { cwd: folder.path })
    expect(result).toMatchObject({ code, stderr: expect.stringMatching(text) })
  })

  const python = findProgram('python3')
  test.skipIf(python === undefined)('is taken over from systemd, by name', async () => {
    // What systemd does: the sockets from descriptor 3 on, their names, and the number of the process that they are for.
    const script = `
import os, socket, sys
made = []
for path in sys.argv[1:3]:
    one = socket.socket(socket.AF_UNIX); one.bind(path); one.listen(16); made.append(one)
fds = [os.dup2(one.fileno(), 30 + n) for n, one in enumerate(made)]
for n, fd in enumerate(fds): os.dup2(fd, 3 + n, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='frames:lines')
os.execv(sys.argv[3], sys.argv[3:])
`
    const child = spawn(
      python as string,
      ['-c', script, socket, lines, programs.extauth, 'daemon', '--sqlite', folder.file('a.sqlite')],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    try {
      await until('the sockets', () => existsSync(lines))
      const one = await until('a connection', () => daemonClient(socket).catch(() => undefined))
      expect(await one.ask('tryregister:ann:a.example:secret')).toBe('yes')
      const other = await lineClient(lines)
      other.write('1 isuser:ann:a.example\n')
      expect(await other.line()).toBe('1 1')
      child.kill('SIGTERM')
      expect(await within(10_000, 'the end', exited(child))).toBe(0)
      expect(existsSync(socket)).toBe(true)
    } finally {
      child.kill('SIGKILL')
    }
  })
})

describe('lines with request ids', () => {
  test('are answered by their ids, with yes, no and unavailable', async () => {
    await start()
    const { write, line } = await lineClient(lines)
    write('a1 tryregister:ann:a.example:pass: word €\n')
    expect(await line()).toBe('a1 1')
    write('x auth:ann:a.example:pass: word €\r\ny auth:ann:a.example:no\nz removeuser:ann:a.example\n')
    expect([await line(), await line(), await line()].sort()).toEqual(['x 1', 'y 0', 'z 1'])
    await daemons[0]?.stop()
    await start(['--sqlite', '/nonexistent/folder/a.sqlite', '--listen-lines', lines])
    const later = await lineClient(lines)
    later.write('1 isuser:ann:a.example\n')
    expect(await later.line()).toBe('1 unavailable')
  })

  test('cheap ones pass hashing ones, on the same connection and on others', async () => {
    await start(['--config', config('', 'bcrypt')])
    const one = await lineClient(lines)
    one.write('0 tryregister:ann:a.example:secret\n')
    expect(await one.line()).toBe('0 1')
    for (let n = 0; n < 20; n++) one.write(`hash${n} auth:ann:a.example:secret\n`)
    one.write('cheap isuser:ann:a.example\n')
    expect(await one.line()).toBe('cheap 1')
    const frames = await client()
    const asked = frames.ask('isuser:ann:a.example')
    const first = await Promise.race([asked, one.line().then((line) => line)])
    expect(first).toBe('yes')
  }, 60_000)

  test.each([
    ['no id', 'isuser:ann:a.example\n'],
    ['an id that is too long', `${'x'.repeat(65)} isuser:ann:a.example\n`],
    ['a line without end', 'x'.repeat(70_000)],
    ['frames', `${frame('isuser:ann:a.example').toString('latin1')}\n`],
  ])('%s closes that connection', async (_, text) => {
    await start()
    const one = await lineClient(lines)
    one.write(text)
    await within(5_000, 'the end of the connection', one.closed)
    const other = await lineClient(lines)
    other.write('1 isuser:ann:a.example\n')
    expect(await other.line()).toBe('1 0')
  })
})

describe('clients that misbehave', () => {
  test('hurt nobody: garbage, silence, never reading', async () => {
    await start()
    const good = await client()
    expect(await good.ask('tryregister:ann:a.example:secret')).toBe('yes')
    const silent = await client()
    const garbage = await client()
    for (let n = 0; n < 100; n++) garbage.socket.write(Buffer.alloc(10_000, n))
    const deaf = connect(socket)
    deaf.pause()
    deaf.on('error', () => undefined)
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => frame('isuser:ann:a.example')))
    for (let n = 0; n < 100; n++) deaf.write(flood)
    for (let n = 0; n < 50; n++) expect(await good.ask('auth:ann:a.example:secret')).toBe('yes')
    expect(residentKiB(daemons[0]?.child.pid)).toBeLessThan(150 * 1024)
    expect(await silent.ask('isuser:ann:a.example')).toBe('yes')
    deaf.destroy()
  })

  test('a thousand connections: all are answered; one too many is turned away until one is free', async () => {
    const file = config()
    writeFileSync(file, readFileSync(file, 'utf8').replace('max_connections: 64', 'max_connections: 1000'))
    const daemon = await start(['--config', file])
    const many = await Promise.all(Array.from({ length: 1000 }, () => client()))
    const answers = await Promise.all(many.map((one, n) => one.ask(`isuser:user${n}:a.example`, 30_000)))
    expect(new Set(answers)).toEqual(new Set(['no']))
    const surplus = await client()
    await within(5_000, 'the surplus connection to be closed', surplus.closed)
    expect(daemon.log()).toMatch(/all places are taken/)
    many[0]?.socket.destroy()
    await until('a free place', async () => {
      const one = await client()
      return (await Promise.race([one.ask('isuser:ann:a.example'), one.closed.then(() => 'closed')])) === 'no'
    })
  }, 60_000)

  test('descriptors that run out end nothing', async () => {
    const daemon = await startDaemon(['--config', config()], {})
    daemons.push(daemon)
    // The limit of a running process, as an administrator would set it too low.
    const limited = await run('prlimit', ['--pid', String(daemon.child.pid), '--nofile=40:40']).catch(
      () => undefined,
    )
    if (limited?.code !== 0) return
    const good = await client()
    const many = Array.from({ length: 60 }, () => connect(socket).on('error', () => undefined))
    expect(await good.ask('isuser:ann:a.example')).toBe('no')
    for (const one of many) one.destroy()
    await until('a new connection', async () => {
      const one = await client()
      return (await Promise.race([one.ask('isuser:x:a.example'), one.closed.then(() => 'closed')])) === 'no'
    })
  })

  test.runIf(existsSync('/dev/full'))('a log that cannot be written ends nothing', async () => {
    const child = spawn(programs.extauth, ['daemon', '--config', config(), '--log-file', '/dev/full'], {
      stdio: 'ignore',
    })
    try {
      const one = await until('a connection', () => daemonClient(socket).catch(() => undefined))
      clients.push(one)
      for (let n = 0; n < 5; n++) expect(await one.ask('auth:ann:a.example:x')).toBe('no')
      child.kill('SIGTERM')
      expect(await within(10_000, 'the end', exited(child))).toBe(0)
    } finally {
      child.kill('SIGKILL')
    }
  })
})

describe('the end', () => {
  test('what runs is answered, what came later is not carried out', async () => {
    const daemon = await start(['--config', config('', 'bcrypt')])
    const one = await client()
    expect(await one.ask('tryregister:ann:a.example:secret')).toBe('yes')
    one.socket.write(Buffer.concat([frame('setpass:ann:a.example:new'), frame('removeuser:ann:a.example')]))
    await until('the request to be under way', async () => {
      daemon.child.kill('SIGUSR2')
      return /"busy_connections":1/.test(daemon.log())
    })
    daemon.child.kill('SIGTERM')
    expect(await one.answer()).toBe('yes')
    await within(5_000, 'the end of the connection', one.closed)
    expect(await daemon.end).toBe(0)
    await start(['--config', config('', 'bcrypt')])
    expect(await (await client()).ask('auth:ann:a.example:new')).toBe('yes')
  }, 40_000)

  test('a change whose caller has left before it is made is not made', async () => {
    await start(['--config', config('', 'bcrypt')])
    const one = await client()
    expect(await one.ask('tryregister:ann:a.example:secret')).toBe('yes')
    const leaving = await client()
    leaving.socket.end(frame('setpass:ann:a.example:new'))
    await within(10_000, 'the end of the connection', leaving.closed)
    expect(await one.ask('auth:ann:a.example:secret')).toBe('yes')
  }, 40_000)
})

describe('guessing', () => {
  test('is slowed down while there is room, and no more than a moment when there is none', async () => {
    await start()
    const one = await client()
    expect(await one.ask('tryregister:ann:a.example:secret')).toBe('yes')
    for (let n = 0; n < 17; n++) expect(await one.ask('auth:ann:a.example:wrong')).toBe('no')
    // This one alone is busy, so it is not held; beside another that is free it is.
    const other = await client()
    expect(await other.ask('isuser:ann:a.example')).toBe('yes')
    const begin = performance.now()
    expect(await one.ask('auth:ann:a.example:wrong')).toBe('no')
    expect(performance.now() - begin).toBeGreaterThan(2_000)
    expect(await one.ask('auth:ann:a.example:secret')).toBe('yes')
  }, 40_000)
})

describe('what can be seen', () => {
  test('metrics over HTTP on loopback, in a file, and statistics on a signal; no names of users in them', async () => {
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
      })
    })
    const file = config(`metrics_file: metrics.prom\n`)
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('max_connections: 64', `metrics: '127.0.0.1:${port}'`),
    )
    const daemon = await start(['--config', file])
    const one = await client()
    await one.ask('isuser:ann:a.example')
    await one.ask('auth:ann:a.example:secret')
    await one.ask('nonsense:ann:a.example')
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    expect(text).toMatch(
      /^gatehouse_extauth_request_duration_seconds_count\{op="isuser",outcome="deny"\} 1$/m,
    )
    expect(text).toMatch(/^gatehouse_extauth_request_duration_seconds_count\{op="\?",outcome="deny"\} 1$/m)
    expect(text).toMatch(/^gatehouse_extauth_connections 1$/m)
    expect(text).not.toMatch(/ann|secret/)
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404)
    daemon.child.kill('SIGUSR2')
    await until('statistics', () => /"isuser deny":1/.test(daemon.log()))
    // Elsewhere at SIGHUP, as other sockets are.
    writeFileSync(
      file,
      `backends: {main: {type: sqlite, file: a}}\ndaemon: {path: s}\nmetrics_file: other.prom\n`,
    )
    daemon.child.kill('SIGHUP')
    await until('the other file', () => existsSync(folder.file('other.prom')))
    await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow()
    expect(await daemon.stop()).toBe(0)
    expect(readFileSync(folder.file('metrics.prom'), 'utf8')).toMatch(/op="auth",outcome="deny"\} 1$/m)
  })

  test('metrics elsewhere than on this machine are a mistake', async () => {
    const file = config()
    writeFileSync(file, readFileSync(file, 'utf8').replace('max_connections: 64', `metrics: '0.0.0.0:9464'`))
    const result = await run(programs.extauth, ['daemon', '--config', file])
    expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/address on this machine/) })
  })
})
