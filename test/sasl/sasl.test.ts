import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Accounts } from '../../server-core/accounts/accounts.ts'
import { scramSha256 } from '../../server-core/accounts/formats/scram.ts'
import type { NewPasswordFormat } from '../../server-core/accounts/password.ts'
import { Authenticator } from '../../server-core/auth/authenticator.ts'
import { type AuthBackend, BackendUnavailable } from '../../server-core/auth/backend.ts'
import { InternalBackend } from '../../server-core/auth/internal.ts'
import { silentLogger } from '../../server-core/log.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import {
  type ChannelBinding,
  mechanismsFor,
  type SaslContext,
  type SaslMechanism,
  type SaslStep,
  saslMechanisms,
} from '../../server-core/stream/sasl/index.ts'
import { scram as mechanism } from '../../server-core/stream/sasl/scram.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { offerHash, scram } from '../harness/scram.ts'

const host = 'a.example'
const signal = new AbortController().signal
const log = silentLogger()
const serverSecret = Buffer.alloc(32, 5)

let folder: Folder
let storage: Storage

beforeEach(async () => {
  folder = temporaryFolder('sasl')
  storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
})

afterEach(async () => {
  await storage.close()
  folder.remove()
})

function accounts(passwordFormat: NewPasswordFormat = 'scram'): Accounts {
  return new Accounts({ storage, log, passwordFormat, rehash: false, secret: serverSecret })
}

function authenticator(...backends: AuthBackend[]): Authenticator {
  const chain = backends.length > 0 ? backends : [new InternalBackend(accounts())]
  return new Authenticator(
    host,
    chain.map((backend) => ({ name: 'internal', backend })),
    log,
  )
}

async function ann(password = 'pencil'): Promise<void> {
  await accounts().create('ann', host, Buffer.from(password), signal)
}

const down: AuthBackend = {
  checkPassword: () => Promise.reject(new BackendUnavailable('down')),
  accountExists: () => Promise.reject(new BackendUnavailable('down')),
  scramKeys: () => Promise.reject(new BackendUnavailable('down')),
}

function context(more: Partial<SaslContext> = {}): SaslContext {
  return {
    host,
    authenticator: authenticator(),
    secure: true,
    offered: [],
    protectsOffer: false,
    certificateUsers: [],
    serverSecret,
    signal,
    ...more,
  }
}

