/** What a directory must never bring about: a login that it did not confirm, an outage that looks like a no, a process that ends. */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { BackendUnavailable } from '../../../server-core/auth/backend.ts'
import { makeAuthority, makeCertificate } from '../../harness/certificates.ts'
import { until } from '../../harness/deadline.ts'
import { temporaryFolder } from '../../harness/folder.ts'
import { type LogLine, type TestBackend, testBackend } from './backend.ts'
import {
  entry,
  type FakeLdap,
  fakeLdap,
  integer,
  message,
  polite,
  type Request,
  reference,
  result,
  type Script,
  tlv,
} from './fake-ldap.ts'

const ended: (() => Promise<unknown> | undefined)[] = []
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
})

async function fake(script?: Script, options?: Parameters<typeof fakeLdap>[1]): Promise<FakeLdap> {
  const server = await fakeLdap(script, options)
  ended.push(() => server.stop())
  return server
}

function backend(servers: readonly FakeLdap[], options: Readonly<Record<string, unknown>> = {}): TestBackend {
  const made = testBackend({
    ldap_servers: servers.map(({ url }) => url),
    ldap_base: 'dc=example,dc=org',
    ldap_operation_timeout: '3 s',
    ldap_connect_timeout: '3 s',
    ldap_timeout: '10 s',
    ...options,
  })
  ended.push(() => made.close?.())
  return made
}

/** For servers that may say nothing. */
const impatient = {
  ldap_operation_timeout: '250 ms',
  ldap_connect_timeout: '500 ms',
  ldap_timeout: '800 ms',
}

const dn = 'uid=alice,dc=example,dc=org'
const isUserBind = (request: Request) => request.name === 'bind' && request.dn === dn

/** Polite, but for the user's bind. */
function onBind(answer: Script): Script {
  const otherwise = polite()
  return (request, peer) => (isUserBind(request) ? answer(request, peer) : otherwise(request, peer))
}

function onSearch(answer: Script): Script {
  const otherwise = polite()
  return (request, peer) => (request.name === 'search' ? answer(request, peer) : otherwise(request, peer))
}

