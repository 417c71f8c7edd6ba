/** service_prometheus, as those who ask see it. */
import { writeFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { freePorts } from '../harness/ports.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let server: ServerInPlace
let port = 0

async function started(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const [free = 0] = await freePorts(1)
  port = free
  server = await serverInPlace({
    services: { service_admin_extra: {}, service_prometheus: { port, ...options } },
  })
}
afterEach(() => server.stop())

async function get(path: string, method = 'GET') {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
  return { status: response.status, text: await response.text(), type: response.headers.get('content-type') }
}

async function value(metric: string): Promise<string | undefined> {
  const { text } = await get('/metrics')
  return text
    .split('\n')
    .find((line) => line.startsWith(`${metric} `))
    ?.slice(metric.length + 1)
}

test('counts sessions, stanzas by kind, logins by result, and what is written', async () => {
  await started()
  await server.ctl(['register', 'alice', 'localhost', 'pw'])
  const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
  await expect(TestClient.login({ port: server.port, user: 'alice', password: 'wrong' })).rejects.toThrow()
  alice.message('alice@localhost', 'to myself')
  await alice.waitFor('message')
  expect(await value('gatehouse_sessions{host="localhost"}')).toBe('1')
  expect(await value('gatehouse_registered_users{host="localhost"}')).toBe('1')
  expect(Number(await value('gatehouse_stanzas_total{kind="message"}'))).toBe(1)
  expect(Number(await value('gatehouse_stanzas_total{kind="presence"}'))).toBeGreaterThan(0)
  const ok = 'gatehouse_logins_total{host="localhost",mechanism="SCRAM-SHA-256",result="ok"}'
  expect(await value(ok)).toBe('1')
  expect(await value(ok.replace('"ok"', '"not-authorized"'))).toBe('1')
  expect(Number(await value('gatehouse_storage_write_seconds_count'))).toBeGreaterThan(0)
  expect(await value('gatehouse_storage_waiting')).toBe('0')
  const { text, type } = await get('/metrics')
  expect(type).toMatch(/^text\/plain; version=0\.0\.4/)
  for (const name of ['nodejs_eventloop_lag_seconds', 'process_resident_memory_bytes']) {
    expect(text).toContain(`\n${name} `)
  }
  // Nobody's name or address is among the numbers.
  expect(text).not.toContain('alice')
  alice.destroy()
})

test('says whether it lives and is ready, and nothing else', async () => {
  await started({ path: '/numbers' })
  expect(await get('/health')).toEqual({ status: 200, text: '{"status":"ok"}\n', type: 'application/json' })
  expect(await get('/ready')).toMatchObject({ status: 200, text: '{"status":"ready"}\n' })
  expect((await get('/numbers?x')).status).toBe(200)
  expect(await get('/metrics')).toMatchObject({
    status: 404,
    text: 'There are: /numbers, /health, /ready\n',
  })
  expect((await get('/toString')).status).toBe(404)
  expect((await get('/health', 'POST')).status).toBe(405)
  expect((await get('/health', 'HEAD')).text).toBe('')
})

test('counts logins of hosts that come later, and ends with the service', async () => {
  await started()
  const services = { service_admin_extra: {}, service_prometheus: { port } }
  server.configure({ hosts: ['localhost', 'shop.example'], services })
  await server.ctl(['reload_config'])
  await server.ctl(['register', 'bob', 'shop.example', 'pw'])
  const bob = await TestClient.login({
    port: server.port,
    domain: 'shop.example',
    user: 'bob',
    password: 'pw',
  })
  const metric = 'gatehouse_logins_total{host="shop.example",mechanism="SCRAM-SHA-256",result="ok"}'
  expect(await value(metric)).toBe('1')
  bob.destroy()
  server.configure({ hosts: ['localhost'], services: { service_admin_extra: {} } })
  await server.ctl(['reload_config'])
  await expect(get('/health')).rejects.toThrow()
})

test('counts handlers of modules that fail', async () => {
  await started()
  writeFileSync(
    server.folder.file('broken.js'),
    `export default { name: 'mod_broken', doc: 'Breaks', options: {},
      start(host) { host.hook('user_send_packet', () => { throw new Error('broken') }) } }`,
  )
  server.configure({
    services: { service_admin_extra: {}, service_prometheus: { port } },
    external_modules: { mod_broken: 'broken.js' },
    modules: { mod_broken: {} },
  })
  expect(await server.ctl(['reload_config'])).toMatchObject({ code: 0 })
  await server.ctl(['register', 'alice', 'localhost', 'pw'])
  const alice = await TestClient.login({
    port: server.port,
    user: 'alice',
    password: 'pw',
    available: false,
  })
  const metric = 'gatehouse_hook_failures_total{hook="user_send_packet",module="mod_broken"}'
  expect(await value(metric)).toBeUndefined()
  for (let n = 0; n < 15; n++) alice.message(alice.jid, 'all the same')
  for (let n = 0; n < 15; n++) await alice.waitFor('message')
  expect(await value(metric)).toBe('15')
  alice.destroy()
})

test('external programs are counted, and a port that is taken is a sentence', async () => {
  await started()
  const taken = await serverInPlace({ services: { service_prometheus: { port } } }).catch(
    (error: Error) => error,
  )
  expect(taken).toBeInstanceOf(Error)
  expect((taken as Error).message).toContain(
    `service_prometheus did not start: port ${port} on 127.0.0.1 cannot be opened: another program has it`,
  )
  server.configure({
    services: { service_prometheus: { port } },
    auth_method: 'external',
    extauth_program: 'cat',
    extauth_pool_size: 3,
  })
  await server.ctl(['reload_config'])
  const metric = 'gatehouse_auth_requests{host="localhost",backend="external",state="running"}'
  expect(await value(metric)).toBe('3')
})