function named(name: string): SaslMechanism {
  const found = saslMechanisms.get(name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found
}

function failed(condition: string, user?: string) {
  const counts = condition !== 'temporary-auth-failure'
  return { kind: 'failure', condition, counts, ...(user === undefined ? {} : { user }) }
}

describe('mechanisms', () => {
  const offer = (
    auth: Authenticator,
    options: { secure?: boolean; clear?: boolean; binding?: ChannelBinding } = {},
  ) =>
    mechanismsFor(auth, {
      secure: options.secure ?? true,
      allowPlainInClear: options.clear ?? false,
      channelBinding: options.binding,
    })
  const binding: ChannelBinding = { types: ['tls-exporter'], data: () => Buffer.from('data') }

  test('are offered best first, as far as all accounts can be served', async () => {
    await accounts('plain').create('ann', host, Buffer.from('pencil'), signal)
    expect(await offer(authenticator(), { binding })).toEqual([
      'SCRAM-SHA-512-PLUS',
      'SCRAM-SHA-256-PLUS',
      'SCRAM-SHA-1-PLUS',
      'SCRAM-SHA-512',
      'SCRAM-SHA-256',
      'SCRAM-SHA-1',
      'PLAIN',
    ])
    await accounts().create('bob', host, Buffer.from('pencil'), signal)
    expect(await offer(authenticator())).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'])
    expect(await offer(authenticator(), { secure: false, binding })).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-1'])
    expect(await offer(authenticator(), { secure: false, clear: true })).toEqual([
      'SCRAM-SHA-256',
      'SCRAM-SHA-1',
      'PLAIN',
    ])
    await accounts('bcrypt').create('cid', host, Buffer.from('pencil'), signal)
    expect(await offer(authenticator(), { binding })).toEqual(['PLAIN'])
    expect(await offer(authenticator(), { secure: false })).toEqual([])
  })

  test('of a backend that takes passwords only, or is out, are PLAIN over TLS', async () => {
    expect(await offer(authenticator(down))).toEqual(['PLAIN'])
    expect(await offer(authenticator(new InternalBackend(accounts()), down))).toEqual(['PLAIN'])
    expect(await offer(authenticator(down), { secure: false })).toEqual([])
  })
})

describe('PLAIN', () => {
  const plain = (message: string | Buffer, more: Partial<SaslContext> = {}) =>
    named('PLAIN').start(context(more)).step(Buffer.from(message))

  test.each([
    '\0ann\0pencil',
    '\0ANN\0pencil',
    'ann@a.example\0ann\0pencil',
    'Ann@A.EXAMPLE\0ann\0pencil',
    '\0ann@a.example\0pencil',
  ])('lets %j in', async (message) => {
    await ann()
    expect(await plain(message)).toEqual({ kind: 'success', user: 'ann', backend: 'internal' })
  })

  test.each([
    ['\0ann\0Pencil', failed('not-authorized', 'ann')],
    ['\0bob\0pencil', failed('not-authorized', 'bob')],
    ['bob@a.example\0ann\0pencil', failed('invalid-authzid', 'ann')],
    ['ann@b.example\0ann\0pencil', failed('invalid-authzid', 'ann')],
    ['ann@a.example/home\0ann\0pencil', failed('invalid-authzid', 'ann')],
    ['a.example\0ann\0pencil', failed('invalid-authzid', 'ann')],
    ['ann\0ann\0pencil', failed('invalid-authzid', 'ann')],
    ['\0ann\0bell\u0007', failed('malformed-request', 'ann')],
    ['\0an n\0pencil', failed('malformed-request')],
    ['\0ann@b.example\0pencil', failed('malformed-request')],
    ['\0\0pencil', failed('malformed-request')],
    ['\0ann\0', failed('malformed-request')],
    ['\0ann', failed('malformed-request')],
    ['ann', failed('malformed-request')],
    ['', failed('malformed-request')],
    ['\0ann\0pencil\0', failed('malformed-request')],
    ['\0ann\0pen\0cil', failed('malformed-request')],
  ] as const)('does not let %j in', async (message, step) => {
    await ann()
    expect(await plain(message)).toEqual(step)
  })

  test('takes names in UTF-8 only', async () => {
    expect(await plain(Buffer.from('\0\xff\0pencil', 'latin1'))).toEqual(failed('malformed-request'))
  })

  test('prepares passwords', async () => {
    await ann('cr\u00eape')
    expect(await plain('\0ann\0cre\u0302pe')).toMatchObject({ kind: 'success' })
  })

  test('says that an account is closed only to who has its password', async () => {
    await ann()
    await accounts().disable('ann', host)
    expect(await plain('\0ann\0pencil')).toEqual(failed('account-disabled', 'ann'))
    expect(await plain('\0ann\0wrong')).toEqual(failed('not-authorized', 'ann'))
  })

  test('says that a password has ended, if the backend does', async () => {
    const backend: AuthBackend = {
      checkPassword: async (_user, _host, password) => ({
        ok: false,
        reason: password.toString() === 'pencil' ? 'expired' : 'wrong',
      }),
      accountExists: async () => true,
    }
    expect(await plain('\0ann\0pencil', { authenticator: authenticator(backend) })).toEqual(
      failed('credentials-expired', 'ann'),
    )
    expect(await plain('\0ann\0wrong', { authenticator: authenticator(backend) })).toEqual(
      failed('not-authorized', 'ann'),
    )
  })

  test('does the same work, and says the same, whether there is such an account or not', async () => {
    await ann()
    await accounts().create('cid', host, Buffer.from('pencil'), signal)
    await accounts().disable('cid', host)
    const verify = vi.spyOn(scramSha256, 'verify')
    try {
      for (const user of ['ann', 'bob', 'cid']) {
        verify.mockClear()
        expect(await plain(`\0${user}\0wrong`)).toEqual(failed('not-authorized', user))
        expect(verify).toHaveBeenCalledTimes(1)
        const [value = ''] = verify.mock.calls[0] ?? []
        // as many iterations, so as much time
        expect(value).toMatch(/^SCRAM-SHA-256\$10000:/)
      }
    } finally {
      verify.mockRestore()
    }
  })

  test('fails for now, and counts no attempt, when it cannot be found out', async () => {
    expect(await plain('\0ann\0pencil', { authenticator: authenticator(down) })).toEqual(
      failed('temporary-auth-failure', 'ann'),
    )
  })
})

describe('SCRAM', () => {
  interface Login {
    readonly user?: string
    readonly password?: string
    readonly more?: Partial<SaslContext>
    readonly binding?: Buffer
    readonly change?: (message: string, which: 'first' | 'final') => string
  }

  /** A login by the client half of the harness. */
  async function login(
    name: string,
    options: Login = {},
  ): Promise<{ challenge: string; last: SaslStep; proved: boolean }> {
    const { user = 'ann', password = 'pencil', change = (message: string) => message } = options
    const client = scram(name, user, password, options.binding)
    const exchange = named(name).start(context({ offered: [name], ...options.more }))
    const first = await exchange.step(Buffer.from(change(client.first, 'first')))
    if (first.kind !== 'challenge') return { challenge: '', last: first, proved: false }
    const challenge = first.data.toString()
    const last = await exchange.step(Buffer.from(change(client.final(challenge), 'final')))
    const proved = last.kind === 'success' && client.verify(last.data?.toString() ?? '')
    return { challenge, last, proved }
  }

  test('repeats the exchange of RFC 5802 §5', async () => {
    const value =
      'SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE='
    await storage.accounts.create('user', host, [{ label: '', format: 'scram-sha-1', value, changed: 1 }])
    const exchange = mechanism('SHA-1', { plus: false, nonce: () => '3rfcNHYJY1ZVvWVs7j' }).start(context())
    const challenge = await exchange.step(Buffer.from('n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL'))
    expect(challenge).toEqual({
      kind: 'challenge',
      data: Buffer.from('r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096'),
    })
    const final = 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts='
    expect(await exchange.step(Buffer.from(final))).toEqual({
      kind: 'success',
      user: 'user',
      backend: 'internal',
      data: Buffer.from('v=rmF9pqV8S7suAoZWja4dJRkFsKQ='),
    })
  })

  test('repeats the exchange of RFC 7677 §3', async () => {
    const value =
      'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
    await storage.accounts.create('user', host, [{ label: '', format: 'scram-sha-256', value, changed: 1 }])
    const nonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
    const exchange = mechanism('SHA-256', { plus: false, nonce: () => nonce }).start(context())
    await exchange.step(Buffer.from('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'))
    const final = `c=biws,r=rOprNGfwEbeRWgbNEkqO${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
    expect(await exchange.step(Buffer.from(final))).toMatchObject({
      kind: 'success',
      data: Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='),
    })
  })

  describe('tells what was offered (XEP-0474)', () => {
    const challengeOf = async (name: string, more: Partial<SaslContext>): Promise<string> => {
      await ann()
      const step = await named(name)
        .start(context({ protectsOffer: true, ...more }))
        .step(Buffer.from(`${name.endsWith('-PLUS') ? 'p=tls-exporter' : 'n'},,n=ann,r=abc`))
      return step.kind === 'challenge' ? step.data.toString() : step.kind
    }
    const channelBinding: ChannelBinding = {
      types: ['tls-server-end-point', 'tls-exporter'],
      data: () => Buffer.from('data'),
    }

    test('as in the example of §5.3', async () => {
      const offered = ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1']
      for (const name of offered) {
        const challenge = await challengeOf(name, { offered, channelBinding })
        expect(challenge).toMatch(/,i=4096,h=G6k\/rBLDqgOhRRaCuuatSDFkJ08=$/)
      }
    })

    test('without the list of bindings where none was shown', async () => {
      const offered = ['SCRAM-SHA-256', 'PLAIN']
      const challenge = await challengeOf('SCRAM-SHA-256', { offered, channelBinding })
      expect(challenge).toContain(`,h=${offerHash('SCRAM-SHA-256', ['PLAIN', 'SCRAM-SHA-256'], undefined)}`)
    })

    test('unless that is switched off', async () => {
      const offered = ['SCRAM-SHA-1']
      expect(await challengeOf('SCRAM-SHA-1', { offered, protectsOffer: false })).not.toContain(',h=')
    })

    test('in a way that nobody in between can change: the proof is over it', async () => {
      await ann()
      const client = scram('SCRAM-SHA-256', 'ann', 'pencil')
      const exchange = named('SCRAM-SHA-256').start(
        context({ protectsOffer: true, offered: ['SCRAM-SHA-256', 'SCRAM-SHA-1'] }),
      )
      const first = await exchange.step(Buffer.from(client.first))
      const challenge = first.kind === 'challenge' ? first.data.toString() : ''
      const changed = challenge.replace(
        /h=.*/,
        `h=${offerHash('SCRAM-SHA-256', ['SCRAM-SHA-256'], undefined)}`,
      )
      expect(changed).not.toBe(challenge)
      expect(await exchange.step(Buffer.from(client.final(changed)))).toEqual(failed('not-authorized', 'ann'))
    })
  })

  test.each(['SCRAM-SHA-1', 'SCRAM-SHA-256'])(
    '%s lets in who has the password, and proves itself',
    async (name) => {
      await ann()
      expect(await login(name)).toMatchObject({ last: { kind: 'success', user: 'ann' }, proved: true })
      expect(await login(name, { user: 'ANN' })).toMatchObject({ last: { kind: 'success', user: 'ann' } })
      expect(await login(name, { password: 'Pencil' })).toMatchObject({
        last: failed('not-authorized', 'ann'),
      })
    },
  )

  test('SCRAM-SHA-512 serves plain passwords', async () => {
    await accounts('plain').create('ann', host, Buffer.from('pencil'), signal)
    expect(await login('SCRAM-SHA-512')).toMatchObject({ last: { kind: 'success' }, proved: true })
  })

  test('shows an unknown user what it shows a known one, the same each time', async () => {
    await ann()
    const known = await login('SCRAM-SHA-256')
    const one = await login('SCRAM-SHA-256', { user: 'bob' })
    const again = await login('SCRAM-SHA-256', { user: 'BOB' })
    const other = await login('SCRAM-SHA-256', { user: 'cid' })
    const shape = (challenge: string) =>
      challenge.replace(/[A-Za-z0-9+/]{20,}=*/g, (text) => String(text.length))
    const salt = (challenge: string) => /s=([^,]+)/.exec(challenge)?.[1]
    expect(shape(one.challenge)).toBe(shape(known.challenge))
    expect(salt(again.challenge)).toBe(salt(one.challenge))
    expect(salt(other.challenge)).not.toBe(salt(one.challenge))
    expect(one.last).toEqual(failed('not-authorized', 'bob'))
  })

  test('has a new nonce each time, of 18 random bytes at least', async () => {
    await ann()
    const nonces = await Promise.all(
      [1, 2, 3].map(async () => (await login('SCRAM-SHA-256')).challenge.split(',')[0]),
    )
    expect(new Set(nonces).size).toBe(3)
    expect((nonces[0]?.length ?? 0) - 'r='.length - 24).toBeGreaterThanOrEqual(24)
  })

  test('says that an account is closed only to who has its password', async () => {
    await ann()
    await accounts().disable('ann', host)
    expect((await login('SCRAM-SHA-256')).last).toEqual(failed('account-disabled', 'ann'))
    expect((await login('SCRAM-SHA-256', { password: 'x' })).last).toEqual(failed('not-authorized', 'ann'))
  })

  test('fails for now, and counts no attempt, when it cannot be found out', async () => {
    const more = { authenticator: authenticator(down) }
    expect((await login('SCRAM-SHA-256', { more })).last).toEqual(failed('temporary-auth-failure', 'ann'))
  })

  test('takes names with commas and equals signs', async () => {
    await accounts().create('a=b,c', host, Buffer.from('pencil'), signal)
    expect(await login('SCRAM-SHA-256', { user: 'a=b,c' })).toMatchObject({
      last: { user: 'a=b,c' },
      proved: true,
    })
  })

  test.each([
    ['', 'malformed-request'],
    ['n', 'malformed-request'],
    ['n,,n=ann', 'malformed-request'],
    ['n,,n=,r=abc', 'malformed-request'],
    ['n,,n=ann,r=', 'malformed-request'],
    ['x,,n=ann,r=abc', 'malformed-request'],
    ['n,,m=ext,n=ann,r=abc', 'malformed-request'],
    ['n,,n=a=nn,r=abc', 'malformed-request'],
    ['n,,n=an n,r=abc', 'malformed-request'],
    ['n,,n=ann,r=a b', 'malformed-request'],
    ['n,a=bob@a.example,n=ann,r=abc', 'invalid-authzid'],
    ['n,a=a=example,n=ann,r=abc', 'malformed-request'],
    ['p=tls-exporter,,n=ann,r=abc', 'not-authorized'],
  ] as const)('does not go on from %j', async (message, condition) => {
    await ann()
    const { last } = await login('SCRAM-SHA-256', { change: () => message })
    expect(last).toMatchObject({ kind: 'failure', condition })
  })

  test.each([
    ['another nonce', (final: string) => final.replace(/r=./, 'r=!')],
    ['a shorter nonce', (final: string) => final.replace(/r=(.*).,p=/, 'r=$1,p=')],
    ['another header', (final: string) => final.replace('c=biws', 'c=eSws')],
    ['an extension that the proof is not of', (final: string) => final.replace(',p=', ',x=y,p=')],
  ])('takes no final message with %s', async (_, change) => {
    await ann()
    const { last } = await login('SCRAM-SHA-256', {
      change: (message, which) => (which === 'final' ? change(message) : message),
    })
    expect(last).toEqual(failed('not-authorized', 'ann'))
  })

  test.each([
    ['no proof', (final: string) => final.replace(/,p=.*/, '')],
    ['a short proof', (final: string) => final.replace(/,p=.*/, ',p=AAAA')],
    ['an empty proof', (final: string) => final.replace(/,p=.*/, ',p=')],
    ['nothing', () => ''],
  ])('takes no final message with %s', async (_, change) => {
    await ann()
    const { last } = await login('SCRAM-SHA-256', {
      change: (message, which) => (which === 'final' ? change(message) : message),
    })
    expect(last).toEqual(failed('malformed-request', 'ann'))
  })

  /** A SHA-256 login whose proof is right, of exactly the messages that are sent. */
  async function sworn(
    header: string,
    more: Partial<SaslContext>,
    nonceOf = (both: string) => both,
  ): Promise<SaslStep> {
    const exchange = named('SCRAM-SHA-256').start(context(more))
    const bare = 'n=ann,r=abc'
    const first = await exchange.step(Buffer.from(header + bare))
    if (first.kind !== 'challenge') return first
    const challenge = first.data.toString()
    const [, both = '', salt = '', iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge) ?? []
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const salted = pbkdf2Sync('pencil', Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const stored = createHash('sha256').update(clientKey).digest()
    const withoutProof = `c=${Buffer.from(header).toString('base64')},r=${nonceOf(both)}`
    const signature = hmac(stored, `${bare},${challenge},${withoutProof}`)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0))).toString(
      'base64',
    )
    return exchange.step(Buffer.from(`${withoutProof},p=${proof}`))
  }

  test('takes a right proof of the messages as they were meant, and of no others', async () => {
    await ann()
    expect(await sworn('n,,', {})).toMatchObject({ kind: 'success' })
    expect(await sworn('y,,', {})).toMatchObject({ kind: 'success' })
    expect(await sworn('n,a=ann@a.example,', {})).toMatchObject({ kind: 'success' })
    for (const nonceOf of [() => 'abc', (both: string) => both.slice(0, -1), (both: string) => `${both}x`]) {
      expect(await sworn('n,,', {}, nonceOf)).toEqual(failed('not-authorized', 'ann'))
    }
    // -PLUS was offered, and the client did not see it: somebody between has taken it out of the list.
    const offered = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
    expect(await sworn('y,,', { offered })).toEqual(failed('not-authorized', 'ann'))
    expect(await sworn('n,,', { offered })).toMatchObject({ kind: 'success' })
  })

  test('an authorization identity that is one’s own is taken', async () => {
    await ann()
    const exchange = named('SCRAM-SHA-256').start(context())
    const step = await exchange.step(Buffer.from('n,a=Ann@A.example,n=ann,r=abc'))
    expect(step.kind).toBe('challenge')
  })

  describe('with channel binding', () => {
    const data = Buffer.from('exported keying material of 32 B')
    const channelBinding: ChannelBinding = { types: ['tls-exporter'], data: () => data }
    const more = { channelBinding, offered: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] }

    test('lets in who speaks on the same connection', async () => {
      await ann()
      const there = await login('SCRAM-SHA-256-PLUS', { more, binding: data })
      expect(there).toMatchObject({ last: { kind: 'success' }, proved: true })
      const between = await login('SCRAM-SHA-256-PLUS', {
        more,
        binding: Buffer.from('of another connection'),
      })
      expect(between.last).toEqual(failed('not-authorized', 'ann'))
    })

    test.each(['n,,', 'y,,', 'p=tls-unique,,', 'p=tls-server-end-point,,'])(
      'does not take the header %j',
      async (header) => {
        await ann()
        const { last } = await login('SCRAM-SHA-256-PLUS', {
          more,
          binding: data,
          change: (message) => message.replace('p=tls-exporter,,', header),
        })
        expect(last).toEqual(failed('not-authorized', 'ann'))
      },
    )
  })
})
