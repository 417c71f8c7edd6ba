/**
 * Hosts that cannot be installed any more, or not from Debian: ejabberd until 18.04 and MongooseIM. Their side of the pipe is
 * played by Erlang's own port driver (fixtures/peers/extauth_host.escript), which forgives nothing but 00 00 and 00 01.
 */
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { before, until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs, root } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Running, start } from '../harness/process.ts'

const script = `${root}/fixtures/peers/extauth_host.escript`
/** How long these servers wait for the first answer of a program, and for later ones, in milliseconds. */
const patience = { first: 60_000, later: 10_000 }

type Kind = 'ejabberd-old' | 'mongooseim'

interface Host {
  readonly running: Running
  /** `true`, `false` or `crash`; rejects when nobody answers the caller. */
  call(op: string, user: string, password?: string | Buffer): Promise<string>
  /** Of its programs; `none` for one that it has lost for good. */
  pids(): Promise<string>
}

let folder: Folder
const hosts: Running[] = []

beforeEach(() => {
  folder = temporaryFolder('older')
})
afterEach(async () => {
  for (const running of hosts.splice(0)) {
    running.child.stdin?.end()
    await before(20_000, 'the host to end', running.end).catch(() => running.child.kill('SIGKILL'))
  }
  folder.remove()
})

function startHost(kind: Kind, command: string, { first, later } = patience): Host {
  const words = [script, kind, '1', String(first), String(later), command]
  const running = start('escript', words)
  hosts.push(running)
  let last = 0
  const hex = (field: string | Buffer) => Buffer.from(field as string).toString('hex') || '-'
  return {
    running,
    call: (op, user, password = '') => {
      const id = `call${++last}`
      running.write(`${id} ${op} ${hex(user)} ${hex('lab.test')} ${hex(password)}`)
      const answer = (line: string) => (line.startsWith(`${id} `) ? line.slice(id.length + 1) : undefined)
      return running.line(`the answer to ${op}`, answer, 20_000)
    },
    pids: async () => {
      const seen = running.lines.length
      running.write('pids')
      const newest = (line: string, index: number) =>
        index >= seen && line.startsWith('pids') ? line : undefined
      return running.line('the numbers of the programs', newest, 25_000)
    },
  }
}

/** Our program as that host starts it, on that configuration. */
function gatehouse(kind: Kind, configuration: object, flags = ''): Host {
  writeFileSync(
    folder.file('extauth.yml'),
    JSON.stringify({ host_kind: kind, throttle: 0, ...configuration }),
  )
  return startHost(kind, `${programs.extauth} --config ${folder.file('extauth.yml')} ${flags}`)
}

const own = { backends: { own: { type: 'sqlite', file: 'a.sqlite', password_format: 'plain' } } }

/** A web application that never answers. */
async function silentWeb(): Promise<{ url: string; server: Server }> {
  const server = createServer(() => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server }
}

