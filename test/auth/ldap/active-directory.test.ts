/** What is particular about Active Directory, on a server that answers like it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeAuthority, makeCertificate } from '../../harness/certificates.ts'
import { type Folder, temporaryFolder } from '../../harness/folder.ts'
import { host, never, type TestBackend, testBackend } from './backend.ts'
import { entry, type FakeLdap, fakeLdap, type Request, reference, result } from './fake-ldap.ts'

const dn = 'CN=Alice Liddell,OU=Users,DC=corp,DC=example,DC=org'
const extendedUnknown = '0000203D: LdapErr: DSID-0C090CE2, comment: Unknown extended request OID'

let folder: Folder
let server: FakeLdap
let backend: TestBackend
let certificate: { cert: string; key: string }

beforeEach(async () => {
  folder = temporaryFolder('ad')
  const authority = await makeAuthority(folder)
  await makeCertificate(folder, 'server', authority, { ip: ['127.0.0.1'] })
  certificate = {
    cert: readFileSync(folder.file('server.pem'), 'utf8'),
    key: readFileSync(folder.file('server.key'), 'utf8'),
  }
})
afterEach(async () => {
  await backend?.close()
  await server?.stop()
  folder.remove()
})

/** A search at the root finds Alice and three references; passwords change by unicodePwd only. */
function answer(request: Request): Buffer[] {
  const isRootDse = request.bytes.includes('supportedCapabilities')
  switch (request.name) {
    case 'bind': {
      const isRight = request.dn.startsWith('CN=reader') || request.password === 'right'
      const diagnostic =
        '80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v3839'
      return [isRight ? result(request, 0) : result(request, 49, { diagnostic })]
    }
    case 'search':
      if (isRootDse) {
        const supportedCapabilities = ['1.2.840.113556.1.4.800', '1.2.840.113556.1.4.1670']
        return [entry(request, '', { supportedCapabilities }), result(request, 0)]
      }
      return [
        ...(request.bytes.includes('alice') ? [entry(request, dn, { sAMAccountName: ['Alice'] })] : []),
        reference(request, 'ldap://ForestDnsZones.corp.example.org/'),
        reference(request, 'ldap://DomainDnsZones.corp.example.org/'),
        reference(request, 'ldap://corp.example.org/CN=Configuration'),
        result(request, 0),
      ]
    case 'extended':
      return [result(request, 2, { diagnostic: extendedUnknown })]
    default:
      return [result(request, 0)]
  }
}

async function start(options: Readonly<Record<string, unknown>> = {}) {
  server = await fakeLdap((request, { send }) => send(...answer(request)), { tls: certificate })
  writeFileSync(folder.file('password'), 'secret')
  backend = testBackend({
    ldap_servers: server.url,
    ldap_base: 'DC=corp,DC=example,DC=org',
    ldap_rootdn: 'CN=reader,DC=corp,DC=example,DC=org',
    ldap_password_file: folder.file('password'),
    ldap_uids: 'sAMAccountName',
    ldap_filter: '(&(objectCategory=person)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))',
    ldap_encrypt: 'starttls',
    ldap_tls_cacertfile: folder.file('ca.pem'),
    ...options,
  })
}

describe('Active Directory', () => {
  it('finds users by sAMAccountName and binds as their entry', async () => {
    await start()
    expect(await backend.login('alice', 'right')).toEqual({ ok: true })
    expect(await backend.login('alice', 'wrong')).toEqual({ ok: false, reason: 'wrong' })
    expect(await backend.login('bob', 'right')).toEqual({ ok: false, reason: 'unknown' })
    expect(server.requests.filter((request) => request.dn === dn)).toHaveLength(2)
    const search = server.requests.find(({ name }) => name === 'search')
    expect(search?.bytes.includes('1.2.840.113556.1.4.803')).toBe(true)
  })

  it('takes user@domain for a name, without a search', async () => {
    await start({
      ldap_filter: undefined,
      ldap_bind_dn_template: '%u@%d',
      ldap_rootdn: '',
      ldap_password_file: undefined,
    })
    expect(await backend.login('alice', 'right')).toEqual({ ok: true })
    expect(server.requests.map(({ name, dn }) => `${name} ${dn}`)).toEqual([
      'extended ',
      'bind alice@example.org',
    ])
    for (const user of ['corp\\alice', 'alice;x', 'a=b', 'a+b', '*']) {
      expect(await backend.login(user, 'right')).toEqual({ ok: false, reason: 'unknown' })
    }
    expect(server.requests.filter(({ name }) => name === 'bind')).toHaveLength(1)
  })

  it.each(['auto', 'unicodePwd'])('gets a new password in its own form, over TLS (%s)', async (method) => {
    await start({ ldap_writes: 'setpass', ldap_password_method: method })
    expect(await backend.setPassword?.('alice', host, Buffer.from('pässwörd€'), never)).toEqual({ ok: true })
    const modify = server.requests.find(({ name }) => name === 'modify')
    expect(modify?.bytes.includes(Buffer.from('"pässwörd€"', 'utf16le'))).toBe(true)
    expect(modify?.bytes.includes('unicodePwd')).toBe(true)
    expect(modify?.bytes.includes(dn)).toBe(true)
    expect(server.requests.some(({ bytes }) => bytes.includes('userPassword'))).toBe(false)
  })

  it('gets no password in the clear', async () => {
    await start({ ldap_writes: 'setpass', ldap_encrypt: 'none' })
    const change = backend.setPassword?.('alice', host, Buffer.from('secret-one'), never)
    await expect(change).rejects.toThrow(/over TLS only/)
    expect(server.requests.some(({ name }) => name === 'modify')).toBe(false)
  })

  it('gets new users with their password and what their template says', async () => {
    await start({
      ldap_writes: 'tryregister',
      ldap_password_method: 'unicodePwd',
      ldap_new_entries: 'OU=Users,DC=corp,DC=example,DC=org',
      ldap_uids: ['cn', 'sAMAccountName'],
      ldap_new_entry_attributes: {
        objectClass: ['user'],
        sAMAccountName: '%u',
        userPrincipalName: '%u@%d',
        userAccountControl: '512',
      },
    })
    expect(await backend.register?.('carol', host, Buffer.from('new-one'), never)).toEqual({ ok: true })
    const add = server.requests.find(({ name }) => name === 'add')
    for (const part of ['cn=carol,OU=Users', 'carol@example.org', '512', 'unicodePwd']) {
      expect(add?.bytes.includes(part)).toBe(true)
    }
    expect(add?.bytes.includes(Buffer.from('"new-one"', 'utf16le'))).toBe(true)
  })

  it.each([
    [0, { ok: true }],
    [32, { ok: false, reason: 'unknown' }],
    [19, { ok: false, reason: 'refused' }],
    [50, { ok: false, reason: 'refused' }],
    [53, { ok: false, reason: 'refused' }],
  ])('or another server answers a change of a password with %i', async (code, verdict) => {
    await start({ ldap_writes: 'setpass' })
    server.script = (request, { send }) =>
      send(...(request.name === 'extended' ? [result(request, code)] : answer(request)))
    expect(await backend.setPassword?.('alice', host, Buffer.from('new'), never)).toEqual(verdict)
  })

  it.each([1, 8, 10, 51, 80])(
    'or another server answers a change with %i: that is no answer',
    async (code) => {
      await start({ ldap_writes: 'setpass' })
      server.script = (request, { send }) =>
        send(...(request.name === 'extended' ? [result(request, code)] : answer(request)))
      await expect(backend.setPassword?.('alice', host, Buffer.from('new'), never)).rejects.toThrow(
        String(code),
      )
    },
  )
})
