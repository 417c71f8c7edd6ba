/**
 * A real ejabberd while things break: a locked database, a directory that is away, a program that is killed, a configuration
 * with mistakes. Nobody gets in with a wrong password, and afterwards all is well without anybody touching ejabberd.
 */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { beforeAll, expect, test } from 'vitest'
import { until } from '../harness/deadline.ts'
import { type Ejabberd, startEjabberd } from '../harness/ejabberd.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { run } from '../harness/process.ts'
import { type Slapd, startSlapd } from '../harness/slapd.ts'
import { command, login, processesWith } from './ejabberd-lab.ts'

const own = 'own.test'
const directory = 'directory.test'

describePeer(['ejabberd', 'slapd'], 'ejabberd in trouble', () => {
  let folder: Folder
  let slapd: Slapd
  let ejabberd: Ejabberd

  beforeAll(async () => {
    folder = temporaryFolder('trouble')
    slapd = await startSlapd()
    mkdirSync(folder.file('bin'))
    symlinkSync(process.execPath, folder.file('bin/node'))
    // ejabberd starts with a configuration that has mistakes (H1).
    writeFileSync(folder.file('extauth.yml'), 'backend: {}\n')
    ejabberd = await startEjabberd({
      host: own,
      otherHosts: [directory],
      api: true,
      yaml: [
        'auth_method: external',
        `extauth_program: "env PATH=${folder.file('bin')}:/usr/bin:/bin ${programs.extauth} --config ${folder.file('extauth.yml')} --failure-reply error-frame"`,
        'extauth_pool_name: gatehouse',
        'extauth_pool_size: 2',
        'auth_use_cache: false',
      ],
    })
    return async () => {
      await ejabberd.stop()
      await slapd.remove()
      folder.remove()
    }
  })

  const processes = () => processesWith(folder.file('extauth.yml'))

  function configure(): void {
    writeFileSync(
      folder.file('extauth.yml'),
      JSON.stringify({
        deadline: 2,
        refused_setpass: 'error-frame',
        hosts: { [own]: { chain: ['own'] }, [directory]: { chain: ['directory'] } },
        backends: {
          own: { type: 'sqlite', file: 'a.sqlite', password_format: 'scram' },
          directory: { type: 'ldap', ...slapd.options },
        },
      }),
    )
  }

  test('a configuration with mistakes ends no process; once it is right, logins work', {
    timeout: 40_000,
  }, async () => {
    const before = await until('two processes', () => {
      const now = processes()
      return now.length === 2 ? now : undefined
    })
    expect(await login(ejabberd, `ann@${own}`, 'secret')).not.toBe('in')
    configure()
    const account = [`ann@${own}`, '--config', folder.file('extauth.yml')]
    expect((await run(programs.extauth, ['account', 'add', ...account], { input: 'secret\n' })).code).toBe(0)
    await until('a login', async () => (await login(ejabberd, `ann@${own}`, 'secret')) === 'in', 25_000)
    expect(await login(ejabberd, `ann@${own}`, 'Secret')).toBe('not-authorized')
    // Each process reads the file again in its own time.
    await until('both processes', async () => {
      const all = Array.from({ length: 6 }, () => login(ejabberd, `alice@${directory}`, 'wonder:land'))
      return (await Promise.all(all)).every((answer) => answer === 'in')
    })
    expect(processes()).toEqual(before)
  })

  test('a database in which somebody else holds the lock: logins go on, changes are not made and not told as made', {
    timeout: 40_000,
  }, async () => {
    const db = new Sqlite(folder.file('a.sqlite'))
    db.exec('BEGIN IMMEDIATE')
    expect(await login(ejabberd, `ann@${own}`, 'secret')).toBe('in')
    expect(await login(ejabberd, `ann@${own}`, 'Secret')).toBe('not-authorized')
    const change = { user: 'ann', host: own, newpass: 'other' }
    expect(await command(ejabberd, 'change_password', change)).not.toBe(0)
    db.exec('COMMIT')
    db.close()
    expect(await login(ejabberd, `ann@${own}`, 'secret')).toBe('in')
    expect(await login(ejabberd, `ann@${own}`, 'other')).toBe('not-authorized')
    expect(await command(ejabberd, 'change_password', change)).toBe(0)
    expect(await login(ejabberd, `ann@${own}`, 'other')).toBe('in')
    expect(await command(ejabberd, 'change_password', { ...change, newpass: 'secret' })).toBe(0)
  })

  test('a password that the directory does not let us change is not told as changed (H3)', async () => {
    const alice = { user: 'alice', host: directory, newpass: 'other' }
    expect(await command(ejabberd, 'change_password', alice)).not.toBe(0)
    expect(await login(ejabberd, `alice@${directory}`, 'wonder:land')).toBe('in')
    expect(await login(ejabberd, `alice@${directory}`, 'other')).toBe('not-authorized')
  })

  // ejabberd 23.01 tells its client not-authorized also when it was told that nobody knows.
  test('a directory that is away, and one that hangs', { timeout: 40_000 }, async () => {
    await slapd.stop()
    expect(await login(ejabberd, `alice@${directory}`, 'wonder:land')).toBe('not-authorized')
    expect(await login(ejabberd, `alice@${directory}`, 'Wonder:land')).toBe('not-authorized')
    expect(await login(ejabberd, `ann@${own}`, 'secret')).toBe('in')
    expect(ejabberd.log()).toMatch(/unexpected_response/)
    await slapd.start()
    await until('a login', async () => (await login(ejabberd, `alice@${directory}`, 'wonder:land')) === 'in')
    slapd.pause()
    expect(await login(ejabberd, `alice@${directory}`, 'Wonder:land')).toBe('not-authorized')
    slapd.resume()
    await until('a login', async () => (await login(ejabberd, `alice@${directory}`, 'wonder:land')) === 'in')
    expect(await login(ejabberd, `alice@${directory}`, 'Wonder:land')).toBe('not-authorized')
  })

  test('processes that are killed at random', { timeout: 90_000 }, async () => {
    let isOver = false
    const seen = { right: new Set<string>(), wrong: new Set<string>() }
    const clients = (['right', 'wrong'] as const).map(async (which) => {
      const password = which === 'right' ? 'secret' : 'Secret'
      while (!isOver) seen[which].add(await login(ejabberd, `ann@${own}`, password))
    })
    let killed = 0
    while (killed < 20) {
      const [pid] = processes().sort(() => Math.random() - 0.5)
      if (pid !== undefined) {
        process.kill(pid, 'SIGKILL')
        killed++
      }
      await delay(Math.random() * 400)
    }
    isOver = true
    await Promise.all(clients)
    // With a process dying under it, a login may fail; it never succeeds with a wrong password.
    expect(seen.wrong).not.toContain('in')
    await until('two processes', () => processes().length === 2)
    for (let i = 0; i < 6; i++) {
      expect(await login(ejabberd, `ann@${own}`, 'secret')).toBe('in')
      expect(await login(ejabberd, `ann@${own}`, 'Secret')).toBe('not-authorized')
    }
  })

  test('passwords that do not fit into a frame cost ejabberd its workers, and nobody anything else', {
    timeout: 40_000,
  }, async () => {
    const longest = 65_535 - Buffer.byteLength(`auth:ann:${own}:`)
    expect(await login(ejabberd, `ann@${own}`, 'x'.repeat(longest))).toBe('not-authorized')
    for (let i = 0; i < 4; i++) {
      expect(await login(ejabberd, `ann@${own}`, 'x'.repeat(longest + 1))).not.toBe('in')
    }
    await until('a login', async () => (await login(ejabberd, `ann@${own}`, 'secret')) === 'in')
    await until('two processes', () => processes().length === 2)
    expect(await login(ejabberd, `ann@${own}`, 'Secret')).toBe('not-authorized')
  })

  test('a node that ends at once: logins are answered again when it is repaired (H1)', {
    timeout: 60_000,
  }, async () => {
    const isUnder = (count: number) => () => processes().length === count
    rmSync(folder.file('bin/node'))
    writeFileSync(folder.file('bin/node'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    for (const pid of processes()) process.kill(pid, 'SIGKILL')
    await until('no process', isUnder(0))
    // Forty starts without a pause, for which ejabberd gives up, would be over in a second.
    await delay(5000)
    rmSync(folder.file('bin/node'))
    symlinkSync(process.execPath, folder.file('bin/node'))
    await until('a login', async () => (await login(ejabberd, `ann@${own}`, 'secret')) === 'in', 20_000)
    await until('two processes', isUnder(2))
    expect(await login(ejabberd, `ann@${own}`, 'Secret')).toBe('not-authorized')
  })

  test('at the end of ejabberd no process is left', { timeout: 20_000 }, async () => {
    await ejabberd.stop()
    await until('the end of all processes', () => processes().length === 0)
  })
})
