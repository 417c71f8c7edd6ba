/** The LDAP backend with OpenLDAP. */
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { host, never, type TestBackend, testBackend } from '../auth/ldap/backend.ts'
import { makeAuthority } from '../harness/certificates.ts'
import { until } from '../harness/deadline.ts'
import { ldapFixtures } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { person, type Slapd, startSlapd } from '../harness/slapd.ts'

interface Name {
  readonly uid: string
  /** What the name is in XMPP; null when it cannot be one. */
  readonly user: string | null
  readonly password: string
}
const names = JSON.parse(readFileSync(`${ldapFixtures}/names.json`, 'utf8')) as Name[]
const people = names.map(({ uid, password }) => person(uid, password)).join('')

const yes = { ok: true }
const no = (reason: string) => ({ ok: false, reason })

const backends: TestBackend[] = []
afterEach(async () => {
  for (const backend of backends.splice(0)) await backend.close()
})

function open(...options: Readonly<Record<string, unknown>>[]): TestBackend {
  const backend = testBackend(Object.assign({}, ...options) as Record<string, unknown>)
  backends.push(backend)
  return backend
}

describePeer('slapd', 'users of OpenLDAP', () => {
  let slapd: Slapd
  beforeAll(async () => {
    slapd = await startSlapd({ entries: people })
  })
  afterAll(() => slapd?.remove())

  it('log in with the right password only', async () => {
    const backend = open(slapd.options)
    expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    expect(await backend.login('alice', 'wonder')).toEqual(no('wrong'))
    expect(await backend.login('alice', 'WONDER:LAND')).toEqual(no('wrong'))
    expect(await backend.login('nobody', 'wonder:land')).toEqual(no('unknown'))
    expect(await backend.exists('alice')).toBe(true)
    expect(await backend.exists('nobody')).toBe(false)
    expect(await backend.login('bob', 'can-we-fix-it')).toEqual(yes)
  })

  it.each(names)('are found and bound by exactly their name: $uid', async ({ uid, user, password }) => {
    const search = open(slapd.options)
    const direct = open(slapd.options, { ldap_bind_dn_template: 'uid=%u,ou=people,dc=example,dc=org' })
    if (user === null) {
      expect(await search.login(uid, password)).toEqual(no('unknown'))
      return
    }
    for (const backend of [search, direct]) {
      expect(await backend.exists(user)).toBe(true)
      expect(await backend.login(user, password)).toEqual(yes)
      const wrong = names.flatMap((other) => (other.uid === uid ? [] : [other.password]))
      for (const other of wrong) expect(await backend.login(user, other)).toEqual(no('wrong'))
    }
  })

  it('do not become others by what a filter or a name could mean', async () => {
    const search = open(slapd.options)
    const direct = open(slapd.options, { ldap_bind_dn_template: 'uid=%u,ou=people,dc=example,dc=org' })
    const tries = [
      'ali*',
      'x)(uid=alice',
      'alice)(cn=*',
      'alice,ou=people',
      'alice\\',
      'ali\\63e',
      '*)(|(uid=*',
    ]
    for (const user of tries) {
      expect(await search.login(user, 'wonder:land')).toEqual(no('unknown'))
      expect(await direct.login(user, 'wonder:land')).toEqual(no('wrong'))
      expect(await direct.exists(user)).toBe(false)
    }
    for (const user of ['ALICE', 'alice ', ' alice', 'ａｌｉｃｅ']) {
      expect(await search.login(user, 'wonder:land')).toEqual(no('unknown'))
      expect(await direct.login(user, 'wonder:land')).toEqual(no('unknown'))
    }
  })

  it('that match twice or more are let in by nobody’s password', async () => {
    const backend = open(slapd.options)
    for (const password of ['first', 'second'])
      expect(await backend.login('twin', password)).toEqual(no('refused'))
    expect(await backend.login('triplet', 'same')).toEqual(no('refused'))
    expect(await backend.exists('twin')).toBe(false)
    expect(backend.log.filter(({ level }) => level === 50)).toHaveLength(4)
    const narrower = open(slapd.options, { ldap_base: 'ou=people,dc=example,dc=org' })
    expect(await narrower.login('twin', 'first')).toEqual(yes)
    expect(await narrower.login('twin', 'second')).toEqual(no('wrong'))
  })

  it('can be named by another attribute, with the host in it', async () => {
    const backend = open(slapd.options, { ldap_uids: { mail: '%u@%d' } })
    expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    expect(await backend.checkPassword('alice', 'example.net', Buffer.from('wonder:land'), never)).toEqual(
      no('unknown'),
    )
    const either = open(slapd.options, { ldap_uids: ['mail:%u@example.net', 'uid'] })
    expect(await either.login('alice', 'wonder:land')).toEqual(yes)
  })

  it('can be limited by a filter', async () => {
    const backend = open(slapd.options, { ldap_filter: '(&(employeeType=staff)(!(employeeNumber=8)))' })
    expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    expect(await backend.login('bob', 'can-we-fix-it')).toEqual(no('unknown'))
    expect(await backend.exists('bob')).toBe(false)
  })

  it.each([
    ['searching', {}],
    ['with a template', { ldap_bind_dn_template: 'uid=%u,ou=people,dc=example,dc=org' }],
  ])('can be limited to a group, %s', async (_, how) => {
    const group = { ldap_dn_filter: '(&(cn=chatters)(member=%D))' }
    const backend = open(slapd.options, how, group)
    expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    expect(await backend.login('bob', 'can-we-fix-it')).toEqual(no('refused'))
    expect(await backend.exists('bob')).toBe(false)
    const byAttribute = open(slapd.options, how, {
      ldap_dn_filter: { '(&(mail=%s)(uid=%u)(sn=%s))': ['mail', 'sn'] },
    })
    expect(await byAttribute.login('alice', 'wonder:land')).toEqual(yes)
    expect(await byAttribute.login('d\\27artagnan', 'tous pour un')).toEqual(no('refused'))
  })

  it('of Active Directory’s kind: closed accounts and those outside of a group stay out', async () => {
    const backend = open(slapd.options, {
      ldap_base: 'ou=windows,dc=example,dc=org',
      ldap_uids: 'sAMAccountName',
      ldap_filter:
        '(&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2))(memberOf=cn=chatters,ou=groups,dc=example,dc=org))',
    })
    expect(await backend.login('open.account', 'open-sesame')).toEqual(yes)
    expect(await backend.login('closed.account', 'open-sesame')).toEqual(no('unknown'))
    expect(await backend.login('lone.account', 'open-sesame')).toEqual(no('unknown'))
  })

  it('cannot be told apart when their name may not be read', async () => {
    const backend = open(slapd.options, { ldap_uids: 'employeeNumber' })
    await expect(backend.login('7', 'wonder:land')).rejects.toThrow(/does not show employeeNumber/)
  })

  it('need no service account where anybody may search', async () => {
    const { ldap_servers, ldap_base } = slapd.options
    const backend = open({ ldap_servers, ldap_base })
    expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    expect(await backend.health(never)).toEqual([{ server: slapd.url, problem: undefined }])
  })

  it('are not told wrong when it is us who cannot log in or search', async () => {
    const wrongBase = open(slapd.options, { ldap_base: 'dc=elsewhere' })
    const wrongPassword = open(slapd.options, { ldap_password_file: slapd.adminOptions.ldap_password_file })
    const noFile = open(slapd.options, { ldap_password_file: slapd.folder.file('missing') })
    for (const backend of [wrongBase, wrongPassword, noFile]) {
      await expect(backend.login('alice', 'wonder:land')).rejects.toThrow(BackendUnavailable)
    }
    const problems = async (backend: TestBackend) => (await backend.health(never))[0]?.problem
    expect(await problems(wrongBase)).toContain("ldap_base 'dc=elsewhere' is not in the directory")
    expect(await problems(wrongPassword)).toContain('refuses ldap_rootdn and its password: 49')
    expect(await problems(noFile)).toContain('cannot be read: ENOENT')
    expect(await problems(open(slapd.options))).toBeUndefined()
  })

  it('are served at once, many of them', async () => {
    const backend = open(slapd.options, { ldap_search_connections: 2, ldap_bind_connections: 3 })
    const logins = Array.from({ length: 200 }, (_, n) =>
      n % 2 === 0 ? backend.login('alice', 'wonder:land') : backend.login('bob', `wrong ${n}`),
    )
    const verdicts = await Promise.all(logins)
    expect(verdicts.every((verdict, n) => verdict.ok === (n % 2 === 0))).toBe(true)
  })

  describe('over TLS', () => {
    const variants = [
      ['starttls', () => slapd.url],
      ['tls', () => `ldaps://127.0.0.1:${slapd.tlsPort}`],
    ] as const
    it.each(variants)('%s: the certificate is verified', async (encrypt, url) => {
      const tls = { ldap_servers: url(), ldap_encrypt: encrypt }
      const trusted = open(slapd.options, tls, { ldap_tls_cacertfile: slapd.folder.file('ca.pem') })
      expect(await trusted.login('alice', 'wonder:land')).toEqual(yes)
      expect(await trusted.login('alice', 'wrong')).toEqual(no('wrong'))
      const untrusted = open(slapd.options, tls)
      await expect(untrusted.login('alice', 'wonder:land')).rejects.toThrow(BackendUnavailable)
      await makeAuthority(slapd.folder, 'stranger.pem')
      const stranger = open(slapd.options, tls, { ldap_tls_cacertfile: slapd.folder.file('stranger.pem') })
      await expect(stranger.login('alice', 'wonder:land')).rejects.toThrow(BackendUnavailable)
      const named = {
        ldap_tls_cacertfile: slapd.folder.file('ca.pem'),
        ldap_tls_servername: 'ldap.example.org',
      }
      await expect(open(slapd.options, tls, named).login('alice', 'wonder:land')).rejects.toThrow(
        /ldap\.example\.org/,
      )
      const missing = open(slapd.options, tls, { ldap_tls_cacertfile: slapd.folder.file('none.pem') })
      await expect(missing.login('alice', 'wonder:land')).rejects.toThrow(/none\.pem cannot be read: ENOENT/)
    })

    it('by name: localhost', async () => {
      const backend = open(slapd.options, {
        ldap_servers: `ldaps://localhost:${slapd.tlsPort}`,
        ldap_tls_cacertfile: slapd.folder.file('ca.pem'),
      })
      expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
    })

    it('soft and false go on, the first with a warning', async () => {
      for (const [encrypt, url] of variants) {
        for (const [verify, warnings] of [
          ['soft', 1],
          [false, 1],
        ] as const) {
          const backend = open(slapd.options, {
            ldap_servers: url(),
            ldap_encrypt: encrypt,
            ldap_tls_verify: verify,
          })
          expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
          expect(backend.log.filter(({ msg }) => msg.includes('certificate'))).toHaveLength(warnings)
        }
      }
    })
  })
})

