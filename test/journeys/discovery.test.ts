/** What the server and accounts say that they can, and that it is so (XEP-0030; server-behaviour: IQ). */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { root } from '../harness/paths.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'
import { at, child } from '../harness/stanza.ts'

let server: ServerInPlace
let romeo: TestClient
let stranger: TestClient

beforeAll(async () => {
  server = await serverInPlace({
    auth_password_format: 'plain',
    listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none', allow_unencrypted_plain_auth: true }],
  })
  for (const user of ['romeo', 'stranger']) await server.ctl(['register', user, 'localhost', 'pw'])
  ;[romeo, stranger] = [await login('romeo'), await login('stranger')]
})
afterAll(async () => {
  await romeo.close()
  await stranger.close()
  await server.stop()
})

function login(user: string): Promise<TestClient> {
  const { port } = server
  return TestClient.login({ port, tls: 'none', user, password: 'pw', mechanism: 'PLAIN', resource: 'r' })
}

async function info(client: TestClient, to: string) {
  const answer = await client.iq('get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", to)
  const parts = child(answer, 'query')?.children ?? []
  return {
    error: at(answer, 'error')?.children[0]?.name,
    identities: parts
      .filter(({ name }) => name === 'identity')
      .map(({ attrs }) => `${attrs['category']}/${attrs['type']}`),
    features: parts.filter(({ name }) => name === 'feature').map(({ attrs }) => attrs['var']),
  }
}

const disco = ['http://jabber.org/protocol/disco#info', 'http://jabber.org/protocol/disco#items']

describe('discovery', () => {
  it('of the host names everything that it answers, and msgoffline', async () => {
    expect(await info(romeo, 'localhost')).toEqual({
      error: undefined,
      identities: ['server/im'],
      features: [
        ...disco,
        'jabber:iq:last',
        'jabber:iq:version',
        'msgoffline',
        'urn:xmpp:blocking',
        'urn:xmpp:ping',
        'urn:xmpp:time',
        'vcard-temp',
      ],
    })
  })

  it('of the own account names what is kept for it', async () => {
    expect(await info(romeo, 'romeo@localhost')).toEqual({
      error: undefined,
      identities: ['account/registered'],
      features: [...disco, 'jabber:iq:last', 'jabber:iq:private', 'urn:xmpp:ping', 'vcard-temp'],
    })
  })

  it('of an account whose presence one may not see is that of nobody', async () => {
    for (const jid of ['romeo@localhost', 'nobody@localhost']) {
      expect((await info(stranger, jid)).error).toBe('service-unavailable')
    }
  })
})

interface Request {
  readonly to: string
  readonly by: 'romeo' | 'stranger'
  readonly type: 'get' | 'set'
  readonly child: string
  /** `result`, `result NAME` with a payload, or the condition of the error. */
  readonly answer: string
}
const { requests } = JSON.parse(readFileSync(`${root}/fixtures/stanzas/requests.json`, 'utf8')) as {
  requests: readonly Request[]
}

describe('a request', () => {
  it.each(requests)(
    '$type $child to "$to" by $by: $answer',
    async ({ to, by, type, child: payload, answer }) => {
      const client = by === 'romeo' ? romeo : stranger
      const reply = await client.iq(type, payload, to === '' ? undefined : to)
      // from whom it was asked; what was asked of oneself without an address may come without one
      const from = [to === '' ? 'romeo@localhost' : to, ...(to === '' ? [undefined] : [])]
      expect(from).toContain(reply.attrs['from'])
      expect(reply.attrs['to']).toBe(client.jid)
      const [payloadName] = reply.children.filter(({ name }) => name !== 'error').map(({ name }) => name)
      const error = at(reply, 'error')?.children[0]?.name
      expect(error ?? ['result', payloadName].filter((part) => part !== undefined).join(' ')).toBe(answer)
    },
  )
})