describePeer(['ejabberd', 'python3'], 'a host of the older kind', () => {
  describe.each(['ejabberd-old', 'mongooseim'] as const)('%s', (kind) => {
    test('gets yes and no for what it asks, whatever the words', async () => {
      const host = gatehouse(kind, { backends: { own: { type: 'sqlite', file: 'a.sqlite' } } })
      const odd = Buffer.concat([Buffer.from('a:b €\n'), Buffer.from([0xff, 0xfe, 0x80])])
      expect(await host.call('tryregister', 'ann', odd)).toBe('true')
      expect(await host.call('isuser', 'ann')).toBe('true')
      expect(await host.call('auth', 'ann', odd)).toBe('true')
      expect(await host.call('auth', 'ann', odd.subarray(0, -1))).toBe('false')
      expect(await host.call('auth', 'ann')).toBe('false')
      expect(await host.call('auth', '', 'x')).toBe('false')
      expect(await host.call('auth', 'ann', 'x'.repeat(65_000))).toBe('false')
      expect(await host.call('setpass', 'bob', 'x')).toBe('false')
      expect(await host.call('setpass', 'ann', 'new')).toBe('true')
      expect(await host.call('auth', 'ann', 'new')).toBe('true')
      expect(await host.call('tryregister', 'ann', 'other')).toBe('false')
      expect(await host.call('removeuser', 'ann')).toBe('true')
      expect(await host.call('isuser', 'ann')).toBe('false')
      const many = Array.from({ length: 1_500 }, (_, n) => host.call('isuser', `user${n}`))
      expect(new Set(await Promise.all(many))).toEqual(new Set(['false']))
    })

    test('keeps its program through outages, and what is late is nobody’s answer', async () => {
      const { url, server } = await silentWeb()
      try {
        writeFileSync(folder.file('text.sqlite'), 'no database. '.repeat(300))
        const host = gatehouse(kind, {
          hosts: { 'lab.test': { chain: ['broken', 'silent'] } },
          backends: {
            broken: { type: 'sqlite', file: 'text.sqlite' },
            silent: { type: 'http', url },
          },
        })
        const pids = await host.pids()
        // Our deadline of 8 seconds is before theirs of 10.
        expect(await host.call('auth', 'ann', 'secret')).toBe('false')
        expect(await host.call('isuser', 'ann')).toBe('false')
        writeFileSync(folder.file('extauth.yml'), JSON.stringify({ host_kind: kind, ...own }))
        process.kill(Number(/\d+/.exec(pids)?.[0]), 'SIGHUP')
        await until(
          'the other configuration',
          async () => (await host.call('tryregister', 'ann', 'secret')) === 'true',
        )
        expect(await host.call('auth', 'ann', 'secret')).toBe('true')
        expect(await host.call('auth', 'ann', 'Secret')).toBe('false')
        expect(await host.pids()).toBe(pids)
        expect(host.running.lines).not.toContain('late')
      } finally {
        server.closeAllConnections()
        server.close()
      }
    })

    test('keeps it while the database is locked for longer than it waits, and no change is told that was not made', async () => {
      const host = gatehouse(kind, own)
      expect(await host.call('tryregister', 'ann', 'secret')).toBe('true')
      const pids = await host.pids()
      const db = new Sqlite(folder.file('a.sqlite'))
      db.exec('BEGIN IMMEDIATE')
      const change = host.call('setpass', 'ann', 'other')
      expect(await host.call('auth', 'ann', 'secret')).toBe('true')
      expect(await change).toBe('false')
      await delay(1_000)
      db.exec('COMMIT')
      db.close()
      expect(await host.call('auth', 'ann', 'secret')).toBe('true')
      expect(await host.call('setpass', 'ann', 'other')).toBe('true')
      expect(await host.pids()).toBe(pids)
    })

    test('starts it anew when it is killed while nothing is asked', async () => {
      const host = gatehouse(kind, own)
      expect(await host.call('tryregister', 'ann', 'secret')).toBe('true')
      const pids = await host.pids()
      for (let round = 0; round < 5; round++) {
        const killed = await host.pids()
        process.kill(Number(/\d+/.exec(killed)?.[0]), 'SIGKILL')
        await until('another program', async () => !['pids [none]', killed].includes(await host.pids()))
        expect(await host.call('auth', 'ann', 'Secret')).toBe('false')
        expect(await host.call('auth', 'ann', 'secret')).toBe('true')
      }
      expect(await host.pids()).not.toBe(pids)
    })

    test('never gets an error frame, however it is asked for', async () => {
      for (const flags of [
        '',
        '--failure-reply error-frame',
        `--host-kind ${kind} --failure-reply error-frame`,
      ]) {
        writeFileSync(folder.file('a.sqlite'), 'no database. '.repeat(300))
        const host = gatehouse(kind, own, flags)
        for (const op of ['auth', 'isuser', 'tryregister', 'removeuser'])
          expect([flags, op, await host.call(op, 'ann', 'secret')]).toEqual([flags, op, 'false'])
        expect(await host.pids()).not.toMatch(/none/)
      }
    })
  })

  test('is hung by a program that answers anything else: that is what these are about', async () => {
    const host = startHost('mongooseim', `perl ${root}/fixtures/extauth-programs/naughty.pl`)
    expect(await host.call('auth', 'ann', 'yes')).toBe('true')
    const lost = host.call('auth', 'ann', 'neither').catch(() => 'nobody answers')
    await until('the loss', () =>
      /crash|function_clause|no function clause/.test(host.running.lines.join('\n')),
    )
    expect(await host.call('auth', 'ann', 'yes')).toBe('crash')
    host.running.child.kill('SIGKILL')
    expect(await lost).toBe('nobody answers')
  })
})
