/** The server as a program: what signals and restarts do to the one process. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { TestClient } from './harness/client.ts'
import { until } from './harness/deadline.ts'
import { type Folder, temporaryFolder } from './harness/folder.ts'
import { programs } from './harness/paths.ts'
import { freePorts } from './harness/ports.ts'
import { run } from './harness/process.ts'
import { type Server, startServer } from './harness/server.ts'

const folders: Folder[] = []
const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill()
  for (const folder of folders.splice(0)) folder.remove()
})

async function started(options: Parameters<typeof startServer>[0]): Promise<Server> {
  const server = await startServer(options)
  servers.push(server)
  return server
}

function changed(file: string, more: Readonly<Record<string, unknown>>): void {
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  writeFileSync(file, JSON.stringify({ ...config, ...more }))
}

test('SIGHUP opens the log file again and puts a changed configuration in place', async () => {
  const folder = temporaryFolder('hangup')
  folders.push(folder)
  const log = folder.file('gatehouse.log')
  const server = await started({ folder, quiet: true, config: { log_file: log, loglevel: 'info' } })
  renameSync(log, `${log}.1`)
  changed(server.configFile, { hosts: ['localhost', 'shop.example'] })
  process.kill(server.pid, 'SIGHUP')
  await until('the new host', async () => (await server.must('registered_vhosts')).includes('shop.example'))
  expect(readFileSync(log, 'utf8')).toContain('"applied":["hosts: shop.example added"]')
  changed(server.configFile, { hosts: [] })
  process.kill(server.pid, 'SIGHUP')
  await until('the complaint', async () => readFileSync(log, 'utf8').includes('nothing was changed'))
  expect(await server.must('registered_vhosts')).toBe('localhost\nshop.example')
})

test('restart starts anew in the same process, with what the configuration says then', async () => {
  const folder = temporaryFolder('restart')
  folders.push(folder)
  const [port = 0] = await freePorts(1)
  const server = await started({ folder, listener: { port } })
  await server.must('register', 'alice', 'localhost', 'pw')
  const alice = await TestClient.login({ port, user: 'alice', password: 'pw' })
  changed(server.configFile, { hosts: ['localhost', 'localhost'] })
  const refused = await server.ctl(['restart'])
  expect({ code: refused.code, last: refused.stdout.trim().split('\n').at(-1) }).toEqual({
    code: 1,
    last: 'Nothing was changed.',
  })
  changed(server.configFile, { hosts: ['localhost', 'shop.example'] })
  await server.must('restart')
  expect((await alice.streamError()).condition).toBe('system-shutdown')
  await until('the new start', async () => {
    const { code, stdout } = await server.ctl(['registered_vhosts'])
    return code === 0 && stdout.includes('shop.example')
  })
  expect(await server.must('status')).toContain(`pid: ${server.pid}`)
  const again = await TestClient.login({ port, user: 'alice', password: 'pw' })
  again.destroy()
  expect(existsSync(server.socket)).toBe(true)
  expect(await server.stop()).toBe(0)
})

test('check counts the accounts that keep SCRAM from being offered, also while the server runs', async () => {
  const folder = temporaryFolder('check')
  folders.push(folder)
  const server = await started({ folder, config: { auth_password_format: 'bcrypt' } })
  const check = async () => {
    const words = [programs.gatehouse, 'check', server.configFile]
    const { stdout } = await run(process.execPath, words)
    return stdout.trim().split('\n').slice(1)
  }
  expect(await check()).toEqual([])
  for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
  changed(server.configFile, { auth_password_format: 'scram' })
  await server.must('reload_config')
  await server.must('register_identified', 'carol', 'localhost', 'pw')
  expect(await check()).toEqual([
    '2 of 3 accounts of localhost have no keys for SCRAM-SHA-256: it is not offered before they have logged in once',
  ])
  const mechanisms = async () => {
    const client = await TestClient.connect({ port: server.tlsPort, tls: 'direct' })
    await client.open()
    client.destroy()
    return client.mechanisms
  }
  expect(await mechanisms()).toEqual(['PLAIN'])
  for (const user of ['alice', 'bob']) {
    const client = await TestClient.login({ port: server.port, user, password: 'pw', mechanism: 'PLAIN' })
    await client.close()
  }
  await until('keys for all', async () => (await mechanisms()).includes('SCRAM-SHA-256'))
  expect(await check()).toEqual([])
})