async function outage(backend: TestBackend, password = 'right'): Promise<string> {
  const error: unknown = await backend.login('alice', password).then(
    (verdict) => {
      throw new Error(`this must not be an answer: ${JSON.stringify(verdict)}`)
    },
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(BackendUnavailable)
  return (error as Error).message
}

describe('a polite server', () => {
  it('lets the right password in and nobody else', async () => {
    const ldap = backend([await fake()])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
  })

  it('is asked nothing about an empty user or an empty password, not even for a connection', async () => {
    // It confirms every bind, as servers do that allow unauthenticated binds (RFC 4513 §5.1.2).
    const server = await fake((request, { send }) => send(result(request, 0)))
    for (const extra of [{}, { ldap_bind_dn_template: 'uid=%u,dc=example,dc=org' }]) {
      const ldap = backend([server], extra)
      expect(await ldap.login('alice', '')).toMatchObject({ ok: false, reason: 'wrong' })
      expect(await ldap.login('', 'right')).toEqual({ ok: false, reason: 'unknown' })
      expect(await ldap.exists('')).toBe(false)
    }
    expect(server.connections).toBe(0)
  })

  it.each([
    ['with a NUL, where some servers stop', Buffer.from('right\0more')],
    ['that is not UTF-8', Buffer.from([0xff, 0xfe, 0x80])],
    ['of more than 4096 bytes', Buffer.alloc(4097, 'a')],
  ])('never sees a password %s', async (_, password) => {
    const server = await fake()
    expect(await backend([server]).login('alice', password)).toMatchObject({ ok: false, reason: 'wrong' })
    expect(server.connections).toBe(0)
  })

  it('gets binds of users on connections that never search', async () => {
    const used = new Map<unknown, Set<string>>()
    const server = await fake((request, peer) => {
      const kinds = used.get(peer.socket) ?? new Set()
      used.set(peer.socket, kinds.add(isUserBind(request) ? 'user' : request.name))
      polite()(request, peer)
    })
    const ldap = backend([server])
    for (let n = 0; n < 3; n++) {
      await ldap.login('alice', 'right')
      await ldap.login('alice', 'wrong')
    }
    expect([...used.values()].map((kinds) => [...kinds].join())).toEqual(['search', 'user'])
  })
})

describe('the answer to the bind of a user', () => {
  it.each([1, 3, 8, 10, 11, 13, 14, 34, 80, 7, 4, 5, 6, 118, 4096, 123_456])(
    'with code %i is neither a yes nor a no',
    async (code) => {
      const ldap = backend([await fake(onBind((request, { send }) => send(result(request, code))))])
      expect(await outage(ldap)).toContain(String(code))
    },
  )

  it.each([
    [49, 'wrong'],
    [32, 'unknown'],
    [19, 'refused'],
    [48, 'refused'],
    [50, 'refused'],
    [53, 'refused'],
  ])('with code %i is a no', async (code, reason) => {
    const ldap = backend([await fake(onBind((request, { send }) => send(result(request, code))))])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: false, reason })
    const isTold = (line: LogLine) => line.level > 20 && String(line['result']).startsWith(`${code} `)
    const told = ldap.log.some(isTold)
    expect(told).toBe(code !== 49)
  })

  it.each([
    ['532', 'expired'],
    ['533', 'disabled'],
    ['773', 'expired'],
    ['701', 'disabled'],
    ['52e', 'wrong'],
    ['775', 'wrong'],
  ])('of Active Directory with data %s is a no', async (data, reason) => {
    const diagnostic = `80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data ${data}, v3839`
    const ldap = backend([
      await fake(onBind((request, { send }) => send(result(request, 49, { diagnostic })))),
    ])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: false, reason })
  })

  it.each([51, 52])('with code %i sends us to another server', async (code) => {
    const busy = await fake(onBind((request, { send }) => send(result(request, code))))
    expect(await backend([busy, await fake()]).login('alice', 'right')).toEqual({ ok: true })
    expect(await outage(backend([busy]))).toContain(String(code))
  })
})

const notAnAnswer: readonly (readonly [string, Script])[] = [
  ['never comes', () => undefined],
  ['is the end of the connection', (_, { socket }) => socket.end()],
  ['is a reset', (_, { socket }) => socket.resetAndDestroy()],
  ['ends in the middle', (request, { socket }) => socket.end(result(request, 0).subarray(0, 9))],
  ['stops in the middle', (request, { send }) => send(result(request, 0).subarray(0, 9))],
  ['has the id of another question', (request, { send }) => send(result(request, 0, { id: request.id + 1 }))],
  [
    'has the id of the question before',
    (request, { send }) => send(result(request, 0, { id: request.id - 1 })),
  ],
  ['has a negative id', (request, { send }) => send(result(request, 0, { id: -1 }))],
  ['is that of a search', (request, { send }) => send(result(request, 0, { tag: 0x65 }))],
  ['is that of an addition', (request, { send }) => send(result(request, 0, { tag: 0x69 }))],
  [
    'is a bind of the server',
    (request, { send }) => send(message(request.id, tlv(0x60, integer(3), tlv(4), tlv(0x80)))),
  ],
  ['is an intermediate response', (request, { send }) => send(message(request.id, tlv(0x79)))],
  ['is an entry', (request, { send }) => send(entry(request, dn, {}))],
  ['has no code', (request, { send }) => send(message(request.id, tlv(0x61)))],
  [
    'has an empty code',
    (request, { send }) => send(message(request.id, tlv(0x61, tlv(0x0a), tlv(4), tlv(4)))),
  ],
  ['has a negative code', (request, { send }) => send(result(request, -1))],
  [
    'has a code of eight bytes',
    (request, { send }) => send(message(request.id, tlv(0x61, tlv(0x0a, Buffer.alloc(8)), tlv(4), tlv(4)))),
  ],
  ['has no message', (request, { send }) => send(message(request.id, tlv(0x61, integer(0, 0x0a))))],
  ['is text', (_, { send }) => send(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))],
  ['is nothing but zeros', (_, { send }) => send(Buffer.alloc(64))],
  ['claims 4 GiB', (_, { send }) => send(Buffer.from('3084ffffffff0201', 'hex'))],
  ['claims 2 GiB', (_, { send }) => send(Buffer.from('30847fffffff0201', 'hex'))],
  ['has a length of eight bytes', (_, { send }) => send(Buffer.from('3088ffffffffffffffff', 'hex'))],
  ['has no definite length', (_, { send }) => send(Buffer.from('30800201010000', 'hex'))],
  [
    'has a part longer than the whole',
    (request, { send }) => send(message(request.id, Buffer.from('6184ffffffff0a0100', 'hex'))),
  ],
  [
    'is a megabyte of diagnostics',
    (request, { send }) => send(result(request, 0, { diagnostic: 'x'.repeat(1_000_000) })),
  ],
  [
    'is a notice of disconnection',
    (_, { send }) =>
      send(
        message(0, tlv(0x78, integer(52, 0x0a), tlv(4), tlv(4, 'bye'), tlv(0x8a, '1.3.6.1.4.1.1466.20036'))),
      ),
  ],
]

