/** A real ejabberd with a host for each kind of backend: logins, and what can be changed where. */
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Ejabberd, startEjabberd } from '../harness/ejabberd.ts'
import { findProgram } from '../harness/find.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs, root } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Slapd, startSlapd } from '../harness/slapd.ts'
import { command, login, processesWith } from './ejabberd-lab.ts'

const hosts = ['sqlite.test', 'ldap.test', 'http.test', 'command.test', 'file.test'] as const
const [sqlite, ldap, http, commands, file] = hosts
const writable = [sqlite, ldap, http, commands] as const
/** Its own words go through shells, frames, JSON and LDAP. */
const odd = `a:b "c" \\ 'd' {e} €ß\u00a0*)(`

describePeer(['ejabberd', 'slapd', 'python3'], 'ejabberd with every kind of backend', () => {
  let folder: Folder
  let slapd: Slapd
  let web: Server
  let ejabberd: Ejabberd

  beforeAll(async () => {
    folder = temporaryFolder('kinds')
    slapd = await startSlapd()
    web = startWeb()
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
    const { port } = web.address() as AddressInfo
    writeFileSync(folder.file('token'), 'the-token\n')
    // htpasswd's SHA-1 form of "secret", and a plain one.
    writeFileSync(folder.file('users'), 'alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n')
    const program = `${findProgram('python3')} ${root}/fixtures/auth-commands/contract.py`
    writeFileSync(
      folder.file('extauth.yml'),
      JSON.stringify({
        failure_reply: 'error-frame',
        ban_prefix: true,
        hosts: Object.fromEntries(hosts.map((host) => [host, { chain: [host.replace('.test', '')] }])),
        backends: {
          sqlite: { type: 'sqlite', file: 'a.sqlite', password_format: 'scram' },
          ldap: {
            type: 'ldap',
            ...slapd.adminOptions,
            ldap_writes: ['setpass', 'tryregister', 'removeuser'],
            ldap_new_entries: 'ou=new,dc=example,dc=org',
          },
          http: { type: 'http', url: `http://127.0.0.1:${port}/`, token_file: 'token' },
          command: { type: 'command', command: program },
          file: { type: 'file', file: 'users' },
        },
      }),
    )
    ejabberd = await startEjabberd({
      host: sqlite,
      otherHosts: hosts.slice(1),
      api: true,
      modules: ['mod_admin_extra: {}', 'mod_disco: {}', 'mod_roster: {}', 'mod_last: {}'],
      yaml: [
        'auth_method: external',
        `extauth_program: "${programs.extauth} --config ${folder.file('extauth.yml')}"`,
        'extauth_pool_name: gatehouse',
        'extauth_pool_size: 1',
        'auth_use_cache: false',
      ],
    })
    return async () => {
      await ejabberd.stop()
      web.closeAllConnections()
      web.close()
      await slapd.remove()
      folder.remove()
    }
  })

  const call = (name: string, args: Readonly<Record<string, unknown>>) => command(ejabberd, name, args)

  describe.each(writable)('%s', (host) => {
    test('an account is made, logs in, gets another password, and goes', { timeout: 40_000 }, async () => {
      const bob = { user: 'newcomer', host }
      expect(await call('check_account', bob)).toBe(1)
      expect(await login(ejabberd, `newcomer@${host}`, 'first')).toBe('not-authorized')
      expect(await call('register', { ...bob, password: 'first' })).toMatch(/successfully registered/)
      expect(await call('register', { ...bob, password: 'other' })).toMatch(/^409: .*already registered/)
      expect(await call('check_account', bob)).toBe(0)
      expect(await login(ejabberd, `newcomer@${host}`, 'first')).toBe('in')
      expect(await login(ejabberd, `NewComer@${host}`, 'first')).toBe('in')
      expect(await login(ejabberd, `newcomer@${host}`, 'other')).toBe('not-authorized')
      expect(await call('change_password', { ...bob, newpass: odd })).toBe(0)
      expect(await login(ejabberd, `newcomer@${host}`, 'first')).toBe('not-authorized')
      expect(await login(ejabberd, `newcomer@${host}`, odd)).toBe('in')
      await call('unregister', bob)
      expect(await call('check_account', bob)).toBe(1)
      expect(await login(ejabberd, `newcomer@${host}`, odd)).toBe('not-authorized')
    })
  })

  test('a file is only read', async () => {
    expect(await login(ejabberd, `alice@${file}`, 'secret')).toBe('in')
    expect(await login(ejabberd, `alice@${file}`, 'Secret')).toBe('not-authorized')
    expect(await call('register', { user: 'bob', host: file, password: 'x' })).toMatch(
      /^(400|500|409|1): |not allowed/,
    )
    expect(await call('check_account', { user: 'bob', host: file })).toBe(1)
    await call('unregister', { user: 'alice', host: file })
    expect(await login(ejabberd, `alice@${file}`, 'secret')).toBe('in')
  })

  test("ejabberd's ban closes the account and keeps its password", async () => {
    const eve = { user: 'eve', host: sqlite }
    await call('register', { ...eve, password: 'hers' })
    expect(await login(ejabberd, `eve@${sqlite}`, 'hers')).toBe('in')
    expect(await call('ban_account', { ...eve, reason: 'spam -- again' })).toBe(0)
    expect(await login(ejabberd, `eve@${sqlite}`, 'hers')).toBe('not-authorized')
    expect(await call('check_account', eve)).toBe(0)
    expect(await call('change_password', { ...eve, newpass: 'new' })).toBe(0)
    expect(await login(ejabberd, `eve@${sqlite}`, 'new')).toBe('in')
  })

  test('one process served all hosts, and ejabberd had nothing to complain about', () => {
    expect(processesWith(folder.file('extauth.yml'))).toHaveLength(1)
    expect(ejabberd.log()).not.toMatch(/unexpected_response|exited abruptly|disconnected/)
  })
})

/** A web application with accounts in memory, which insists on its token. */
function startWeb(): Server {
  const accounts = new Map<string, string>()
  return createServer(async (request, response) => {
    const { op, user, host, password = '' } = JSON.parse(await text(request)) as Record<string, string>
    if (request.headers.authorization !== 'Bearer the-token') {
      response.statusCode = 401
      response.end()
      return
    }
    const jid = `${user}@${host}`
    const known = accounts.get(jid)
    let result = true
    if (op === 'isuser') result = known !== undefined
    else if (op === 'auth') result = known === password
    else if (op === 'removeuser') result = accounts.delete(jid)
    else accounts.set(jid, password)
    response.end(JSON.stringify({ result }))
  })
}
