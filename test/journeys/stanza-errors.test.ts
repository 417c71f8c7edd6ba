/** Stanza errors as clients see them (RFC 6120 §8.3): the condition and its type, the addresses, the id, what is repeated. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { root } from '../harness/paths.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'
import { child, type Stanza, StanzaReader } from '../harness/stanza.ts'

interface Answered {
  readonly send: string
  readonly condition: string
  readonly type: string
  readonly extra?: string
  readonly repeats?: boolean
}
const { answered, unanswered } = JSON.parse(
  readFileSync(`${root}/fixtures/stanzas/stanza-errors.json`, 'utf8'),
) as { answered: readonly Answered[]; unanswered: readonly string[] }

let server: ServerInPlace
let romeo: TestClient
let juliet: TestClient

beforeAll(async () => {
  server = await serverInPlace({
    auth_password_format: 'plain',
    listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none', allow_unencrypted_plain_auth: true }],
  })
  for (const user of ['romeo', 'juliet', 'mallory'])
    await server.ctl(['register_identified', user, 'localhost', 'pw'])
  romeo = await login('romeo', 'r')
  juliet = await login('juliet', 'j')
  await romeo.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='mallory@localhost'/></block>")
})
afterAll(async () => {
  await romeo.close()
  await juliet.close()
  await server.stop()
})

function login(user: string, resource: string): Promise<TestClient> {
  const { port } = server
  return TestClient.login({ port, tls: 'none', user, password: 'pw', mechanism: 'PLAIN', resource })
}

const whole = (text: string) => text.replaceAll('TWICE', 'x'.repeat(2_000))

/** The stanza as its receiver would read it. */
function read(text: string): Stanza {
  let found: Stanza | undefined
  const reader = new StanzaReader({
    open: () => undefined,
    stanza: (one) => {
      found = one
    },
    close: () => undefined,
  })
  reader.write(`<stream xmlns='jabber:client'>${text}</stream>`)
  return found ?? expect.fail('no stanza')
}

const named = (text: string) => (text.length > 160 ? `${text.slice(0, 160)}…` : text)

describe('an error answers', () => {
  it.each(answered.map((one) => [named(one.send), one.condition, one] as const))(
    '%s: %s',
    async (_name, _is, one) => {
      const sent = read(whole(one.send))
      romeo.send(whole(one.send))
      const answers = await romeo.settled()
      expect(answers).toHaveLength(1)
      const [answer] = answers as [Stanza]
      expect([answer.name, answer.attrs['type'], answer.attrs['id']]).toEqual([
        sent.name,
        'error',
        sent.attrs['id'],
      ])
      const { to } = sent.attrs
      // without an address it comes from the account, which needs not be said (RFC 6120 §8.1.2.1)
      if (to === undefined) expect([undefined, 'romeo@localhost']).toContain(answer.attrs['from'])
      else expect(answer.attrs['from']).toBe(to)
      expect(answer.attrs['to']).toBe(romeo.jid)
      const error = child(answer, 'error', 'jabber:client')
      expect([error?.attrs['type'], error?.attrs['by']]).toEqual([one.type, undefined])
      expect(error?.children[0]).toMatchObject({
        name: one.condition,
        xmlns: 'urn:ietf:params:xml:ns:xmpp-stanzas',
      })
      const more = error?.children.slice(1).filter(({ name }) => name !== 'text') ?? []
      expect(more.map(({ name, xmlns }) => `${name} ${xmlns}`)).toEqual(
        one.extra === undefined ? [] : [one.extra],
      )
      const repeated = answer.children.filter((part) => part !== error)
      expect(repeated).toEqual(sent.name === 'iq' && one.repeats !== false ? sent.children.slice(0, 1) : [])
      expect(await juliet.settled()).toEqual([])
    },
  )
})

describe('nothing answers', () => {
  it.each(unanswered)('%s', async (text) => {
    romeo.send(text)
    // what changes the roster may be shown, and is no answer
    expect((await romeo.settled()).filter(({ attrs }) => attrs['type'] !== 'set')).toEqual([])
  })
})
