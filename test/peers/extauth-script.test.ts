/** The server asks an external authentication program: an administrator's own Python script. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { type LoginOptions, TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { peerFixtures } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Server, startServer } from '../harness/server.ts'

describePeer('python3', "gatehouse with an administrator's own extauth script", () => {
  let folder: Folder
  let server: Server

  beforeAll(async () => {
    folder = temporaryFolder('script')
    server = await startServer({
      config: {
        auth_method: 'external',
        extauth_program: `${findProgram('python3')} ${peerFixtures}/extauth.py ${folder.file('db')}`,
        extauth_pool_size: 2,
      },
    })
    return async () => {
      expect(await server.stop()).toBe(0)
      folder.remove()
    }
  })

  async function login(
    user: string,
    password: string,
    more: Partial<LoginOptions> = {},
  ): Promise<TestClient> {
    return await TestClient.login({ port: server.port, user, password, ...more })
  }

  test('an account of the script logs in; others are told no more than that it was wrong', async () => {
    expect(await server.must('register_identified', 'dave', 'localhost', 'with:colons: €')).toContain(
      'successfully registered',
    )
    const dave = await login('dave', 'with:colons: €')
    // A program cannot do SCRAM, so nothing else may be offered (server-behaviour §6).
    const probe = await TestClient.connect({ port: server.tlsPort, tls: 'direct' })
    await probe.open()
    expect(probe.mechanisms).toEqual(['PLAIN'])
    await probe.close()
    await expect(login('dave', 'with')).rejects.toMatchObject({ condition: 'not-authorized' })
    await expect(login('nobody', 'with:colons: €')).rejects.toMatchObject({ condition: 'not-authorized' })
    await dave.close()
  })

  test('accounts are changed and removed through the script', async () => {
    await server.must('register_identified', 'erin', 'localhost', 'one')
    expect(await server.must('check_account', 'erin', 'localhost')).toBe('User erin@localhost exists')
    await server.must('change_password', 'erin', 'localhost', 'two')
    await expect(login('erin', 'one')).rejects.toMatchObject({ condition: 'not-authorized' })
    await (await login('erin', 'two')).close()
    await server.must('unregister', 'erin', 'localhost')
    expect(await server.ctl(['check_account', 'erin', 'localhost'])).toMatchObject({ code: 1 })
    await expect(login('erin', 'two')).rejects.toMatchObject({ condition: 'not-authorized' })
  })

  test('a script that cannot answer is an outage, never a wrong password, and passes', async () => {
    await server.must('register_identified', 'fay', 'localhost', 'pw')
    writeFileSync(`${folder.file('db')}.down`, '')
    await expect(login('fay', 'pw')).rejects.toMatchObject({ condition: 'temporary-auth-failure' })
    await expect(login('fay', 'wrong')).rejects.toMatchObject({ condition: 'temporary-auth-failure' })
    expect(await server.ctl(['check_account', 'fay', 'localhost'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^Error: /),
    })
    rmSync(`${folder.file('db')}.down`)
    const fay = await until(
      'a login after the outage',
      () => login('fay', 'pw').catch(() => undefined),
      15_000,
    )
    await fay.close()
  })

  test('a killed script is started again', async () => {
    await server.must('register_identified', 'gil', 'localhost', 'pw')
    const workers = () =>
      readdirSync('/proc').flatMap((name) => {
        try {
          return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`\0${folder.file('db')}\0`)
            ? [Number(name)]
            : []
        } catch {
          return [] // it ended meanwhile, or is no process
        }
      })
    const killed = workers()
    expect(killed).not.toEqual([])
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    const gil = await until('a login after the kill', () => login('gil', 'pw').catch(() => undefined), 15_000)
    await gil.close()
    await expect(login('gil', 'wrong')).rejects.toMatchObject({ condition: 'not-authorized' })
    expect(workers().filter((pid) => killed.includes(pid))).toEqual([])
  })
})
