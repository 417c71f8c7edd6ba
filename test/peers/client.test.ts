/** The client of the journeys, against a server that is not ours: what it expects is what XMPP says, not what we do. */
import { beforeAll, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { describePeer } from '../harness/peers.ts'
import { type Prosody, startProsody } from '../harness/prosody.ts'
import { at } from '../harness/stanza.ts'

const password = 'pässword'

describePeer('prosody', 'the test client against Prosody', () => {
  let prosody: Prosody

  beforeAll(async () => {
    prosody = await startProsody('localhost')
    for (const user of ['alice', 'bob']) await prosody.register(user, password)
    return () => prosody.stop()
  })

  test('logs in with SCRAM over STARTTLS and with PLAIN over direct TLS, and messages go through', async () => {
    const login = { port: prosody.port, password }
    const alice = await TestClient.login({
      ...login,
      user: 'alice',
      mechanism: 'SCRAM-SHA-1',
      resource: 'one',
    })
    const bob = await TestClient.login({
      password,
      port: prosody.tlsPort,
      tls: 'direct',
      user: 'bob',
      mechanism: 'PLAIN',
    })
    expect(alice.jid).toBe('alice@localhost/one')
    alice.message(bob.jid, 'fish & <chips>')
    expect(at(await bob.waitFor('message'), 'body')?.text).toBe('fish & <chips>')
    expect(await bob.settled()).toEqual([])
    await alice.close()
    await bob.close()
  })

  test('tells a refused login by its condition', async () => {
    const login = TestClient.login({
      port: prosody.port,
      user: 'alice',
      password: 'wrong',
      mechanism: 'SCRAM-SHA-1',
    })
    await expect(login).rejects.toMatchObject({ name: 'SaslFailure', condition: 'not-authorized' })
  })

  test('fails with its transcript, which holds no password', async () => {
    const alice = await TestClient.login({ port: prosody.port, user: 'alice', password })
    const error: unknown = await alice.waitFor('message', 50).catch((failure: unknown) => failure)
    expect(String(error)).toContain("-> <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
    expect(String(error)).toContain('<stream:features>')
    expect(String(error)).not.toContain(Buffer.from(`\0alice\0${password}`).toString('base64'))
    await alice.close()
  })
})