describe('an answer to the bind of a user that', () => {
  it.each(notAnAnswer)('%s is no answer', async (_, script) => {
    const ldap = backend([await fake(onBind(script))], impatient)
    await outage(ldap)
    // It is no yes the second time either, and nothing that was left over counts.
    await outage(ldap, 'wrong')
  })

  it.each(notAnAnswer)('%s makes another server answer', async (_, script) => {
    const ldap = backend([await fake(onBind(script)), await fake()], { ldap_operation_timeout: '1500 ms' })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
  })
})

describe('an answer to a search that', () => {
  it.each(notAnAnswer.filter(([what]) => !['is that of a search', 'is an entry'].includes(what)))(
    '%s is no answer',
    async (_, script) => {
      const ldap = backend([await fake(onSearch(script))], impatient)
      await outage(ldap)
      await expect(ldap.exists('alice')).rejects.toBeInstanceOf(BackendUnavailable)
    },
  )

  it.each([
    ['an entry whose attributes do not end', Buffer.from('3084ffffffff', 'hex')],
    ['an attribute without values', tlv(0x30, tlv(0x30, tlv(4, 'uid')))],
    ['a value that is no string', tlv(0x30, tlv(0x30, tlv(4, 'uid'), tlv(0x31, integer(1))))],
    ['an empty element among the attributes', tlv(0x30, Buffer.from([0x30]))],
  ])('has %s is no answer', async (_, attributes) => {
    const ldap = backend([
      await fake(
        onSearch((request, { send }) =>
          send(message(request.id, tlv(0x64, tlv(4, dn), attributes)), result(request, 0)),
        ),
      ),
    ])
    await outage(ldap)
  })

  it('has a name that is not UTF-8 is no answer', async () => {
    const name = Buffer.from([0x75, 0x69, 0x64, 0x3d, 0xff])
    const ldap = backend([
      await fake(
        onSearch((request, { send }) =>
          send(message(request.id, tlv(0x64, tlv(4, name), tlv(0x30))), result(request, 0)),
        ),
      ),
    ])
    await outage(ldap)
  })

  it('goes on for ever is cut off', async () => {
    const server = await fake(
      onSearch((request, { send, socket }) => {
        const many = Buffer.concat(Array.from({ length: 50 }, () => entry(request, dn, { uid: ['alice'] })))
        const more = () => {
          if (!socket.destroyed) socket.write(many, () => setImmediate(more))
        }
        more()
        send()
      }),
    )
    expect(await outage(backend([server]))).toContain('more than it was asked for')
    await until('the connections to be closed', () => server.open === 0)
  })

  it.each([1, 10, 11, 32, 50, 53])('ends with code %i is no answer', async (code) => {
    const ldap = backend([await fake(onSearch((request, { send }) => send(result(request, code))))])
    expect(await outage(ldap)).toContain(String(code))
  })

  it('refers to other servers counts without them', async () => {
    const server = await fake(
      onSearch((request, { send }) =>
        send(
          reference(request, 'ldap://forest.example.org/'),
          entry(request, dn, { uid: ['alice'] }),
          reference(request, 'ldap://other.example.org/'),
          result(request, 0),
        ),
      ),
    )
    expect(await backend([server]).login('alice', 'right')).toEqual({ ok: true })
    expect(
      await backend([
        await fake(
          onSearch((request, { send }) => send(reference(request, 'ldap://x/'), result(request, 0))),
        ),
      ]).exists('alice'),
    ).toBe(false)
  })

  it('ran into the size limit lets nobody in', async () => {
    const server = await fake(
      onSearch((request, { send }) => send(entry(request, dn, { uid: ['alice'] }), result(request, 4))),
    )
    const ldap = backend([server])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: false, reason: 'refused' })
    expect(await ldap.exists('alice')).toBe(false)
    expect(ldap.log.some(({ level }) => level === 50)).toBe(true)
    expect(server.requests.some(isUserBind)).toBe(false)
  })

  it('has two entries, or two hundred, lets nobody in', async () => {
    for (const count of [2, 90]) {
      const server = await fake(
        onSearch((request, { send }) => {
          for (let n = 0; n < count; n++) send(entry(request, dn, { uid: ['alice'] }))
          send(result(request, 0))
        }),
      )
      expect(await backend([server]).login('alice', 'right')).toEqual({ ok: false, reason: 'refused' })
      expect(server.requests.some(isUserBind)).toBe(false)
    }
  })

  it('found somebody else lets nobody in', async () => {
    const server = await fake(polite(dn, 'malice'))
    expect(await backend([server]).login('alice', 'right')).toEqual({ ok: false, reason: 'unknown' })
    expect(server.requests.some(isUserBind)).toBe(false)
  })

  it('does not say who was found is no answer', async () => {
    const server = await fake(
      onSearch((request, { send }) => send(entry(request, dn, { cn: ['alice'] }), result(request, 0))),
    )
    expect(await outage(backend([server]))).toContain('does not show uid')
    expect(server.requests.some(isUserBind)).toBe(false)
  })

  it('comes byte by byte, or with everything in one piece, counts', async () => {
    const server = await fake((request, { socket, send }) => {
      if (request.name !== 'search') {
        polite()(request, { socket, send })
        return
      }
      const bytes = Buffer.concat([
        entry(request, dn, { UID: ['alice'], 'uid;lang-en': ['al'] }),
        result(request, 0),
      ])
      let at = 0
      const next = () => {
        if (at < bytes.length) socket.write(bytes.subarray(at++, at), () => setImmediate(next))
      }
      next()
    })
    const ldap = backend([server], { ldap_operation_timeout: '3 s', ldap_timeout: '6 s' })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
  })
})