describePeer('slapd', 'an OpenLDAP server that', () => {
  it('wants a certificate of ours gets it', async () => {
    const slapd = await startSlapd({ verifyClient: true })
    try {
      const tls = {
        ldap_servers: `ldaps://127.0.0.1:${slapd.tlsPort}`,
        ldap_tls_cacertfile: slapd.folder.file('ca.pem'),
      }
      const without = open(slapd.options, tls)
      await expect(without.login('alice', 'wonder:land')).rejects.toThrow(BackendUnavailable)
      const shown = open(slapd.options, tls, { ldap_tls_certfile: slapd.folder.file('client.both') })
      expect(await shown.login('alice', 'wonder:land')).toEqual(yes)
    } finally {
      await slapd.remove()
    }
  })

  it('allows unauthenticated binds lets nobody in without a password', async () => {
    const slapd = await startSlapd({ config: 'allow bind_anon_cred bind_anon_dn' })
    try {
      for (const how of [{}, { ldap_bind_dn_template: 'uid=%u,ou=people,dc=example,dc=org' }]) {
        const backend = open(slapd.options, how)
        expect(await backend.login('alice', '')).toMatchObject(no('wrong'))
        expect(await backend.login('alice', '\0')).toMatchObject(no('wrong'))
      }
    } finally {
      await slapd.remove()
    }
  })

  it('stops, hangs and restarts is out, and then back', async () => {
    const slapd = await startSlapd()
    try {
      const backend = open(slapd.options, { ldap_operation_timeout: '2 s', ldap_timeout: '6 s' })
      expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
      await slapd.stop()
      await expect(backend.login('alice', 'wonder:land')).rejects.toThrow(BackendUnavailable)
      await expect(backend.exists('nobody')).rejects.toThrow(BackendUnavailable)
      await slapd.start()
      expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
      expect(await backend.login('alice', 'wrong')).toEqual(no('wrong'))
      await slapd.stop()
      await slapd.start()
      expect(await backend.login('alice', 'wonder:land')).toEqual(yes)
      slapd.pause()
      await expect(backend.login('alice', 'wonder:land')).rejects.toThrow(/no answer in time/)
      slapd.resume()
      await until('an answer', () =>
        backend.login('alice', 'wonder:land').then(
          ({ ok }) => ok,
          () => false,
        ),
      )
    } finally {
      await slapd.remove()
    }
  })

  it('is the second of two steps in until the first is back', async () => {
    const [first, second] = [await startSlapd(), await startSlapd({ entries: person('only-second', 'here') })]
    try {
      const backend = open(first.options, { ldap_servers: [first.url, second.url] })
      expect(await backend.login('only-second', 'here')).toEqual(no('unknown'))
      await first.stop()
      expect(await backend.login('only-second', 'here')).toEqual(yes)
      await first.start()
      await until(
        'the first server to be asked again',
        async () => !(await backend.login('only-second', 'here')).ok,
      )
    } finally {
      await first.remove()
      await second.remove()
    }
  })
})

