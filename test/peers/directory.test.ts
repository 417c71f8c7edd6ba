/** The server whose accounts are in OpenLDAP, alone and beside its own. */
import { readFileSync, writeFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { SaslFailure, TestClient } from '../harness/client.ts'
import { describePeer } from '../harness/peers.ts'
import { type Server, startServer } from '../harness/server.ts'
import { type Slapd, startSlapd } from '../harness/slapd.ts'
import { at } from '../harness/stanza.ts'

describePeer('slapd', 'accounts in a directory', () => {
  let slapd: Slapd
  let server: Server
  beforeAll(async () => {
    slapd = await startSlapd()
    server = await startServer({
      config: {
        hosts: ['corp.example', 'both.example', 'staff.example'],
        // for all hosts; two of them say more
        ...slapd.options,
        ldap_operation_timeout: '2s',
        ldap_timeout: '4s',
        host_config: {
          'corp.example': { auth_method: 'ldap' },
          'both.example': { auth_method: ['internal', 'ldap'] },
          'staff.example': { auth_method: 'ldap', ldap_filter: '(employeeType=staff)' },
        },
      },
    })
    await server.must('register_identified', 'carol', 'both.example', 'own')
    return async () => {
      slapd.resume()
      expect(await server.stop()).toBe(0)
      await slapd.remove()
    }
  }, 60_000)

  const login = (user: string, password: string, domain: string) =>
    TestClient.login({ port: server.port, domain, user, password, mechanism: 'PLAIN', resource: 'r' })
  const refused = async (user: string, password: string, domain: string): Promise<string> => {
    const error: unknown = await login(user, password, domain).then(
      () => 'nothing',
      (reason: unknown) => reason,
    )
    return error instanceof SaslFailure ? error.condition : String(error)
  }

  test('log in with PLAIN, which alone is offered, over TLS only', async () => {
    const client = await TestClient.connect({ port: server.port, domain: 'corp.example' })
    await client.open()
    expect(client.mechanisms).toEqual([])
    await client.startTls()
    expect(client.mechanisms).toEqual(['PLAIN'])
    await client.authenticate('alice', 'wonder:land')
    expect(await client.bind('r')).toBe('alice@corp.example/r')
    await client.close()
    expect(await refused('alice', 'wonder', 'corp.example')).toBe('not-authorized')
    expect(await refused('nobody', 'wonder:land', 'corp.example')).toBe('not-authorized')
  })

  test('beside accounts of our own: both kinds log in, and talk', async () => {
    const alice = await login('alice', 'wonder:land', 'both.example')
    const carol = await login('carol', 'own', 'both.example')
    alice.message('carol@both.example/r', 'hello')
    expect(at(await carol.waitFor('message'), 'body')?.text).toBe('hello')
    expect(await refused('carol', 'wonder:land', 'both.example')).toBe('not-authorized')
    // a message for somebody of the directory who is away is kept
    carol.message('bob@both.example', 'for later')
    await carol.settled()
    const bob = await login('bob', 'can-we-fix-it', 'both.example')
    expect(at(await bob.waitFor('message'), 'body')?.text).toBe('for later')
    for (const client of [alice, bob, carol]) await client.close()
  })

  test('as one host alone wants them', async () => {
    const alice = await login('alice', 'wonder:land', 'staff.example')
    await alice.close()
    expect(await refused('bob', 'can-we-fix-it', 'staff.example')).toBe('not-authorized')
  })

  test('while the directory does not answer nobody is told a no; our own log in', async () => {
    slapd.pause()
    expect(await refused('alice', 'wonder:land', 'corp.example')).toBe('temporary-auth-failure')
    const carol = await login('carol', 'own', 'both.example')
    await carol.close()
    slapd.resume()
    const alice = await login('alice', 'wonder:land', 'corp.example')
    await alice.close()
  }, 30_000)

  test('a host moves to the directory while the server runs', async () => {
    const config = JSON.parse(readFileSync(server.configFile, 'utf8')) as {
      host_config: Record<string, object>
    }
    config.host_config['staff.example'] = { auth_method: 'ldap' }
    writeFileSync(server.configFile, JSON.stringify(config))
    expect(await server.must('reload_config')).toContain('ldap_filter of staff.example')
    const bob = await login('bob', 'can-we-fix-it', 'staff.example')
    await bob.close()
  })
})
