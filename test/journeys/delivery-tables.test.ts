/**
 * Every row of the delivery tables (RFC 6121 §8.5) with a whole server and real clients: which resources get a stanza, what
 * comes back, and what waits for later. The rows are in fixtures/delivery.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { rows, situations } from '../harness/delivery.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'
import { child, type Stanza } from '../harness/stanza.ts'

const [messages, presences, iqs] = [rows('messages'), rows('presence'), rows('iqs')]

let server: ServerInPlace
let romeo: TestClient

beforeAll(async () => {
  server = await serverInPlace({
    auth_password_format: 'plain',
    listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none', allow_unencrypted_plain_auth: true }],
  })
  await register('romeo')
  romeo = await login('romeo', 'r')
})
afterAll(() => server.stop())

async function register(user: string): Promise<void> {
  const { code, stderr } = await server.ctl(['register_identified', user, 'localhost', 'pw'])
  expect(stderr).toBe('')
  expect(code).toBe(0)
}

async function login(user: string, resource: string, priority?: number): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.port,
    tls: 'none',
    user,
    password: 'pw',
    mechanism: 'PLAIN',
    resource,
    available: false,
  })
  if (priority !== undefined) await client.available(`<priority>${priority}</priority>`)
  return client
}

interface Stage {
  readonly user: string
  readonly to: string
  readonly resources: ReadonlyMap<string, TestClient>
}

async function stage(name: string, user: string): Promise<Stage> {
  const { account, resources, interested, to } = situations[name] ?? expect.fail(`no situation "${name}"`)
  if (account !== false) await register(user)
  const clients = new Map<string, TestClient>()
  for (const [resource, priority] of Object.entries(resources)) {
    const client = await login(user, resource, priority ?? undefined)
    if (interested?.includes(resource)) await client.iq('get', "<query xmlns='jabber:iq:roster'/>")
    clients.set(resource, client)
  }
  for (const client of clients.values()) await client.settled()
  return { user, to: `${user}@localhost${to === '' ? '' : `/${to}`}`, resources: clients }
}

/** Whose inbox has it, and what came back, in the words of the tables. */
async function fate({ resources, to }: Stage, text: string, id: string): Promise<string> {
  romeo.send(text)
  const back = await romeo.settled()
  const fates: string[] = []
  for (const [resource, client] of resources) {
    const got = (await client.settled()).filter(({ attrs }) => attrs['id'] === id)
    for (const one of got) expect([romeo.jid, 'romeo@localhost']).toContain(one.attrs['from'])
    expect(got.length).toBeLessThan(2)
    if (got.length > 0) fates.push(resource)
  }
  const answers = back.filter(({ attrs }) => attrs['id'] === id).map((one) => answer(one, to))
  return [fates.join(' '), ...answers].filter((one) => one !== '').join(', ') || 'drop'
}

function answer(one: Stanza, to: string): string {
  expect(one.attrs).toMatchObject({ from: to, to: romeo.jid })
  const condition = child(one, 'error')?.children[0]?.name
  return condition === 'service-unavailable'
    ? 'refuse'
    : one.name === 'iq'
      ? 'answer'
      : (condition ?? 'answer')
}

async function leave({ resources }: Stage): Promise<void> {
  for (const client of resources.values()) await client.close()
}

let n = 0

describe('messages', () => {
  it.each(Object.entries(messages))('%s', async (name, row) => {
    const at = await stage(name, `message${++n}`)
    const stored: string[] = []
    const seen: Record<string, string> = {}
    const wanted: Record<string, string> = {}
    for (const [type, expected] of Object.entries(row)) {
      const spellings = type === 'normal' ? ["type='normal'", '', "type='unheard-of'"] : [`type='${type}'`]
      for (const spelling of spellings) {
        const id = `m${++n}`
        const text = `<message to='${at.to}' id='${id}' ${spelling}><body>x</body></message>`
        wanted[spelling] = expected === 'store' ? 'drop' : expected
        seen[spelling] = await fate(at, text, id)
        if (expected === 'store') stored.push(id)
      }
    }
    expect(seen).toEqual(wanted)
    await leave(at)
    if (situations[name]?.account === false) return
    // and nothing else was stored
    const later = await login(at.user, 'later', 0)
    const kept = (await later.settled()).filter((one) => one.name === 'message')
    expect(kept.map(({ attrs }) => attrs['id'])).toEqual(stored)
    await later.close()
  })
})

describe('presence', () => {
  it.each(Object.entries(presences))('%s', async (name, row) => {
    const at = await stage(name, `presence${++n}`)
    const seen: Record<string, string> = {}
    const wanted: Record<string, string> = {}
    // answers to requests depend on the roster, as does `unsubscribed`: those are in the tables of subscriptions
    for (const type of ['', 'unavailable', 'error', 'probe', 'subscribe']) {
      const id = `p${++n}`
      const expected = row[type] ?? expect.fail(`no ${type} in "${name}"`)
      // `unsubscribed` goes to a roster that has no such contact, which shows nothing
      wanted[type] = expected === 'unsubscribed' ? 'drop' : expected
      const attribute = type === '' ? '' : `type='${type}'`
      seen[type] = await fate(at, `<presence to='${at.to}' id='${id}' ${attribute}/>`, id)
    }
    expect(seen).toEqual(wanted)
    await leave(at)
  })
})

describe('iqs', () => {
  it.each(Object.entries(iqs))('%s', async (name, row) => {
    const at = await stage(name, `iq${++n}`)
    const seen: Record<string, string> = {}
    for (const type of Object.keys(row)) {
      const id = `i${++n}`
      const kind = type === 'unknown' ? 'get' : type
      const xmlns =
        type === 'unknown' ? 'urn:example:unknown' : type === 'set' ? 'jabber:iq:roster' : 'urn:xmpp:ping'
      const payload = kind === 'get' || kind === 'set' ? `<query xmlns='${xmlns}'/>` : ''
      seen[type] = await fate(at, `<iq to='${at.to}' id='${id}' type='${kind}'>${payload}</iq>`, id)
    }
    expect(seen).toEqual(row)
    await leave(at)
  })
})