describePeer('slapd', 'changes in OpenLDAP', () => {
  const writes = {
    ldap_writes: ['setpass', 'tryregister', 'removeuser'],
    ldap_new_entries: 'ou=new,dc=example,dc=org',
  }
  let slapd: Slapd
  beforeAll(async () => {
    slapd = await startSlapd({ entries: people })
  })
  afterAll(() => slapd?.remove())

  const admin = (options: Readonly<Record<string, unknown>> = {}) => open(slapd.adminOptions, writes, options)

  it.each(['auto', 'exop', 'modify'])('set the password, by %s', async (method) => {
    const backend = admin({ ldap_password_method: method })
    const set = (user: string, password: string) =>
      backend.setPassword?.(user, host, Buffer.from(password), never)
    const fresh = `€ new: ${method}`
    expect(await set('bob', fresh)).toEqual(yes)
    expect(await backend.login('bob', fresh)).toEqual(yes)
    expect(await backend.login('bob', 'can-we-fix-it')).toEqual(no('wrong'))
    expect(await set('nobody', 'x')).toEqual(no('unknown'))
    expect(await backend.exists('nobody')).toBe(false)
    expect(await set('bob', '')).toEqual(no('refused'))
    expect(await backend.login('bob', fresh)).toEqual(yes)
  })

  it('are refused where the directory does not allow them', async () => {
    const backend = open(slapd.options, writes)
    const before = await backend.login('alice', 'wonder:land')
    expect(await backend.setPassword?.('alice', host, Buffer.from('x'), never)).toEqual(no('refused'))
    expect(await backend.register?.('fred', host, Buffer.from('x'), never)).toEqual(no('refused'))
    expect(await backend.remove?.('alice', host, never)).toEqual(no('refused'))
    expect(await backend.login('alice', 'wonder:land')).toEqual(before)
    expect(await backend.exists('fred')).toBe(false)
  })

  it.each(['auto', 'modify'])('add users, by %s, with any name, and remove them again', async (method) => {
    const backend = admin({ ldap_password_method: method })
    for (const user of ['carol', 'x,ou=people', 'a\\20c', '#4142', 'é+ü=;', 'q)(uid=*']) {
      const password = Buffer.from(`for ${user}`)
      expect(await backend.register?.(user, host, password, never)).toEqual(yes)
      expect(await backend.register?.(user, host, Buffer.from('other'), never)).toEqual(no('exists'))
      expect(await backend.checkPassword(user, host, password, never)).toEqual(yes)
      expect(await backend.remove?.(user, host, never)).toEqual(yes)
      expect(await backend.remove?.(user, host, never)).toEqual(no('unknown'))
      expect(await backend.exists(user)).toBe(false)
    }
    expect(await backend.register?.('alice', host, Buffer.from('x'), never)).toEqual(no('exists'))
    expect(await backend.register?.('dave', host, Buffer.from(''), never)).toEqual(no('refused'))
    expect(await backend.exists('dave')).toBe(false)
  })

  it('tell when an account was made', async () => {
    const backend = admin()
    await backend.register?.('grace', host, Buffer.from('x'), never)
    const created = await backend.created?.('grace', host, never)
    expect(Math.abs(Date.now() / 1_000 - (created ?? 0))).toBeLessThan(60)
    expect(await backend.created?.('nobody', host, never)).toBeUndefined()
  })

  it('say so when there is no place for new users', async () => {
    const backend = admin({ ldap_new_entries: 'ou=nowhere,dc=example,dc=org' })
    await expect(backend.register?.('erin', host, Buffer.from('x'), never)).rejects.toThrow(/ou=nowhere/)
  })

  it('hit the entry with that name, and not the one that an escape could mean', async () => {
    const backend = admin()
    expect(await backend.setPassword?.('a\\20b', host, Buffer.from('changed'), never)).toEqual(yes)
    expect(await backend.login('a\\20b', 'changed')).toEqual(yes)
    expect(await backend.remove?.('a\\20b', host, never)).toEqual(yes)
    const spaced = open(slapd.options, { ldap_uids: 'cn:%u', ldap_filter: '(uid=a b)' })
    expect(await spaced.login('n', 'with a space')).toEqual(yes)
  })
})
