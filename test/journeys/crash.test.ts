/** Power cut: what the server has acknowledged before a kill -9 is there after the next start. */
import { expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { type Server, startServer } from '../harness/server.ts'
import { child, type Stanza } from '../harness/stanza.ts'

const rounds = 3

function contacts(roster: Stanza): string[] {
  return (child(roster, 'query')?.children ?? []).map((item) => item.attrs['jid'] ?? '')
}

/** Registers accounts through the control socket until the server is gone; gives those that were acknowledged. */
async function registerUntilGone(server: Server, prefix: string): Promise<string[]> {
  const acknowledged: string[] = []
  for (let n = 0; ; n++) {
    const user = `${prefix}x${n}`
    const result = await server.ctl(['register_identified', user, 'localhost', 'pw'])
    if (result.code !== 0) return acknowledged
    acknowledged.push(user)
  }
}

/** Adds contacts as fast as they are acknowledged, until the server is gone. */
async function addContactsUntilGone(
  client: TestClient,
  prefix: string,
  enough: () => void,
): Promise<string[]> {
  const acknowledged: string[] = []
  try {
    for (let n = 0; ; n++) {
      const jid = `${prefix}x${n}@example.net`
      const result = await client.iq(
        'set',
        `<query xmlns='jabber:iq:roster'><item jid='${jid}' name='${n}'/></query>`,
      )
      if (result.attrs['type'] !== 'result') throw new Error(client.transcript())
      acknowledged.push(jid)
      if (n === 100) enough()
    }
  } catch {
    return acknowledged // the connection is gone: what had no answer was not promised
  }
}

test('kill -9 during writes loses nothing that was acknowledged', async () => {
  const folder = temporaryFolder('crash')
  const accounts: string[] = ['alice', 'bob']
  const expected: string[] = []
  const offline: string[] = []
  let server = await startServer({ folder })
  try {
    for (const user of accounts) await server.must('register_identified', user, 'localhost', 'pw')
    for (let round = 0; round < rounds; round++) {
      const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
      const body = `offline ${round}`
      alice.message('bob@localhost', body)
      await alice.settled() // the server has handled the message, so it is kept
      offline.push(body)
      let now: () => void = () => undefined
      const enough = new Promise<void>((resolve) => {
        now = resolve
      })
      const writers = Promise.all([
        addContactsUntilGone(alice, `c${round}`, now),
        registerUntilGone(server, `u${round}`),
      ])
      await Promise.race([enough, writers])
      await server.kill()
      const [added, registered] = await writers
      expect(added.length).toBeGreaterThan(100)
      expected.push(...added)
      accounts.push(...registered)

      server = await startServer({ folder })
      const known = new Set((await server.must('registered_users', 'localhost')).split('\n'))
      expect(accounts.filter((user) => !known.has(user))).toEqual([])
      const again = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
      const roster = new Set(contacts(await again.iq('get', "<query xmlns='jabber:iq:roster'/>")))
      expect(expected.filter((jid) => !roster.has(jid))).toEqual([])
      again.destroy()
      for (const user of registered.slice(-1)) {
        await (await TestClient.login({ port: server.port, user, password: 'pw' })).close()
      }
    }
    const bob = await TestClient.login({ port: server.port, user: 'bob', password: 'pw' })
    const bodies = (await bob.settled()).map((stanza) => child(stanza, 'body')?.text)
    expect(bodies.filter((body) => body !== undefined)).toEqual(offline)
    await bob.close()
    expect(await server.stop()).toBe(0)
  } finally {
    await server.kill()
    folder.remove()
  }
}, 120_000)
