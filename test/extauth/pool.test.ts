import { setMaxListeners } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { configSchema, hostConfig } from '../../server-core/config/schema.ts'
import { RequestRefused } from '../../server-core/extauth/packets.ts'
import { ExtauthPool, type ExtauthPoolOptions } from '../../server-core/extauth/pool.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs as built, root } from '../harness/paths.ts'

const programs = `${root}/fixtures/extauth-programs`
const { extauth } = built
const signal = new AbortController().signal
setMaxListeners(0, signal)
const pauses = { first: 10, longest: 40 }

let folder: Folder
let pool: ExtauthPool
let lines: Record<string, unknown>[]

beforeEach(() => {
  folder = temporaryFolder('extauth')
  lines = []
})

afterEach(async () => {
  await pool.close()
  folder.remove()
})

function open(program: string, options: Partial<ExtauthPoolOptions> = {}): void {
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  pool = new ExtauthPool({ program, size: 1, timeout: 5000, pauses, log, ...options })
}

/** naughty.pl does what the password says. */
function naughty(options: Partial<ExtauthPoolOptions> = {}): void {
  open(`perl ${programs}/naughty.pl ${folder.file('begun')}`, options)
}

function ask(what: string, user = 'ann'): Promise<boolean> {
  return pool.call({ op: 'auth', user, host: 'a.example', password: Buffer.from(what) }, signal)
}

describe('gatehouse-extauth', () => {
  test('says that it could not find out before the server that waits as long as usual gives it up', {
    timeout: 30_000,
  }, async () => {
    const web = createServer(() => undefined)
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
    const { port } = web.address() as AddressInfo
    writeFileSync(folder.file('e.yml'), `backends: {web: {type: http, url: "http://127.0.0.1:${port}/"}}\n`)
    const { extauth_timeout } = hostConfig(configSchema.parse({ hosts: ['a.example'] }), 'a.example')
    open(`${extauth} --host-kind gatehouse --config ${folder.file('e.yml')}`, { timeout: extauth_timeout })
    try {
      await expect(ask('secret')).rejects.toThrow(BackendUnavailable)
      expect(said().join('\n')).toMatch(/"outcome":"failure","reason":"no answer in time"/)
      expect(lines.filter(({ level }) => Number(level) >= 40)).toEqual([])
    } finally {
      web.closeAllConnections()
      web.close()
    }
  })
})

/** Process ids of the programs that were started, in order. */
const begun = () => readFileSync(folder.file('begun'), 'utf8').trim().split('\n')
const said = () => lines.flatMap(({ line }) => (typeof line === 'string' ? [line] : []))

