/** Clients that others have written log in with every mechanism that they know, over STARTTLS and direct TLS. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeAuthority, makeCertificate, makeClientCertificate } from '../harness/certificates.ts'
import { TestClient } from '../harness/client.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { peerFixtures } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { run } from '../harness/process.ts'
import { startPython } from '../harness/python.ts'
import { type Server, startServer } from '../harness/server.ts'

const password = 'pässword, = 1'
/** @xmpp/client 0.14 writes PLAIN as Latin-1. */
const asciiPassword = 'pass=word, 1'
const folder = temporaryFolder('peers-login')
let server: Server

beforeAll(async () => {
  const authority = await makeAuthority(folder)
  await makeCertificate(folder, 'server', authority, {
    dns: ['localhost', 'guests.example'],
    ip: ['127.0.0.1'],
  })
  await makeClientCertificate(folder, 'carol', authority, { addresses: ['carol@localhost'] })
  server = await startServer({
    config: {
      hosts: ['localhost', 'guests.example'],
      certfiles: [folder.file('server.both')],
      // so that SCRAM is offered with every hash
      auth_password_format: 'plain',
      host_config: {
        localhost: { c2s_cafile: folder.file('ca.pem') },
        'guests.example': { auth_method: 'anonymous' },
      },
    },
  })
  await server.must('register_identified', 'carol', 'localhost', password)
  await server.must('register_identified', 'dave', 'localhost', asciiPassword)
  return async () => {
    expect(await server.stop()).toBe(0)
    folder.remove()
  }
}, 60_000)

const ways = ['starttls', 'direct'] as const

describePeer('slixmpp', 'slixmpp', () => {
  const connect = (jid: string, tls: (typeof ways)[number], secret: string, ...more: string[]) => {
    const port = tls === 'direct' ? server.tlsPort : server.port
    const how = tls === 'direct' ? ['--direct'] : []
    return startPython('slixmpp_client.py', [jid, '127.0.0.1', String(port), ...how, ...more], secret)
  }

  describe.each(ways)('over %s', (tls) => {
    // It can bind to the channel, so it may not use the names without -PLUS where both are offered (RFC 5802 §6).
    test.each(['SCRAM-SHA-512-PLUS', 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS', 'PLAIN'])(
      'with %s',
      async (mechanism) => {
        const client = connect('carol@localhost/test', tls, password, '--mechanism', mechanism)
        expect(await client.event('session')).toMatchObject({ jid: 'carol@localhost/test', mechanism })
        await client.stop()
      },
    )

    test('with EXTERNAL', async () => {
      const [certificate, key] = [folder.file('carol.pem'), folder.file('carol.key')]
      const more = ['--certificate', certificate, '--key', key, '--mechanism', 'EXTERNAL']
      const client = connect('carol@localhost/test', tls, '', ...more)
      expect(await client.event('session')).toMatchObject({
        jid: 'carol@localhost/test',
        mechanism: 'EXTERNAL',
      })
      await client.stop()
    })

    test('with ANONYMOUS', async () => {
      const client = connect('guests.example', tls, '', '--mechanism', 'ANONYMOUS')
      const jid = expect.stringMatching(/^[0-9a-f-]{36}@guests\.example\//)
      expect(await client.event('session')).toMatchObject({ jid, mechanism: 'ANONYMOUS' })
      await client.stop()
    })

    test('which is all that is offered and known to it', async () => {
      const client = await TestClient.connect({
        port: tls === 'direct' ? server.tlsPort : server.port,
        ...(tls === 'direct' && { tls }),
        certificate: {
          cert: readFileSync(folder.file('carol.pem'), 'utf8'),
          key: readFileSync(folder.file('carol.key'), 'utf8'),
        },
      })
      await client.open()
      if (tls === 'starttls') await client.startTls()
      const bound = ['SCRAM-SHA-512-PLUS', 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS']
      const unbound = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']
      expect(client.mechanisms).toEqual(['EXTERNAL', ...bound, ...unbound, 'PLAIN'])
      client.destroy()
    })

    test('with a wrong password, which is refused', async () => {
      const client = connect('carol@localhost/test', tls, 'wrong')
      expect(await client.event('failed-auth')).toHaveProperty('condition', 'not-authorized')
      await client.stop()
    })
  })
})

describePeer('slixmpp', 'slixmpp without TLS, where a listener lets it', () => {
  let clear: Server
  beforeAll(async () => {
    clear = await startServer({
      listener: { starttls_required: false, allow_unencrypted_plain_auth: true },
      config: { auth_password_format: 'plain' },
    })
    await clear.must('register_identified', 'carol', 'localhost', password)
    return async () => {
      expect(await clear.stop()).toBe(0)
    }
  })

  test.each(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'])('with %s', async (mechanism) => {
    const words = [
      'carol@localhost/test',
      '127.0.0.1',
      String(clear.port),
      '--clear',
      '--mechanism',
      mechanism,
    ]
    const client = startPython('slixmpp_client.py', words, password)
    expect(await client.event('session')).toMatchObject({ jid: 'carol@localhost/test', mechanism })
    await client.stop()
  })
})

describePeer('@xmpp/client', '@xmpp/client', () => {
  async function events(tls: (typeof ways)[number], words: readonly string[], secret = asciiPassword) {
    const service =
      tls === 'direct' ? `xmpps://127.0.0.1:${server.tlsPort}` : `xmpp://127.0.0.1:${server.port}`
    const { stdout, stderr } = await run(
      process.execPath,
      [`${peerFixtures}/xmppjs_client.mjs`, service, ...words],
      // it verifies the server's certificate
      { env: { PEER_PASSWORD: secret, NODE_EXTRA_CA_CERTS: folder.file('ca.pem') } },
    )
    expect(stderr).toBe('')
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  describe.each(ways)('over %s', (tls) => {
    test.each(['SCRAM-SHA-1', 'PLAIN'])('with %s', async (mechanism) => {
      const jid = 'dave@localhost/test'
      expect(await events(tls, ['localhost', 'dave', mechanism])).toEqual([
        { event: 'online', jid, mechanism, secure: true },
        { event: 'message', from: jid, body: 'fish & <chips>' },
      ])
    })

    test('with ANONYMOUS', async () => {
      const jid = expect.stringMatching(/^[0-9a-f-]{36}@guests\.example\/test$/)
      expect(await events(tls, ['guests.example'])).toEqual([
        { event: 'online', jid, mechanism: 'ANONYMOUS', secure: true },
        { event: 'message', from: jid, body: 'fish & <chips>' },
      ])
    })

    test('with a wrong password, which is refused', async () => {
      const [first] = await events(tls, ['localhost', 'dave'], 'wrong')
      expect(first).toMatchObject({ event: 'error', condition: 'not-authorized' })
    })
  })
})
