/** Starting and stopping: every mistake is a sentence, and who stops the server takes nothing from anybody. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { run } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child } from '../harness/stanza.ts'

const folders: Folder[] = []
const servers: Server[] = []
function folder(): Folder {
  const made = temporaryFolder('start')
  folders.push(made)
  return made
}
async function started(...args: Parameters<typeof startServer>): Promise<Server> {
  const server = await startServer(...args)
  servers.push(server)
  return server
}
afterAll(async () => {
  for (const server of servers.splice(0)) await server.kill()
  for (const one of folders.splice(0)) one.remove()
})

/** Runs gatehouse with this configuration until it gives up. */
async function refused(
  config: Record<string, unknown>,
  where = folder(),
): Promise<{ code: number | null; stderr: string }> {
  const file = where.file('other.yml')
  writeFileSync(
    file,
    JSON.stringify({
      hosts: ['localhost'],
      data_dir: where.file('data'),
      listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s' }],
      control: [{ path: where.file('other.sock') }],
      ...config,
    }),
  )
  return run(process.execPath, [programs.gatehouse, '--config', file], { cwd: where.path, ms: 15_000 })
}

/** What the log says last. */
function sentence(stderr: string): string {
  const [last = ''] = stderr.trim().split('\n').slice(-1)
  return (JSON.parse(last) as { msg: string }).msg
}

describe.concurrent('SIGTERM', () => {
  it('tells every client, loses nothing that was sent before, and ends with 0', async () => {
    const where = folder()
    const server = await started({ folder: where })
    for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
    const { port } = server
    const alice = await TestClient.login({ port, user: 'alice', password: 'pw' })
    const waiting = await TestClient.connect({ port })
    await waiting.open()
    const silent = await TestClient.connect({ port })
    for (let n = 0; n < 100; n++) alice.message('bob@localhost', `${n}`)
    await alice.settled()
    const stopping = server.stop()
    for (const client of [alice, waiting]) {
      expect((await client.streamError()).condition).toBe('system-shutdown')
      await client.closed()
    }
    await silent.closed()
    expect(await stopping).toBe(0)
    expect(existsSync(server.socket)).toBe(false)
    expect(server.log()).not.toMatch(/"level":"(error|fatal)"/)

    const again = await started({ folder: where })
    const bob = await TestClient.login({ port: again.port, user: 'bob', password: 'pw' })
    const bodies = (await bob.settled())
      .map((one) => child(one, 'body')?.text)
      .filter((text) => text !== undefined)
    expect(bodies).toEqual(Array.from({ length: 100 }, (_, n) => `${n}`))
    await bob.close()
  })

  it('does not wait for a client that never closes', async () => {
    const server = await started({ config: { close_timeout: '500ms' } })
    await server.must('register_identified', 'alice', 'localhost', 'pw')
    const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
    alice.pause()
    expect(await server.stop()).toBe(0)
  })

  it('accepts nobody while it goes down', async () => {
    const server = await started()
    await server.stop()
    const answer = await new Promise((resolve) => {
      const socket = connect({ port: server.port, host: '127.0.0.1' })
      socket.once('connect', () => resolve('connected'))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    })
    expect(answer).toBe('ECONNREFUSED')
  })
})