describe('a second answer to one question', () => {
  it('costs the connection and never answers the next question', async () => {
    const server = await fake(
      onBind((request, { send }) => {
        const isRight = request.password === 'right'
        // The second one says yes, with the id that the next bind will have.
        send(result(request, isRight ? 0 : 49), result(request, 0, { id: request.id + 1 }))
      }),
    )
    const ldap = backend([server])
    for (let n = 0; n < 5; n++)
      expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
    expect(server.requests.filter(isUserBind)).toHaveLength(5)
    expect(new Set(server.requests.filter(isUserBind).map(({ id }) => id))).toEqual(new Set([1]))
  })

  it('that comes late costs the connection too', async () => {
    const late: (() => void)[] = []
    const server = await fake(
      onBind((request, { send }) => {
        send(result(request, 49))
        late.push(() => send(result(request, 0, { id: request.id + 1 })))
      }),
    )
    const ldap = backend([server])
    expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
    const before = server.open
    for (const send of late) send()
    await until('the connection to be closed', () => server.open === before - 1)
    expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
  })
})

describe('bytes that nobody asked for', () => {
  it.each(['3084ffffffff', '300c02010161070a010004000400', '00'])(
    '%s, sent at once on every connection, only cost that connection',
    async (hex) => {
      const server = await fake()
      server.onConnect = ({ send }) => send(Buffer.from(hex, 'hex'))
      await outage(backend([server]))
      await until('the connections to be closed', () => server.open === 0)
      const both = backend([server, await fake()])
      expect(await both.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
    },
  )
})

describe('a server that accepts connections and says nothing', () => {
  it('is given up in time, and its connections are closed', async () => {
    const server = await fake(() => undefined)
    await outage(backend([server], impatient))
    await until('the connections to be closed', () => server.open === 0)
  })

  it('does not hold whoever gives up earlier', async () => {
    const ldap = backend([await fake(() => undefined)])
    const controller = new AbortController()
    const login = ldap.login('alice', 'right', controller.signal)
    controller.abort(new Error('the caller went away'))
    await expect(login).rejects.toThrow('the caller went away')
    await expect(ldap.login('alice', 'right', AbortSignal.abort(new Error('gone already')))).rejects.toThrow(
      'gone already',
    )
  })

  it('does not hold those who wait behind it, nor lets their line grow', async () => {
    const server = await fake(() => undefined)
    const ldap = backend([server], {
      ldap_search_connections: 1,
      ldap_max_waiting: 2,
      ldap_operation_timeout: '1 s',
      ldap_timeout: '2 s',
    })
    const logins = Array.from({ length: 5 }, () => outage(ldap))
    const reasons = await Promise.all(logins)
    expect(reasons.filter((reason) => reason.includes('wait for a connection already'))).toHaveLength(2)
    expect(server.connections).toBeLessThanOrEqual(3)
  })

  it('does not stop close()', async () => {
    const server = await fake(() => undefined)
    const ldap = backend([server], {
      ldap_operation_timeout: '60 s',
      ldap_timeout: '60 s',
    })
    const login = outage(ldap)
    await until('a question', () => server.requests.length > 0)
    await ldap.close?.()
    await login
    await outage(ldap)
  })
})

describe('StartTLS', () => {
  const tlsOptions = { ldap_encrypt: 'starttls' }

  async function certificates() {
    const folder = temporaryFolder('ldap')
    ended.push(async () => folder.remove())
    const authority = await makeAuthority(folder)
    await makeCertificate(folder, 'server', authority, { ip: ['127.0.0.1'] })
    await makeCertificate(folder, 'other', authority, { dns: ['localhost', 'ldap.example.org'] })
    const read = (name: string) => ({
      cert: readFileSync(folder.file(`${name}.pem`), 'utf8'),
      key: readFileSync(folder.file(`${name}.key`), 'utf8'),
    })
    return { ca: folder.file('ca.pem'), server: read('server'), other: read('other') }
  }

  it('comes first: no name and no password before it', async () => {
    const { ca, server } = await certificates()
    const tls = await fake(polite(), { tls: server })
    const ldap = backend([tls], { ...tlsOptions, ldap_tls_cacertfile: ca })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(await ldap.login('alice', 'wrong')).toMatchObject({ ok: false, reason: 'wrong' })
    expect(tls.requests.map(({ name }) => name).filter((_, index) => index % 2 === 0)).toContain('extended')
  })

  it.each([
    ['refuses', ((request, { send }) => send(result(request, 2))) as Script],
    ['refuses with an unknown code', ((request, { send }) => send(result(request, 4711))) as Script],
    [
      'says yes and goes on in the clear',
      ((request, { send }) => send(result(request, 0), result(request, 0, { id: 2 }))) as Script,
    ],
    [
      'says yes with a part of something behind it',
      ((request, { send }) => send(result(request, 0), Buffer.from([0x30]))) as Script,
    ],
    ['says yes and nothing more', ((request, { send }) => send(result(request, 0))) as Script],
    [
      'says yes and speaks nonsense',
      ((request, { send, socket }) => {
        send(result(request, 0))
        socket.on('data', () => send(Buffer.from('nonsense'.repeat(20))))
      }) as Script,
    ],
    [
      'says yes and hangs up',
      ((request, { send, socket }) => {
        send(result(request, 0))
        socket.once('data', () => socket.destroy())
      }) as Script,
    ],
    ['never answers', (() => undefined) as Script],
  ])('that a server %s is an outage, and no password is sent', async (_, answer) => {
    let isInTheClear = true
    const server = await fake((request, peer) => {
      if (request.name === 'extended') answer(request, peer)
      else if (request.name !== 'unbind' && request.name !== 'other') isInTheClear = false
    })
    await outage(backend([server], { ...tlsOptions, ...impatient }))
    expect(isInTheClear).toBe(true)
    expect(server.requests.filter(({ name }) => name === 'bind' || name === 'search')).toEqual([])
    await until('the connections to be closed', () => server.open === 0)
  })

  it.each([2, 4711])('that is refused with code %i says so', async (code) => {
    const server = await fake((request, { send }) => send(result(request, code)))
    expect(await outage(backend([server], tlsOptions))).toContain(`refuses StartTLS (code ${code}`)
  })

  it.each([
    ['a whole answer', Buffer.from('300c02010261070a010004000400', 'hex')],
    ['the beginning of an answer', Buffer.from('300c02010261070a0100', 'hex')],
    ['a single byte', Buffer.from('30', 'hex')],
  ])('cannot be preceded by %s in the clear', async (_, behind) => {
    const { ca, server } = await certificates()
    const tls = await fake(polite(), { tls: { ...server, behind } })
    expect(await outage(backend([tls], { ...tlsOptions, ldap_tls_cacertfile: ca }))).toMatch(
      /behind its consent|not asked/,
    )
    expect(tls.requests.every(({ name }) => name === 'extended' || name === 'unbind')).toBe(true)
  })

  it('is verified: the authority, and the address', async () => {
    const { ca, server, other } = await certificates()
    const right = await fake(polite(), { tls: server })
    const wrongName = await fake(polite(), { tls: other })
    expect(await outage(backend([right], tlsOptions))).toMatch(/certificate|signed|issuer/i)
    const checked = { ...tlsOptions, ldap_tls_cacertfile: ca }
    expect(await outage(backend([wrongName], checked))).toMatch(/127\.0\.0\.1/)
    const named = backend([wrongName], { ...checked, ldap_tls_servername: 'ldap.example.org' })
    expect(await named.login('alice', 'right')).toEqual({ ok: true })
    await until('the connections to be closed', () => right.open === 0)
  })

  it('goes on unverified only when it is told to', async () => {
    const { other } = await certificates()
    const server = await fake(polite(), { tls: other })
    const soft = backend([server], { ...tlsOptions, ldap_tls_verify: 'soft' })
    expect(await soft.login('alice', 'right')).toEqual({ ok: true })
    expect(soft.log.filter(({ msg }) => msg.includes('cannot be verified'))).toHaveLength(1)
    const blind = backend([server], { ...tlsOptions, ldap_tls_verify: false })
    expect(await blind.login('alice', 'right')).toEqual({ ok: true })
  })
})

it('never writes a password into its log', async () => {
  const ldap = backend([await fake(onBind((request, { send }) => send(result(request, 53))))])
  await ldap.login('alice', 'a-very-secret-one')
  const refused = backend([await fake((_, { socket }) => socket.destroy())])
  await refused.login('alice', 'a-very-secret-one').catch((error: unknown) => {
    expect(String(error)).not.toContain('a-very-secret-one')
  })
  expect(JSON.stringify([...ldap.log, ...refused.log])).not.toContain('a-very-secret-one')
})
