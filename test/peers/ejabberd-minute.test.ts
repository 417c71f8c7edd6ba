/**
 * A bad minute of a real ejabberd: all the time somebody holds the lock of the database, the directory is stopped and started,
 * and processes of the pool are killed at random, fifty at least. What was answered holds, and afterwards nobody has to touch
 * ejabberd.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { beforeAll, expect, test } from 'vitest'
import { until } from '../harness/deadline.ts'
import { type Ejabberd, startEjabberd } from '../harness/ejabberd.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Slapd, startSlapd } from '../harness/slapd.ts'
import { command, login, processesWith } from './ejabberd-lab.ts'

const own = 'own.test'
const directory = 'directory.test'
const minute = 60_000
const kills = 50

/** False when it has ended by itself since it was looked for. */
function endAtOnce(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

describePeer(['ejabberd', 'slapd'], 'a bad minute of ejabberd', () => {
  let folder: Folder
  let slapd: Slapd
  let ejabberd: Ejabberd

  beforeAll(async () => {
    folder = temporaryFolder('minute')
    slapd = await startSlapd()
    writeFileSync(
      folder.file('extauth.yml'),
      JSON.stringify({
        failure_reply: 'error-frame',
        deadline: 2,
        throttle: 0,
        hosts: { [own]: { chain: ['own'] }, [directory]: { chain: ['directory'] } },
        backends: {
          own: { type: 'sqlite', file: 'a.sqlite', password_format: 'scram' },
          directory: { type: 'ldap', ...slapd.options },
        },
      }),
    )
    ejabberd = await startEjabberd({
      host: own,
      otherHosts: [directory],
      api: true,
      yaml: [
        'auth_method: external',
        `extauth_program: "${programs.extauth} --config ${folder.file('extauth.yml')}"`,
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

  test('tells nobody anything that is not so', { timeout: 3 * minute }, async () => {
    const ann = { user: 'ann', host: own }
    expect(await command(ejabberd, 'register', { ...ann, password: 'secret' })).toMatch(/registered/)
    expect(await login(ejabberd, `alice@${directory}`, 'wonder:land')).toBe('in')

    let isOver = false
    const answers = new Map<string, Map<unknown, number>>()
    /** Asks again and again, and counts the answers. */
    const asking = async (what: string, ask: () => Promise<unknown>) => {
      const seen = new Map<unknown, number>()
      answers.set(what, seen)
      while (!isOver) {
        const answer = await ask()
        seen.set(answer, (seen.get(answer) ?? 0) + 1)
        await delay(20)
      }
    }
    const killing = async () => {
      let killed = 0
      while (!isOver || killed < kills) {
        const [pid] = processes().sort(() => Math.random() - 0.5)
        if (pid !== undefined && endAtOnce(pid)) killed++
        await delay(Math.random() * ((2 * minute) / kills) * 0.8)
      }
      return killed
    }
    const restarting = async () => {
      while (!isOver) {
        await delay(3_000)
        await slapd.stop()
        await delay(3_000)
        await slapd.start()
      }
    }
    const db = new Sqlite(folder.file('a.sqlite'))
    db.exec('BEGIN IMMEDIATE')
    const all = [
      asking('ann, right', () => login(ejabberd, `ann@${own}`, 'secret')),
      asking('ann, wrong', () => login(ejabberd, `ann@${own}`, 'Secret')),
      asking('alice, right', () => login(ejabberd, `alice@${directory}`, 'wonder:land')),
      asking('alice, wrong', () => login(ejabberd, `alice@${directory}`, 'Wonder:land')),
      asking('a change', () => command(ejabberd, 'change_password', { ...ann, newpass: 'other' })),
      asking('a registration', () =>
        command(ejabberd, 'register', { user: 'bob', host: own, password: 'x' }),
      ),
    ]
    const [killed] = await Promise.all([
      killing(),
      restarting(),
      delay(minute).then(() => {
        isOver = true
      }),
      ...all,
    ])
    db.exec('COMMIT')
    db.close()

    expect(killed).toBeGreaterThanOrEqual(kills)
    for (const who of ['ann', 'alice']) {
      expect([...(answers.get(`${who}, wrong`)?.keys() ?? [])]).not.toContain('in')
      expect(answers.get(`${who}, right`)?.get('in')).toBeGreaterThan(0)
    }
    // Nothing can have been written, so nobody may have been told so.
    expect([...(answers.get('a change')?.keys() ?? [])]).not.toContain(0)
    expect([...(answers.get('a registration')?.keys() ?? [])].join()).not.toMatch(/success/)

    await until('two processes', () => processes().length === 2)
    await until(
      'the directory',
      async () => (await login(ejabberd, `alice@${directory}`, 'wonder:land')) === 'in',
    )
    for (let round = 0; round < 4; round++) {
      expect(await login(ejabberd, `ann@${own}`, 'secret')).toBe('in')
      expect(await login(ejabberd, `ann@${own}`, 'other')).toBe('not-authorized')
      expect(await login(ejabberd, `alice@${directory}`, 'Wonder:land')).toBe('not-authorized')
      expect(await command(ejabberd, 'check_account', { user: 'bob', host: own })).toBe(1)
    }
    expect(await command(ejabberd, 'change_password', { ...ann, newpass: 'other' })).toBe(0)
    expect(await login(ejabberd, `ann@${own}`, 'other')).toBe('in')
    expect(await command(ejabberd, 'register', { user: 'bob', host: own, password: 'x' })).toMatch(/success/)
  })
})
