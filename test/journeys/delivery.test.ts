/** The rows of delivery that people notice, end to end; all rows are in test/routing/delivery.test.ts. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child, type Stanza } from '../harness/stanza.ts'

let server: Server
let romeo: TestClient
const clients: TestClient[] = []

beforeAll(async () => {
  server = await startServer({
    config: { modules: { mod_roster: {}, mod_offline: {}, mod_disco: {}, mod_ping: {} } },
  })
  for (const user of ['romeo', 'juliet']) await server.must('register_identified', user, 'localhost', 'pw')
  romeo = await login('romeo', 'r', 0)
  clients.length = 0
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close().catch(() => client.destroy())
  romeo.inbox.length = 0
})
afterAll(async () => {
  await romeo.close()
  expect(await server.stop()).toBe(0)
})

async function login(user: string, resource: string, priority?: number): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.tlsPort,
    tls: 'direct',
    user,
    password: 'pw',
    mechanism: 'PLAIN',
    resource,
    available: false,
  })
  clients.push(client)
  if (priority !== undefined) await client.available(`<priority>${priority}</priority>`)
  await client.settled()
  return client
}

const bodies = (list: readonly Stanza[]) => list.flatMap((one) => child(one, 'body')?.text ?? [])
const errors = (list: readonly Stanza[]) =>
  list.flatMap((one) => (one.attrs['type'] === 'error' ? (child(one, 'error')?.children[0]?.name ?? []) : []))

/** What comes back to romeo, and what each of juliet's clients gets. */
async function say(text: string, ...listeners: readonly TestClient[]): Promise<(string | string[])[]> {
  romeo.send(text)
  const back = errors(await romeo.settled())
  const heard: string[][] = []
  for (const one of listeners) heard.push(bodies(await one.settled()))
  return [...back, ...heard]
}

const message = (to: string, type: string, body = 'x') =>
  `<message to='${to}' type='${type}'><body>${body}</body></message>`

describe('to the bare address', () => {
  it('chat goes to all resources of the highest priority; headlines to all that are not negative', async () => {
    const [a, b, c, d] = [
      await login('juliet', 'a', 5),
      await login('juliet', 'b', 5),
      await login('juliet', 'c', 1),
      await login('juliet', 'd', -1),
    ]
    expect(await say(message('juliet@localhost', 'chat'), a, b, c, d)).toEqual([['x'], ['x'], [], []])
    expect(await say(message('juliet@localhost', 'headline'), a, b, c, d)).toEqual([['x'], ['x'], ['x'], []])
    expect(await say(message('juliet@localhost', 'groupchat'), a, b, c, d)).toEqual([
      'service-unavailable',
      [],
      [],
      [],
      [],
    ])
  })

  it('chat waits for somebody who wants it: a negative priority does not', async () => {
    const negative = await login('juliet', 'n', -1)
    const silent = await login('juliet', 's')
    expect(await say(message('juliet@localhost', 'chat', 'later'), negative, silent)).toEqual([[], []])
    negative.send('<presence><priority>0</priority></presence>')
    const late = await negative.waitFor('message')
    expect([child(late, 'body')?.text, child(late, 'delay')?.attrs['from']]).toEqual(['later', 'localhost'])
  })
})

describe('to a full address', () => {
  it('everything arrives where a client is connected, whatever its priority or presence', async () => {
    const [negative, silent] = [await login('juliet', 'n', -5), await login('juliet', 's')]
    for (const type of ['chat', 'normal', 'headline', 'groupchat']) {
      expect(await say(message(negative.jid, type), negative, silent)).toEqual([['x'], []])
      expect(await say(message(silent.jid, type), negative, silent)).toEqual([[], ['x']])
    }
  })

  it('of nobody: chat goes where the account is, other messages come back', async () => {
    const a = await login('juliet', 'a', 0)
    expect(await say(message('juliet@localhost/gone', 'chat'), a)).toEqual([['x']])
    expect(await say(message('juliet@localhost/gone', 'normal'), a)).toEqual(['service-unavailable', []])
    expect(await say(message('juliet@localhost/gone', 'headline'), a)).toEqual([[]])
  })
})

describe('requests', () => {
  const ask = (to: string | undefined, xmlns: string, type: 'get' | 'set' = 'get') =>
    romeo.iq(type, `<query xmlns='${xmlns}'/>`, to)

  it('to a client are answered by the client, with any answer', async () => {
    const juliet = await login('juliet', 'a')
    const answer = ask(juliet.jid, 'urn:example')
    const request = await juliet.waitFor('iq')
    expect([request.attrs['from'], request.attrs['type']]).toEqual([romeo.jid, 'get'])
    juliet.send(
      `<iq type='result' id='${request.attrs['id']}' to='${romeo.jid}'><pong xmlns='urn:example'/></iq>`,
    )
    expect(child(await answer, 'pong')).toBeDefined()
  })

  it('to nobody, to a resource that is not there, and for what nobody knows look the same', async () => {
    await login('juliet', 'a', 0)
    for (const to of [
      'nobody@localhost',
      'nobody@localhost/r',
      'juliet@localhost/gone',
      'juliet@localhost',
      'localhost',
    ]) {
      const answer = await ask(to, 'urn:example:unknown')
      expect([to, answer.attrs['from'], ...errors([answer])]).toEqual([to, to, 'service-unavailable'])
      expect(child(answer, 'query', 'urn:example:unknown')).toBeDefined()
    }
  })

  it('that are none are refused; answers that nobody waits for are dropped', async () => {
    romeo.send("<iq type='get'><q xmlns='urn:x'/></iq>")
    romeo.send("<iq type='get' id='1'/>")
    romeo.send("<iq type='set' id='2'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>")
    romeo.send("<iq type='fetch' id='3'><q xmlns='urn:x'/></iq>")
    romeo.send("<iq id='4'><q xmlns='urn:x'/></iq>")
    romeo.send(
      "<iq type='result' id='5'/><iq type='error' id='6'/><iq type='result' id='7' to='juliet@localhost'/>",
    )
    romeo.send("<iq type='error'/>")
    expect(errors(await romeo.settled())).toEqual(Array.from({ length: 5 }, () => 'bad-request'))
  })

  it('to an address that is none are refused from there', async () => {
    romeo.send("<message to='a@@b' id='m'><body>x</body></message><presence to='/r'/>")
    romeo.send("<iq type='get' id='i' to=''><q xmlns='urn:x'/></iq><message type='error' to='a@@b'/>")
    const answers = await romeo.settled()
    expect(errors(answers)).toEqual(['jid-malformed', 'jid-malformed', 'jid-malformed'])
    expect(answers[0]?.attrs).toMatchObject({ from: 'a@@b', id: 'm' })
  })
})

describe('a message without an address', () => {
  it('is to oneself', async () => {
    romeo.send("<message type='chat'><body>note</body></message>")
    const note = await romeo.waitFor('message')
    expect([note.attrs['from'], child(note, 'body')?.text]).toEqual([romeo.jid, 'note'])
  })
})
