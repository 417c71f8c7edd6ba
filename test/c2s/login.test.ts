/** SASL as a session sees it (RFC 6120 §6): what is offered, counted, refused. */
import { afterEach, describe, expect, it } from 'vitest'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { TestClient } from '../harness/client.ts'
import type { Stanza } from '../harness/stanza.ts'
import { Rig } from './rig.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const right = Buffer.from('\0alice\0right').toString('base64')
const wrong = Buffer.from('\0alice\0wrong').toString('base64')

const rigs: Rig[] = []
async function start(...args: Parameters<typeof Rig.start>): Promise<Rig> {
  const [options, offline, more] = args
  const rig = await Rig.start(options, offline, {
    checkPassword: async (_user, _host, password) =>
      password.toString() === 'right' ? { ok: true } : { ok: false, reason: 'wrong' },
    ...more,
  })
  rigs.push(rig)
  return rig
}
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

async function open(rig: Rig): Promise<TestClient> {
  const client = await TestClient.connect({ port: rig.port, tls: 'none' })
  await client.open()
  return client
}

const auth = (text: string, mechanism = 'PLAIN') =>
  `<auth xmlns='${sasl}' mechanism='${mechanism}'>${text}</auth>`
const answer = (client: TestClient): Promise<Stanza> => client.waitFor(({ xmlns }) => xmlns === sasl)
const condition = async (client: TestClient) => (await answer(client)).children[0]?.name

describe('what a client sends', () => {
  it.each([
    ['no initial response, then it', ['', right], ['challenge', 'success']],
    ['bad base64', ['AA='], ['incorrect-encoding']],
    ['base64 with what does not belong there', ['AA==\n'], ['incorrect-encoding']],
    ['white space', [' '], ['incorrect-encoding']],
    ['no data', ['='], ['malformed-request']],
    ['a message that is none', [Buffer.from('alice').toString('base64')], ['malformed-request']],
    [
      'another identity to act as',
      [Buffer.from('bob@localhost\0alice\0right').toString('base64')],
      ['invalid-authzid'],
    ],
    ['its own identity', [Buffer.from('alice@localhost\0alice\0right').toString('base64')], ['success']],
    ['a user that cannot be one', [Buffer.from('\0al@ice\0right').toString('base64')], ['malformed-request']],
    ['UTF-8 that is none', [Buffer.from([0, 0xff, 0, 0x61]).toString('base64')], ['malformed-request']],
  ])('%s', async (_what, texts, expected) => {
    const client = await open(await start())
    const got: (string | undefined)[] = []
    for (const [index, text] of texts.entries()) {
      client.send(index === 0 ? auth(text) : `<response xmlns='${sasl}'>${text}</response>`)
      const one = await answer(client)
      got.push(one.name === 'failure' ? one.children[0]?.name : one.name)
    }
    expect(got).toEqual(expected)
  })

  it('may end with abort, and begin again', async () => {
    const client = await open(await start())
    client.send(`${auth('')}<abort xmlns='${sasl}'/>`)
    expect((await answer(client)).name).toBe('challenge')
    expect(await condition(client)).toBe('aborted')
    client.send(auth(right))
    expect((await answer(client)).name).toBe('success')
  })

  it('may begin anew in the middle', async () => {
    const client = await open(await start())
    client.send(auth('') + auth(right))
    expect((await answer(client)).name).toBe('challenge')
    expect((await answer(client)).name).toBe('success')
  })
})

describe('attempts', () => {
  it('may fail auth_attempts times: then the stream ends, with one line in the log for each', async () => {
    const rig = await start({ auth_attempts: 3 })
    const client = await open(rig)
    client.send(auth(wrong).repeat(10))
    for (let n = 0; n < 3; n++) expect(await condition(client)).toBe('not-authorized')
    expect((await client.streamError()).condition).toBe('policy-violation')
    await client.closed()
    const failed = rig.log.filter(({ msg }) => msg === 'login failed')
    expect(failed).toHaveLength(3)
    expect(failed[0]).toMatchObject({
      user: 'alice',
      host: 'localhost',
      mechanism: 'PLAIN',
      address: '127.0.0.1',
    })
  })

  it.each([
    ['a mechanism that is not offered', auth(right, 'CRAM-MD5'), 'invalid-mechanism'],
    ['no mechanism', `<auth xmlns='${sasl}'>${right}</auth>`, 'invalid-mechanism'],
    ['bad base64', auth('!'), 'incorrect-encoding'],
    ['begun and aborted', `${auth('')}<abort xmlns='${sasl}'/>`, 'aborted'],
  ])('count with %s', async (_what, text, expected) => {
    const client = await open(await start({ auth_attempts: 2 }))
    client.send(text.repeat(2))
    for (let n = 0; n < 2; ) {
      const one = await answer(client)
      if (one.name === 'challenge') continue
      expect(one.children[0]?.name).toBe(expected)
      n++
    }
    expect((await client.streamError()).condition).toBe('policy-violation')
  })

  it('do not count when nobody could find out; and the answer is not that the password is wrong', async () => {
    let out = true
    const rig = await start({ auth_attempts: 2 }, undefined, {
      checkPassword: async () => {
        if (out) throw new BackendUnavailable('the directory does not answer')
        return { ok: true }
      },
    })
    const client = await open(rig)
    client.send(auth(right).repeat(5))
    for (let n = 0; n < 5; n++) expect(await condition(client)).toBe('temporary-auth-failure')
    out = false
    client.send(auth(right))
    expect((await answer(client)).name).toBe('success')
  })

  it('end with internal-server-error when a backend is broken, never with success', async () => {
    const rig = await start({}, undefined, {
      checkPassword: () => Promise.reject(new TypeError('the secret is swordfish')),
    })
    const client = await open(rig)
    client.send(auth(right))
    const first = await client.waitFor(() => true)
    expect(['failure', 'error']).toContain(first.name)
    expect(client.transcript()).not.toContain('swordfish')
    expect(client.transcript()).not.toContain('<success')
  })
})

describe('without TLS', () => {
  it('a listener for local programs takes PLAIN from this machine', async () => {
    const client = await open(await start())
    expect(client.mechanisms).toEqual(['PLAIN'])
    client.send(auth(right))
    expect((await answer(client)).name).toBe('success')
  })

  it('and from nowhere else: others see what everybody sees, and are told so', async () => {
    const client = await open(await start({}, undefined, { address: '192.0.2.1' }))
    expect(client.features?.children.map(({ name }) => name)).toEqual(['starttls'])
    expect(client.features?.children[0]?.children[0]?.name).toBe('required')
    client.send(auth(right))
    expect(await condition(client)).toBe('encryption-required')
    client.send("<message to='bob@localhost'/>")
    expect((await client.streamError()).condition).toBe('policy-violation')
  })
})
