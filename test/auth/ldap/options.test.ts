import { describe, expect, it } from 'vitest'
import { encryptionOf, ldapComplaints } from '../../../server-core/auth/ldap/options.ts'
import { names } from '../../../server-core/auth/ldap/uids.ts'
import { parseOptions, testBackend } from './backend.ts'

const base = { ldap_servers: ['ldap.example.org'], ldap_base: 'dc=example,dc=org' }

function complaint(options: Readonly<Record<string, unknown>>): string {
  try {
    return ldapComplaints(parseOptions({ ...base, ...options })).join()
  } catch (error) {
    return String(error)
  }
}

describe('options of a directory', () => {
  it.each([
    ['ldap.example.org', 'ldap.example.org', undefined, 'starttls'],
    ['ldap.example.org:3890', 'ldap.example.org', 3890, 'starttls'],
    ['ldap://ldap.example.org/', 'ldap.example.org', undefined, 'starttls'],
    ['ldaps://ldap.example.org', 'ldap.example.org', undefined, 'tls'],
    ['ldaps://10.0.0.1:6360', '10.0.0.1', 6360, 'tls'],
    ['ldap://localhost', 'localhost', undefined, 'none'],
    ['ldap://127.0.0.1:389', '127.0.0.1', 389, 'none'],
    ['ldap://[::1]:389', '::1', 389, 'none'],
    ['::1', '::1', undefined, 'none'],
    ['2001:db8::1', '2001:db8::1', undefined, 'starttls'],
  ])('%s is a server, encrypted unless it is here', (text, host, port, encryption) => {
    const options = parseOptions({ ...base, ldap_servers: text })
    expect(options.ldap_servers).toMatchObject([{ host, port }])
    expect(encryptionOf(options.ldap_servers[0] as never, options)).toBe(encryption)
  })

  it.each([
    [{ ldap_servers: [] }, 'a server at least'],
    [{ ldap_servers: 'http://x' }, 'is not a server'],
    [{ ldap_servers: 'ldap://x/dc=example' }, 'is not a server'],
    [{ ldap_servers: 'ldap://cn=admin:secret@x' }, 'ldap_rootdn and ldap_password_file'],
    [{ ldap_uids: [] }, 'an attribute at least'],
    [{ ldap_uids: { mail: '%d' } }, '%u once'],
    [{ ldap_uids: 'user name' }, 'not the name of an attribute'],
    [{ ldap_filter: '(a=b' }, ') is expected'],
    [{ ldap_filter: '(a=%D)' }, '%D'],
    [{ ldap_dn_filter: { '(a=b)': [], '(c=d)': [] } }, 'one filter'],
    [{ ldap_bind_dn_template: 'uid=alice,dc=x' }, 'has no %u'],
    [{ ldap_bind_dn_template: '%u@%d', ldap_filter: '(a=b)' }, 'cannot be asked'],
    [{ ldap_rootdn: 'cn=x' }, 'ldap_password_file is missing'],
    [{ ldap_password_file: '/x' }, 'ldap_rootdn is missing'],
    [{ ldap_servers: 'ldaps://x', ldap_encrypt: 'starttls' }, 'means tls'],
    [{ ldap_encrypt: 'none', ldap_password_method: 'unicodePwd' }, 'needs TLS'],
    [{ ldap_writes: 'setpass' }, 'who makes the changes'],
    [
      { ldap_writes: ['tryregister'], ldap_rootdn: 'cn=x', ldap_password_file: '/x' },
      'ldap_new_entries is missing',
    ],
    [{ ldap_tls_verify: 'maybe' }, 'Invalid'],
    [{ ldap_password: 'secret' }, 'ldap_password'],
  ])('%j are refused with a reason', (options, reason) => {
    expect(complaint(options)).toContain(reason)
  })

  it('are read as ejabberd writes them', () => {
    expect(
      complaint({
        ldap_uids: { mail: '%u@%d', uid: '%u' },
        ldap_filter: '(&(objectClass=shadowAccount)(memberOf=XMPP Users))',
        ldap_dn_filter: { '(&(name=%s)(owner=%D)(user=%u@%d))': ['sn'] },
        ldap_tls_verify: false,
        ldap_deref_aliases: 'always',
      }),
    ).toBe('')
  })

  it('say at the start when passwords cross the network in the clear', () => {
    const warnings = (options: object) =>
      testBackend({ ...base, ...options }).log.filter(({ msg }) => msg.includes('in the clear')).length
    expect(warnings({})).toBe(0)
    expect(warnings({ ldap_encrypt: 'none' })).toBe(1)
    expect(warnings({ ldap_encrypt: 'none', ldap_servers: 'localhost' })).toBe(0)
  })
})

describe('an entry', () => {
  const { ldap_uids: uids } = parseOptions({ ...base, ldap_uids: ['uid', 'mail:%u@%d'] })
  const entry = (attributes: Readonly<Record<string, readonly string[]>>) => ({
    kind: 'entry' as const,
    id: 1,
    dn: '',
    attributes: Object.entries(attributes).map(([type, values]) => ({
      type,
      values: values.map((value) => Buffer.from(value)),
    })),
  })
  it.each([
    [{ uid: ['alice'] }, 'this user'],
    [{ UID: ['Alice'] }, 'this user'],
    [{ uid: ['other', 'ALICE'] }, 'this user'],
    [{ 'uid;lang-en': ['alice'] }, 'this user'],
    [{ uid: ['ａｌｉｃｅ'] }, 'this user'],
    [{ mail: ['Alice@Example.ORG'] }, 'this user'],
    [{ uid: ['malice'] }, 'another user'],
    [{ uid: [' alice '] }, 'another user'],
    [{ uid: ['al ice'] }, 'another user'],
    [{ mail: ['alice@example.com'] }, 'another user'],
    [{ mail: ['@example.org'] }, 'another user'],
    [{ mail: ['org'] }, 'another user'],
    [{ cn: ['alice'] }, 'hidden'],
    [{ uid: [] }, 'hidden'],
    [{}, 'hidden'],
  ] as const)('with %j is that of %s', (attributes, whose) => {
    expect(names(entry(attributes), uids, 'alice', 'example.org')).toBe(whose)
  })
})