describe.concurrent('a start that cannot be', () => {
  it('names a port in use, and what to do', async () => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
    const { port } = squatter.address() as { port: number }
    try {
      const { code, stderr } = await refused({ listen: [{ port, ip: '127.0.0.1', module: 'c2s' }] })
      expect(code).toBe(1)
      expect(sentence(stderr)).toBe(
        `did not start: port ${port} on 127.0.0.1 is in use: stop the program that has it, or give another port under listen`,
      )
    } finally {
      squatter.close()
    }
  })

  it('names an address that this machine does not have', async () => {
    const { code, stderr } = await refused({ listen: [{ port: 0, ip: '192.0.2.1', module: 'c2s' }] })
    expect([code, sentence(stderr)]).toEqual([
      1,
      'did not start: port 0 on 192.0.2.1: this machine has no such address',
    ])
  })

  it('names a data folder that it may not use', async () => {
    const where = folder()
    writeFileSync(where.file('data'), 'a file, not a folder')
    const { code, stderr } = await refused({}, where)
    expect(code).toBe(1)
    expect(sentence(stderr)).toContain(`did not start: the data folder ${where.file('data')} cannot be used`)
  })

  // whoever runs the tests as root may write everywhere
  it.skipIf(process.getuid?.() === 0)('names a data folder that it may not write', async () => {
    const where = folder()
    mkdirSync(where.file('locked'))
    chmodSync(where.file('locked'), 0o500)
    const { code, stderr } = await refused({ data_dir: where.file('locked/data') }, where)
    expect(code).toBe(1)
    expect(sentence(stderr)).toContain('this user may not write there')
  })

  it('names a database that is none', async () => {
    const where = folder()
    mkdirSync(where.file('data'))
    writeFileSync(
      where.file('data/gatehouse.sqlite'),
      'this is not a database, it is some text of some length'.repeat(100),
    )
    const { code, stderr } = await refused({}, where)
    expect(code).toBe(1)
    expect(sentence(stderr)).toContain('gatehouse.sqlite')
    expect(sentence(stderr)).toMatch(/^did not start: /)
    // and leaves it as it was
    expect(readFileSync(where.file('data/gatehouse.sqlite'), 'utf8')).toMatch(/^this is not a database/)
  })

  it('names a certificate file that is not there, and every mistake of the configuration at once', async () => {
    const missing = await refused({ certfiles: ['/nowhere/cert.pem'] })
    expect(missing.code).toBe(1)
    expect(missing.stderr).toContain('/nowhere/cert.pem')
    const { code, stderr } = await refused({ hots: ['x'], auth_attempts: 0, max_user_sessions: 'many' })
    expect(code).toBe(1)
    for (const word of ['hots', 'auth_attempts', 'max_user_sessions']) expect(stderr).toContain(word)
  })

  it('leaves nothing running: neither ports nor the control socket', async () => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
    const { port } = squatter.address() as { port: number }
    const where = folder()
    try {
      const listen = [
        { port: 0, ip: '127.0.0.1', module: 'c2s' },
        { port, ip: '127.0.0.1', module: 'c2s' },
      ]
      expect((await refused({ listen }, where)).code).toBe(1)
      expect(existsSync(where.file('other.sock'))).toBe(false)
    } finally {
      squatter.close()
    }
  })
})

describe.concurrent('the control socket', () => {
  it('left over by a server that was killed is taken over', async () => {
    const where = folder()
    const first = await started({ folder: where })
    await first.kill()
    expect(existsSync(first.socket)).toBe(true)
    const second = await started({ folder: where })
    expect(await second.must('registered_users', 'localhost')).toBe('')
    expect(statSync(second.socket).mode & 0o777).toBe(0o600)
    await second.stop()
  })

  it('of a server that runs is not: the second one says so and leaves the first alone', async () => {
    const server = await started()
    const { code, stderr } = await refused({ control: [{ path: server.socket }] })
    expect(code).toBe(1)
    expect(sentence(stderr)).toContain(server.socket)
    expect(await server.must('registered_users', 'localhost')).toBe('')
  })
})

describe.concurrent('a second server', () => {
  it('on the same data folder does not start, also with other ports and another control socket', async () => {
    const where = folder()
    const server = await started({ folder: where })
    const { code, stderr } = await refused({ data_dir: server.dataDir })
    expect(code).toBe(1)
    expect(sentence(stderr)).toContain(server.dataDir)
    expect(sentence(stderr)).toMatch(/another server|runs already|in use/)
    expect(await server.must('registered_users', 'localhost')).toBe('')
    // when the first one was killed, the next start is not kept from it
    await server.kill()
    const again = await started({ folder: where })
    await again.stop()
  })
})
