/** Logging in with a certificate (XEP-0178 §2), over real TLS. */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAuthority, makeClientCertificate, revoke } from '../harness/certificates.ts'
import { type ConnectOptions, TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { run } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

type Pair = NonNullable<ConnectOptions['certificate']>

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const base64 = (text: string) => Buffer.from(text).toString('base64')

let folder: Folder
let server: Server
/** By what they are. */
const certificates: Record<string, Pair> = {}

beforeAll(async () => {
  folder = temporaryFolder('external')
  const [ours, others, foreign] = [
    await makeAuthority(folder),
    await makeAuthority(folder, 'other-ca.pem'),
    await makeAuthority(folder, 'foreign.pem'),
  ]
  const make = async (
    name: string,
    ...[authority, more]: [typeof ours, Parameters<typeof makeClientCertificate>[3]]
  ) => {
    certificates[name] = await makeClientCertificate(folder, name, authority, more)
  }
  const alice = { addresses: ['alice@localhost'] }
  await make('alice', ours, alice)
  await make('several', ours, { addresses: ['alice@localhost', 'Bob@LOCALHOST', 'alice@other.example'] })
  await make('two-hosts', ours, { addresses: ['alice@localhost', 'bob@other.example'] })
  await make('umlaut', ours, { addresses: ['jürgen@localhost'] })
  await make('nobody', ours, { addresses: ['nobody@localhost'] })
  await make('closed', ours, { addresses: ['closed@localhost'] })
  await make('elsewhere', ours, { addresses: ['alice@elsewhere.example'] })
  await make('resource', ours, { addresses: ['alice@localhost/phone'] })
  await make('host', ours, { addresses: ['localhost'] })
  await make('forged', ours, { dns: ['foo, othername:XmppAddr:alice@localhost'] })
  await make('expired', ours, { ...alice, from: '20200101000000Z', to: '20210101000000Z' })
  await make('early', ours, { ...alice, from: '20900101000000Z', to: '20910101000000Z' })
  await make('for-servers', ours, { ...alice, usage: 'serverAuth' })
  await make('foreign', foreign, alice)
  await make('other', others, { addresses: ['alice@localhost', 'alice@other.example'] })
  await make('revoked', others, { addresses: ['alice@other.example'] })
  writeFileSync(folder.file('crl.pem'), await revoke(folder, 'revoked'))
  server = await startServer({
    config: {
      hosts: ['localhost', 'other.example', 'plain.example'],
      host_config: {
        localhost: { c2s_cafile: folder.file('ca.pem') },
        'other.example': { c2s_cafile: [folder.file('other-ca.pem'), folder.file('crl.pem')] },
      },
    },
  })
  for (const jid of [
    'alice@localhost',
    'bob@localhost',
    'jürgen@localhost',
    'closed@localhost',
    'alice@other.example',
  ]) {
    const [user = '', host = ''] = jid.split('@')
    await server.must('register_identified', user, host, 'pw')
  }
  await server.must('ban_account', 'closed', 'localhost', 'for a test')
}, 60_000)
afterAll(async () => {
  expect(await server.stop()).toBe(0)
  folder.remove()
})

type How = Omit<ConnectOptions, 'port'>

/** A client behind TLS, with the server's features. */
async function connect(name: string | undefined, how: How = {}): Promise<TestClient> {
  const certificate = name === undefined ? undefined : certificates[name]
  const client = await TestClient.connect({
    port: how.tls === 'direct' ? server.tlsPort : server.port,
    ...(certificate ? { certificate } : {}),
    ...how,
  })
  await client.open()
  if (how.tls !== 'direct') await client.startTls()
  return client
}

/** What comes of EXTERNAL: `success` and the JID, or the condition. */
async function external(client: TestClient, text = '='): Promise<string> {
  client.send(`<auth xmlns='${sasl}' mechanism='EXTERNAL'>${text}</auth>`)
  const answer = await client.waitFor(({ xmlns }) => xmlns === sasl)
  if (answer.name !== 'success') return answer.children[0]?.name ?? ''
  await client.open()
  return (await client.bind('r')).replace('/r', '')
}

describe('a certificate that is for an account', () => {
  it.each<[string, How]>([
    ['STARTTLS', {}],
    ['direct TLS', { tls: 'direct' }],
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['direct TLS 1.2', { tls: 'direct', maxVersion: 'TLSv1.2' }],
    ['direct TLS to another host', { tls: 'direct', domain: 'other.example' }],
    ['STARTTLS without a name in TLS', { sni: '' }],
    ['STARTTLS without a name in TLS, to another host', { sni: '', domain: 'other.example' }],
  ])('logs in over %s, and EXTERNAL stands first', async (_what, how) => {
    const client = await connect(how.domain === undefined ? 'alice' : 'other', how)
    expect(client.mechanisms[0]).toBe('EXTERNAL')
    expect(client.mechanisms).toContain('PLAIN')
    expect(await external(client)).toBe(`alice@${how.domain ?? 'localhost'}`)
    await client.close()
  })

  it('may name the address, which is compared as addresses are', async () => {
    expect(await external(await connect('alice'), base64('ALICE@Localhost'))).toBe('alice@localhost')
    expect(await external(await connect('umlaut'))).toBe('jürgen@localhost')
  })

  it('may say nothing at first', async () => {
    const client = await connect('alice')
    client.send(`<auth xmlns='${sasl}' mechanism='EXTERNAL'/>`)
    await client.waitFor('challenge')
    client.send(`<response xmlns='${sasl}'/>`)
    expect((await client.waitFor(({ xmlns }) => xmlns === sasl)).name).toBe('success')
  })

  it.each([
    ['another address', 'alice', 'bob@localhost', 'invalid-authzid'],
    ['a full JID', 'alice', 'alice@localhost/x', 'invalid-authzid'],
    ['a user alone', 'alice', 'alice', 'invalid-authzid'],
    ['an address of another host', 'two-hosts', 'bob@other.example', 'invalid-authzid'],
    ['none where there are several', 'several', '', 'invalid-authzid'],
    ['one of several', 'several', 'bob@localhost', 'bob@localhost'],
    ['none where one is for this host', 'two-hosts', '', 'alice@localhost'],
    ['nobody', 'nobody', '', 'not-authorized'],
    ['a closed account', 'closed', '', 'account-disabled'],
    ['a NUL', 'alice', 'alice@localhost\0', 'malformed-request'],
  ])('with %s', async (_what, name, authzid, outcome) => {
    const client = await connect(name)
    expect(await external(client, authzid === '' ? '=' : base64(authzid))).toBe(outcome)
  })

  it('still lets its owner use a password', async () => {
    const client = await connect('alice')
    await client.authenticate('bob', 'pw')
    expect(await client.bind('r')).toBe('bob@localhost/r')
  })

  it('is continued with in a TLS session that is resumed', async () => {
    const first = await connect('alice', { tls: 'direct', maxVersion: 'TLSv1.2' })
    const session = first.tls.getSession()
    if (!session) throw new Error('no session')
    const again = await connect('alice', { tls: 'direct', maxVersion: 'TLSv1.2', session })
    expect(again.tls.isSessionReused()).toBe(true)
    expect(await external(again)).toBe('alice@localhost')
    // not with another host, whose authorities have not seen it
    const elsewhere = await connect('alice', {
      tls: 'direct',
      maxVersion: 'TLSv1.2',
      session,
      domain: 'other.example',
    })
    expect(elsewhere.mechanisms).not.toContain('EXTERNAL')
  })
})

describe('EXTERNAL is not offered, and not accepted', () => {
  it.each<[string, string | undefined, How]>([
    ['without a certificate', undefined, {}],
    ['for an address elsewhere', 'elsewhere', {}],
    ['for a resource', 'resource', {}],
    ['for a host', 'host', {}],
    ['for a name that looks like an address', 'forged', {}],
    ['when it has ended', 'expired', {}],
    ['when it has not begun', 'early', {}],
    ['when it is for servers', 'for-servers', {}],
    ['from an authority that is not ours', 'foreign', {}],
    ["from another host's authority", 'other', {}],
    ["from another host's authority, whom the client has named in TLS", 'other', { sni: 'other.example' }],
    ['when it is revoked', 'revoked', { domain: 'other.example' }],
    ['by a host that asks for none', 'alice', { domain: 'plain.example' }],
  ])('%s', async (_what, name, how) => {
    for (const tls of ['starttls', 'direct'] as const) {
      const client = await connect(name, { tls, ...how })
      expect(client.mechanisms).not.toContain('EXTERNAL')
      expect(client.mechanisms.length).toBeGreaterThan(0)
      expect(await external(client, base64(`alice@${how.domain ?? 'localhost'}`))).toBe('invalid-mechanism')
    }
  })

  it('in the clear', async () => {
    const client = await TestClient.connect({ port: server.port })
    await client.open()
    client.send(`<auth xmlns='${sasl}' mechanism='EXTERNAL'>=</auth>`)
    expect((await client.waitFor('failure')).children[0]?.name).toBe('encryption-required')
  })
})

describe('a certificate is asked for', () => {
  /** What OpenSSL's client says of the authorities that the server named. */
  const asked = async (host: string, ca?: string): Promise<boolean> => {
    const to = ['-connect', `127.0.0.1:${server.port}`, '-starttls', 'xmpp', '-xmpphost', host]
    const { stdout } = await run('openssl', ['s_client', ...to, '-servername', host, '-tls1_2'], {
      input: '',
    })
    if (ca !== undefined) expect(stdout).toContain(ca)
    return !stdout.includes('No client certificate CA names sent')
  }

  it('by a host that has authorities, naming them, and by no other', async () => {
    expect(await asked('localhost', 'Authority ca.pem')).toBe(true)
    expect(await asked('other.example', 'Authority other-ca.pem')).toBe(true)
    expect(await asked('plain.example')).toBe(false)
  })
})

describe('the files of the authorities', () => {
  it('are read again when they change', async () => {
    const file = folder.file('changing.pem')
    const [one, two] = [await makeAuthority(folder, 'one.pem'), await makeAuthority(folder, 'two.pem')]
    writeFileSync(file, one.cert)
    const other = await startServer({ config: { c2s_cafile: file } })
    try {
      const mechanisms = async (authority: typeof one, name: string) => {
        const certificate = await makeClientCertificate(folder, name, authority, {
          addresses: ['alice@localhost'],
        })
        const client = await TestClient.connect({ port: other.tlsPort, tls: 'direct', certificate })
        await client.open()
        const { mechanisms: offered } = client
        await client.close()
        return offered
      }
      expect(await mechanisms(one, 'by-one')).toContain('EXTERNAL')
      expect(await mechanisms(two, 'by-two')).not.toContain('EXTERNAL')
      writeFileSync(file, two.cert)
      await until(
        () => `a new certificate; the log:\n${other.log()}`,
        () => other.log().includes('certificate renewed'),
        20_000,
      )
      expect(await mechanisms(one, 'by-one')).not.toContain('EXTERNAL')
      expect(await mechanisms(two, 'by-two')).toContain('EXTERNAL')
    } finally {
      await other.stop()
    }
  }, 40_000)
})