describe('a program', () => {
  test.each([
    ['Python', `python3 ${programs}/accounts.py`],
    ['Python, quoted as in ejabberd.yml', `"/usr/bin/env" 'python3' "${programs}/accounts.py"`],
    ['the shell', `sh ${programs}/always.sh`],
    ['Perl', `perl ${programs}/naughty.pl`],
  ])('in %s', async (_, program) => {
    open(program)
    const isUser = () =>
      pool.call({ op: 'isuser', user: 'ann', host: 'a.example', password: undefined }, signal)
    expect(await isUser()).toBe(true)
    expect(await isUser()).toBe(true)
  })

  test('gets passwords byte by byte as they are, and requests of any length', async () => {
    open(`python3 ${programs}/accounts.py`)
    const request = { user: 'bob', host: 'a.example' }
    for (const password of [
      Buffer.from('a:b:c\n€'),
      Buffer.from([0xff, 0xfe, 0x80]),
      Buffer.alloc(65_400, 0x3a),
    ]) {
      expect(await pool.call({ op: 'tryregister', ...request, password }, signal)).toBe(true)
      expect(await pool.call({ op: 'auth', ...request, password }, signal)).toBe(true)
      const wrong = Buffer.from(password).fill(0x78, 0, 1)
      expect(await pool.call({ op: 'auth', ...request, password: wrong }, signal)).toBe(false)
      expect(await pool.call({ op: 'removeuser', ...request, password: undefined }, signal)).toBe(true)
    }
  })

  test('may answer in pieces', async () => {
    naughty()
    expect([await ask('pieces'), await ask('no'), await ask('yes')]).toEqual([true, false, true])
    expect(begun()).toHaveLength(1)
  })

  test('that could not find out is kept', async () => {
    naughty()
    await expect(ask('neither')).rejects.toThrow(BackendUnavailable)
    expect(await ask('yes')).toBe(true)
    expect(begun()).toHaveLength(1)
  })

  test.each(['short', 'empty', 'long', 'text', 'twice', 'exit', 'closed'])(
    'that answers with %j is replaced, and the answer is neither yes nor no',
    async (what) => {
      naughty()
      await expect(ask(what)).rejects.toThrow(BackendUnavailable)
      expect(await ask('yes')).toBe(true)
      expect(begun()).toHaveLength(2)
    },
  )

  test('that answers without a request is replaced before it can answer the next one', async () => {
    naughty()
    expect(await ask('late')).toBe(true)
    await until('a second program', () => begun().length === 2)
    expect(await ask('no')).toBe(false)
  })

  test('that gives no answer in time is replaced; no request is made twice', async () => {
    naughty({ timeout: 300, size: 2 })
    await expect(ask('silent')).rejects.toThrow(/no answer in time/)
    await until('a third program', () => begun().length === 3)
    expect(await ask('yes')).toBe(true)
  })

  test('is told the end by its input, and made to go when it does not listen', {
    timeout: 20_000,
  }, async () => {
    naughty({ timeout: 300 })
    await expect(ask('deaf')).rejects.toThrow(BackendUnavailable)
    const [pid] = begun().map(Number)
    await pool.close()
    expect(() => process.kill(pid ?? 0, 0)).toThrow(/ESRCH/)
  })

  test('that keeps failing is started ever more slowly, and nobody waits in vain', async () => {
    open(`sh -c 'echo x >>${folder.file('begun')}; exit 1'`, {
      timeout: 200,
      pauses: { first: 20, longest: 60_000 },
    })
    await until('a pause longer than the time-out', () =>
      lines.some(({ again_in_ms }) => typeof again_in_ms === 'number' && again_in_ms > 200),
    )
    await expect(ask('yes')).rejects.toThrow(/keeps failing/)
    const paused = lines.flatMap(({ again_in_ms }) => (typeof again_in_ms === 'number' ? [again_in_ms] : []))
    expect(paused).toEqual(paused.map((_, index) => 20 * 2 ** index))
    expect(begun()).toHaveLength(paused.length)
  })

  test('that does not exist is an outage', async () => {
    open('/nonexistent/program', { timeout: 500 })
    await expect(ask('yes')).rejects.toThrow(BackendUnavailable)
    await until('what the shell says', () => /not found|No such file/.test(said().join()))
  })

  test('has its standard error in the log, in lines that have an end', async () => {
    naughty()
    await ask('chatty')
    await pool.close()
    expect(said()).toEqual(['one', 'two', `${'x'.repeat(1000)}…`, 'end'])
  })
})

describe('calls', () => {
  test('at the same time go to different programs, one each, the others wait', async () => {
    naughty({ size: 3 })
    await Promise.all(Array.from({ length: 30 }, () => ask('pid')))
    await until('all lines', () => said().length === 30)
    expect(new Set(said()).size).toBe(3)
    expect(begun()).toHaveLength(3)
  })

  test('do not wait behind a busy program while another is free', async () => {
    naughty({ size: 2, timeout: 2000 })
    const hung = ask('silent')
    for (let i = 0; i < 10; i++) expect(await ask('yes')).toBe(true)
    await expect(hung).rejects.toThrow(BackendUnavailable)
  })

  test('wait in a line of limited length', async () => {
    naughty({ maxWaiting: 2, timeout: 500 })
    const waiting = [ask('silent'), ask('yes'), ask('yes')]
    await expect(ask('yes')).rejects.toThrow(/too many requests wait/)
    const results = await Promise.allSettled(waiting)
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  })

  test('that are given up leave the line; one that was sent keeps its program', async () => {
    naughty()
    const stop = new AbortController()
    const call = (what: string) =>
      pool.call({ op: 'auth', user: 'ann', host: 'a.example', password: Buffer.from(what) }, stop.signal)
    const given = [call('pieces'), call('exit')]
    stop.abort(new Error('gone away'))
    for (const one of given) await expect(one).rejects.toThrow('gone away')
    expect(await ask('no')).toBe(false)
    expect(begun()).toHaveLength(1)
  })

  test('that cannot be written are refused, and the program never sees them', async () => {
    naughty()
    await expect(ask('exit', 'an:n')).rejects.toThrow(RequestRefused)
    await expect(ask('x'.repeat(65_535))).rejects.toThrow(RequestRefused)
    expect(await ask('yes')).toBe(true)
    expect(begun()).toHaveLength(1)
  })

  test('after the end are an outage', async () => {
    naughty()
    const waiting = ask('silent').catch((error: unknown) => error)
    await pool.close()
    expect(await waiting).toBeInstanceOf(BackendUnavailable)
    await expect(ask('yes')).rejects.toThrow(BackendUnavailable)
  })
})
