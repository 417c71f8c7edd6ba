/** Debian's ejabberd asks gatehouse-extauth, and a real client logs in. */
import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { until } from '../harness/deadline.ts'
import { type Ejabberd, startEjabberd } from '../harness/ejabberd.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { startPython } from '../harness/python.ts'

describePeer(['ejabberd', 'slixmpp'], 'ejabberd with gatehouse-extauth', () => {
  let folder: Folder
  let ejabberd: Ejabberd

  beforeAll(async () => {
    folder = temporaryFolder('accounts')
    ejabberd = await startEjabberd({
      host: 'lab.test',
      yaml: [
        'auth_method: external',
        `extauth_program: "${programs.extauth} --sqlite ${folder.file('accounts.sqlite')}"`,
        'extauth_pool_size: 1',
        'auth_use_cache: false',
      ],
    })
    return async () => {
      await ejabberd.stop()
      folder.remove()
    }
  })

  /** What a real client is told: `session`, or the condition of the refusal. */
  async function login(user: string, password: string): Promise<string> {
    const args = [
      `${user}@lab.test/test`,
      '127.0.0.1',
      String(ejabberd.port),
      '--clear',
      '--mechanism',
      'PLAIN',
    ]
    const client = startPython('slixmpp_client.py', args, password)
    try {
      // the client may end before the other event is given up
      return await Promise.any([
        client.event('session').then(() => 'session'),
        client.event('failed-auth').then((event) => String(event['condition'])),
      ])
    } finally {
      await client.stop()
    }
  }

  /** The processes of the program, found among all processes by the name of this suite's database. */
  function workers(): number[] {
    return readdirSync('/proc').flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
        return command.includes(folder.file('accounts.sqlite')) ? [Number(name)] : []
      } catch {
        return [] // it ended meanwhile, or is no process
      }
    })
  }

  test('an account is made, checked, changed and removed with ejabberdctl', async () => {
    expect(await ejabberd.ctl('check_account', 'bob', 'lab.test')).toMatchObject({ code: 1 })
    expect(await ejabberd.ctl('register', 'bob', 'lab.test', 'first: with colon')).toMatchObject({ code: 0 })
    expect(await ejabberd.ctl('register', 'bob', 'lab.test', 'other')).toMatchObject({ code: 1 })
    expect(await ejabberd.ctl('check_account', 'bob', 'lab.test')).toMatchObject({ code: 0 })
    expect(await ejabberd.ctl('check_password', 'bob', 'lab.test', 'first: with colon')).toMatchObject({
      code: 0,
    })
    expect(await ejabberd.ctl('check_password', 'bob', 'lab.test', 'other')).toMatchObject({ code: 1 })
    expect(await ejabberd.ctl('change_password', 'bob', 'lab.test', 'second')).toMatchObject({ code: 0 })
    expect(await ejabberd.ctl('check_password', 'bob', 'lab.test', 'second')).toMatchObject({ code: 0 })
    expect(await ejabberd.ctl('check_password', 'bob', 'lab.test', 'first: with colon')).toMatchObject({
      code: 1,
    })
    expect(await ejabberd.ctl('unregister', 'bob', 'lab.test')).toMatchObject({ code: 0 })
    expect(await ejabberd.ctl('check_account', 'bob', 'lab.test')).toMatchObject({ code: 1 })
    expect(await ejabberd.ctl('check_password', 'bob', 'lab.test', 'second')).toMatchObject({ code: 1 })
  }, 150_000)

  test('a real client logs in with the right password, and only with that', async () => {
    expect(await ejabberd.ctl('register', 'alice', 'lab.test', 'grün: €')).toMatchObject({ code: 0 })
    expect(await login('alice', 'grün: €')).toBe('session')
    expect(await login('alice', 'wrong')).toBe('not-authorized')
    expect(await login('nobody', 'grün: €')).toBe('not-authorized')
    expect(await login('ALICE', 'grün: €')).toBe('session')
  }, 150_000)

  test('ejabberd survives the program being killed', async () => {
    expect(await ejabberd.ctl('register', 'carol', 'lab.test', 'pw')).toMatchObject({ code: 0 })
    const before = workers()
    expect(before).not.toEqual([])
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await until('a new process of the program', () => workers().some((pid) => !before.includes(pid)))
    expect(await login('carol', 'pw')).toBe('session')
    expect(await login('carol', 'wrong')).toBe('not-authorized')
    expect(ejabberd.log()).not.toContain('unexpected_response')
  }, 150_000)
})
