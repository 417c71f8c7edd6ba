/** Several hosts on one server: added, changed and removed by command while it runs, and still there after a restart. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child } from '../harness/stanza.ts'

let folder: Folder
let server: Server
beforeEach(async () => {
  folder = temporaryFolder('domains')
  server = await startServer({ folder })
})
afterEach(async () => {
  await server.stop()
  folder.remove()
})

const shop = 'shop.example'

async function restart(config?: Readonly<Record<string, unknown>>): Promise<void> {
  await server.stop()
  server = await startServer(config ? { folder, config } : { folder })
}

function login(user: string, domain = shop, resource = 'r'): Promise<TestClient> {
  return TestClient.login({ port: server.port, domain, user, password: 'pw', resource })
}

async function refused(domain: string): Promise<string> {
  const client = await TestClient.connect({ port: server.port, domain })
  await expect(client.open()).rejects.toThrow()
  return /<stream:error><([a-z-]+)/.exec(client.transcript())?.[1] ?? 'nothing'
}

const said = async (...words: string[]) => {
  const { code, stdout, stderr } = await server.ctl(words)
  return { code, text: `${stdout}${stderr}`.trimEnd() }
}

test('a domain is served from its command on, after a restart too, until it is removed; its accounts stay', async () => {
  expect(await refused(shop)).toBe('host-unknown')
  // the name is what it is prepared to, however it is written
  expect(await said('insert_domain', 'SHOP.example')).toEqual({ code: 0, text: `${shop} is served now` })
  expect(await said('insert_domain', shop)).toEqual({ code: 1, text: `Error: "${shop} is served already"` })
  for (const host of [shop, 'localhost']) await server.must('register', 'alice', host, 'pw')
  const [alice, bob] = [await login('alice'), await login('alice', 'localhost')]
  bob.message(`alice@${shop}`, 'hello')
  expect(child(await alice.waitFor('message'), 'body')?.text).toBe('hello')
  expect(await server.must('list_domains')).toBe(
    'localhost\tconfiguration\t1\t1\nshop.example\tcommand\t1\t1',
  )
  for (const client of [alice, bob]) client.destroy()

  await restart()
  expect(await server.must('registered_vhosts')).toBe('localhost\nshop.example')
  expect(await server.must('reload_config')).toBe('Nothing has changed.')
  const again = await login('alice')
  expect(await said('delete_domain', shop, 'acounts')).toMatchObject({ code: 1 })
  expect(await server.must('delete_domain', shop, '--dry-run')).toBe(
    '1 sessions would end; 1 account would stay in the database',
  )
  expect(await server.must('delete_domain', 'Shop.Example')).toBe(
    `${shop} is not served any more; 1 account of it stay in the database`,
  )
  expect((await again.streamError()).condition).toBe('host-gone')
  expect(await refused(shop)).toBe('host-unknown')

  await restart()
  expect(await server.must('registered_vhosts')).toBe('localhost')
  expect(await server.must('insert_domain', shop)).toBe(
    `${shop} is served now, with the 1 account that it had before`,
  )
  ;(await login('alice')).destroy()
})

test('with "accounts" everything of it goes, and only of it; away from a terminal that needs --yes', async () => {
  await server.must('insert_domain', shop)
  for (const host of [shop, 'localhost']) {
    await server.must('register', 'alice', host, 'pw')
    await server.must('register', 'bob', host, 'pw')
    await server.must('add_rosteritem', 'alice', host, 'bob', host, 'Bob', '', 'both')
    await server.must('add_rosteritem', 'bob', host, 'alice', host, 'Alice', '', 'both')
  }
  const bob = await login('alice', 'localhost')
  bob.message(`bob@${shop}`, 'for later')
  await bob.settled()
  expect((await said('delete_domain', shop, 'accounts')).code).not.toBe(0)
  expect(await server.must('list_domains')).toContain(`${shop}\tcommand\t2`)
  expect(await server.must('delete_domain', shop, 'accounts', '--yes')).toBe(
    `${shop} is gone, with 2 accounts`,
  )
  expect(await server.must('list_domains')).toBe('localhost\tconfiguration\t2\t1')
  await server.must('insert_domain', shop)
  expect(await server.must('registered_users', shop)).toBe('')
  await server.must('register', 'bob', shop, 'pw')
  expect(await server.must('get_roster', 'bob', shop)).toBe('')
  const fresh = await login('bob')
  expect((await fresh.settled()).filter(({ name }) => name === 'message')).toEqual([])
  expect(await server.must('get_roster', 'bob', 'localhost')).toContain('alice@localhost')
  for (const client of [bob, fresh]) client.destroy()
})

test('it has modules, accounts and options of its own', async () => {
  await server.must('insert_domain', shop)
  const options = JSON.stringify({
    modules: { mod_echo: { host: 'mirror.@HOST@' }, mod_disco: { name: 'The shop' } },
    auth_password_format: 'plain',
  })
  expect(await server.must('configure_domain', shop, options)).toBe(`${shop} has these options now`)
  await server.must('register', 'alice', shop, 'pw')
  const check = async () => {
    const alice = await login('alice')
    alice.message(`mirror.${shop}`, 'hello')
    const echoed = await alice.waitFor((stanza) => stanza.attrs['from'] === `mirror.${shop}`)
    expect(child(echoed, 'body')?.text).toBe('hello')
    alice.destroy()
    expect(await server.must('modules', shop)).toMatch(/mod_echo\trunning/)
    expect(await server.must('modules', 'localhost')).toMatch(/mod_echo\tstopped/)
    // only a plain password can be compared with a hash of it
    await server.must('check_password_hash', 'alice', shop, '8fe4c11451281c094a6578e6ddbf5eed', 'md5')
  }
  await check()
  await restart()
  await check()
  expect(await server.must('configure_domain', shop, '{}')).toBe(`${shop} has these options now`)
  expect(await server.must('modules', shop)).toMatch(/mod_echo\tstopped/)
})

describe('what is refused', () => {
  test.each([
    [['insert_domain', 'no domain'], 'Error: ""no domain" is not a host name"'],
    [['insert_domain', 'localhost'], 'Error: "localhost is served already"'],
    [
      ['delete_domain', 'localhost'],
      'Error: "localhost is a host of the configuration: change it there, then run reload_config"',
    ],
    [['delete_domain', shop], `Error: "${shop} was not added by insert_domain"`],
    [['configure_domain', shop, '{}'], `Error: "${shop} was not added by insert_domain"`],
  ] as const)('%j', async (words, sentence) => {
    expect(await said(...words)).toEqual({ code: 1, text: sentence })
  })

  test.each([
    ['{auth_metod: internal}', "auth_metod: unknown option, did you mean 'auth_method'?"],
    ['{modules: {mod_pong: {}}}', "modules.mod_pong: unknown module, did you mean 'mod_ping'?"],
    ['{modules: {mod_echo: {hots: a}}}', "modules.mod_echo.hots: unknown option, did you mean 'host'?"],
    ['{certfiles: cert.pem}', /certfiles: must be an absolute path, not 'cert\.pem'/],
    ['{certfiles: /no/such.pem}', /certfiles.*: \/no\/such\.pem cannot be read/],
    ['{auth_method: external}', /auth_method: 'external' needs the option extauth_program/],
  ] as const)('options %j, and the domain stays as it was', async (options, sentence) => {
    await server.must('insert_domain', shop)
    await server.must('configure_domain', shop, '{modules: {mod_echo: {}}}')
    const { code, text } = await said('configure_domain', shop, options)
    expect(code).toBe(1)
    if (typeof sentence === 'string') expect(text).toContain(sentence)
    else expect(text).toMatch(sentence)
    expect(await server.must('modules', shop)).toMatch(/mod_echo\trunning/)
  })

  test('a module that does not start: the domain is not served, and nothing of it is left', async () => {
    await restart({ modules: { mod_echo: { host: 'echo.localhost' } } })
    const { code, text } = await said('insert_domain', shop)
    expect(code).toBe(1)
    expect(text).toMatch(/mod_echo on shop\.example did not start: echo\.localhost is routed already/)
    expect(await server.must('list_domains')).toBe('localhost\tconfiguration\t0\t0')
    expect(await refused(shop)).toBe('host-unknown')
  })
})

test('one that cannot be served any more holds up nobody, and is mended or taken away by command', async () => {
  await server.must('insert_domain', shop)
  await server.must('configure_domain', shop, '{modules: {mod_echo: {}}}')
  await restart({ modules: { mod_ping: {}, mod_echo: { host: 'echo.shop.example' } } })
  expect(await server.must('list_domains')).toBe(
    'localhost\tconfiguration\t0\t0\nshop.example\tcommand, not served\t0\t0',
  )
  expect(server.log()).toContain('a domain that was added by command is not served')
  expect(await server.must('configure_domain', shop, '{modules: {mod_echo: {host: other.example}}}')).toBe(
    `${shop} has these options now`,
  )
  expect(await server.must('list_domains')).toContain('shop.example\tcommand\t0')
})

test('a host that the configuration names as well is what the configuration says', async () => {
  await server.must('insert_domain', shop)
  const before = JSON.parse(readFileSync(server.configFile, 'utf8')) as object
  writeFileSync(server.configFile, JSON.stringify({ ...before, hosts: ['localhost', shop] }))
  expect(await server.must('reload_config')).toBe('Nothing has changed.')
  expect(server.log()).toContain('what the configuration says holds')
  writeFileSync(server.configFile, JSON.stringify(before))
  expect(await server.must('reload_config')).toBe('Nothing has changed.')
  expect(await server.must('registered_vhosts')).toBe('localhost\nshop.example')
})
