/** The database is taken by another process for a while: "not now" instead of "no", and all is well when it is over. */
import Database from 'better-sqlite3'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child, type Stanza } from '../harness/stanza.ts'
import { Bystanders } from './bystanders.ts'

let server: Server
let bystanders: Bystanders
let alice: TestClient

beforeAll(async () => {
  server = await startServer()
  for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
  bystanders = await Bystanders.join(server)
  alice = await login('alice')
})
afterEach(() => bystanders.talk())
afterAll(async () => {
  await alice.close()
  expect(await server.stop()).toBe(0)
})

const login = (user: string) =>
  TestClient.login({ port: server.tlsPort, tls: 'direct', user, password: 'pw' })
const error = (stanza: Stanza) => ({
  condition: child(stanza, 'error')?.children[0]?.name,
  type: child(stanza, 'error')?.attrs['type'],
})

/** Nobody else can write meanwhile. */
async function whileLocked(story: () => Promise<void>): Promise<void> {
  const database = new Database(`${server.dataDir}/gatehouse.sqlite`, { timeout: 5_000 })
  database.exec('BEGIN EXCLUSIVE')
  try {
    await story()
  } finally {
    database.close()
  }
}

const contact = (jid: string) => `<query xmlns='jabber:iq:roster'><item jid='${jid}'/></query>`

describe('while the database is locked', () => {
  it('who is connected goes on talking, and others log in', async () => {
    await whileLocked(async () => {
      await bystanders.talk()
      const bob = await login('bob')
      alice.message(bob.jid, 'hello')
      await bob.waitFor('message')
      await bob.close()
    })
  })

  it('what must be written waits, and is done when the lock is gone in time', async () => {
    let answer: Promise<Stanza> | undefined
    await whileLocked(async () => {
      answer = alice.iq('set', contact('soon@localhost'))
      await bystanders.talk()
    })
    expect((await answer)?.attrs['type']).toBe('result')
  })

  it('what cannot be written is refused for now: it is neither lost silently nor called impossible', async () => {
    await whileLocked(async () => {
      const set = alice.waitFor(({ attrs }) => attrs['id'] === 'set', 15_000)
      alice.send(`<iq type='set' id='set'>${contact('never@localhost')}</iq>`)
      const refused = error(await set)
      expect([refused.type, refused.condition]).not.toContain('item-not-found')
      expect(refused.type).toBe('wait')
      const bounced = alice.waitFor(({ name, attrs }) => name === 'message' && attrs['id'] === 'm', 15_000)
      alice.send("<message to='bob@localhost' type='chat' id='m'><body>kept?</body></message>")
      const back = error(await bounced)
      expect(back.condition).not.toBe('service-unavailable')
      expect(back.type).toBe('wait')
    })
    // and when it is over, the same works
    expect((await alice.iq('set', contact('never@localhost'))).attrs['type']).toBe('result')
    alice.message('bob@localhost', 'kept')
    await alice.settled()
    const bob = await login('bob')
    const message = await bob.waitFor('message')
    expect(child(message, 'body')?.text).toBe('kept')
    await bob.close()
  }, 60_000)
})
