/** What somebody who is logged in may try: with others' rosters, with names, and with very much of everything. */
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { costsAtMost, MiB, peak } from '../harness/memory.ts'
import { root } from '../harness/paths.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'
import { Bystanders, linesOf } from './bystanders.ts'

let server: Server
let bystanders: Bystanders
const clients: TestClient[] = []
let memory = 0

beforeAll(async () => {
  server = await startServer({
    listener: { allow_unencrypted_plain_auth: true },
    config: {
      auth_password_format: 'plain',
      max_user_sessions: 5,
      modules: {
        mod_roster: { max_roster_items: 300, max_pending_in: 20 },
        mod_offline: {},
        mod_blocking: {},
        mod_ping: {},
        mod_disco: {},
      },
    },
  })
  for (const user of ['mallory', 'juliet', 'victim', 'extra']) {
    await server.must('register_identified', user, 'localhost', 'pw')
  }
  bystanders = await Bystanders.join(server)
  memory = peak(server)
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await bystanders.talk()
})
afterAll(async () => {
  expect(peak(server) - memory).toBeLessThan(300 * MiB)
  const broken = linesOf(server, 'a session failed')
  expect(await server.stop()).toBe(0)
  expect(broken).toEqual([])
})

async function login(user: string, resource?: string, available = true): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.port,
    tls: 'none',
    user,
    password: 'pw',
    mechanism: 'PLAIN',
    available,
    ...(resource !== undefined && { resource }),
  })
  clients.push(client)
  return client
}

const condition = (one: Stanza | undefined) => child(one, 'error')?.children[0]?.name
const rosterOf = async (client: TestClient) => {
  const roster = await client.iq('get', "<query xmlns='jabber:iq:roster'/>")
  return child(roster, 'query')?.children.map(({ attrs }) => attrs['jid']) ?? []
}

describe("somebody else's roster", () => {
  const push = "<query xmlns='jabber:iq:roster'><item jid='mallory@localhost' subscription='both'/></query>"

  it('is not changed by a push that a client makes, and not shown', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    expect(await rosterOf(victim)).toEqual([])
    for (const [type, payload] of [
      ['set', push],
      ['get', "<query xmlns='jabber:iq:roster'/>"],
      ['set', push.replace('both', 'remove')],
    ] as const) {
      const answer = await mallory.iq(type, payload, 'victim@localhost')
      expect([answer.attrs['from'], condition(answer)]).toEqual(['victim@localhost', 'forbidden'])
    }
    expect(await victim.settled()).toEqual([])
    expect(await rosterOf(victim)).toEqual([])
  })

  it('sent to a client arrives with the name of who sent it, so that the client can tell', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    mallory.send(`<iq type='set' id='push1' to='${victim.jid}'>${push}</iq>`)
    const got = await victim.waitFor('iq')
    expect(got.attrs['from']).toBe(mallory.jid)
    expect(await rosterOf(victim)).toEqual([])
  })

  it.each(['victim@localhost', 'localhost', 'carol@localhost/r'])(
    'nor by one that says that it comes from %s',
    async (from) => {
      const [mallory, victim] = [await login('mallory'), await login('victim')]
      mallory.send(`<iq type='set' id='push1' from='${from}' to='${victim.jid}'>${push}</iq>`)
      expect((await mallory.streamError()).condition).toBe('invalid-from')
      expect(await victim.settled()).toEqual([])
    },
  )

  it('nor by results that nobody has asked for', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    for (const to of ["to='victim@localhost'", "to='localhost'", '']) {
      mallory.send(`<iq type='result' id='push1' ${to}>${push}</iq>`)
    }
    expect(await mallory.settled()).toEqual([])
    expect(await victim.settled()).toEqual([])
    expect([await rosterOf(victim), await rosterOf(mallory)]).toEqual([[], []])
  })
})

describe('input without end', () => {
  const repeated = 'a'.repeat(65_536)
  it.each<[string, string, string, string]>([
    ['a start tag', '<a ', repeated, 'not-well-formed'],
    ['a name', '<', repeated, 'not-well-formed'],
    ["an attribute's name", '<a ', repeated, 'not-well-formed'],
    ['attributes', '<a', ` b='c'`.repeat(10), 'not-well-formed'],
    [
      'namespaces',
      '<a',
      Array.from({ length: 200 }, (_, n) => ` xmlns:n${n}='x'`).join(''),
      'policy-violation',
    ],
    ['an attribute', "<a b='", repeated, 'policy-violation'],
    ['text', '<message><body>', repeated, 'policy-violation'],
    ['elements', '<message>', '<b/>'.repeat(10_000), 'policy-violation'],
    ['nesting', '<message>', '<b>'.repeat(10_000), 'policy-violation'],
    ['CDATA', '<message><body><![CDATA[', repeated, 'policy-violation'],
    ['character references', '<message><body>', '&#x1f339;'.repeat(10_000), 'policy-violation'],
    ['a comment', '<message><!--', repeated, 'restricted-xml'],
    ['entities that would grow', '<message><body>', '&lol9;'.repeat(10_000), 'restricted-xml'],
    ['a document type', "<!DOCTYPE lolz [<!ENTITY a '", repeated, 'restricted-xml'],
    ['half characters', '<message><body>', '\u20ac'.repeat(30_000), 'policy-violation'],
  ])('of %s ends the session at the limit: 20 sessions of 5 MiB', async (_what, start, piece, expected) => {
    // up to max_stanza_size, a quarter of a mebibyte, of each may have to be kept
    await costsAtMost(server, 60 * MiB, async () => {
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          const user = ['mallory', 'juliet', 'victim', 'extra'][n % 4] ?? ''
          const client = await login(user, `end${n}`, false)
          client.send(start)
          const over = client.closed().then(() => true)
          for (let sent = 0; sent < 5 * MiB; sent += piece.length) {
            client.send(piece)
            const turn = new Promise<false>((resolve) => setImmediate(() => resolve(false)))
            if (await Promise.race([over, turn])) break
          }
          expect((await client.streamError()).condition).toBe(expected)
          await over
        }),
      )
    })
  })
})

describe('clients that read nothing', () => {
  it('hold what may wait for them, and no more: ten are sent 20 MiB each', async () => {
    // 4 MiB of output each, and the copies on its way there
    await costsAtMost(server, 150 * MiB, async () => {
      const slow: TestClient[] = []
      for (const user of ['victim', 'juliet']) {
        for (let n = 0; n < 5; n++) slow.push(await login(user, `slow${n}`))
      }
      for (const client of slow) client.pause()
      const mallory = await login('mallory')
      const body = 'x'.repeat(100_000)
      for (let n = 0; n < 200; n++) {
        for (const { jid } of slow) {
          mallory.send(`<message to='${jid}' type='headline'><body>${body}</body></message>`)
        }
        await mallory.iq('get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost')
      }
      const given = () =>
        linesOf(server, 'connection ended').filter(({ reason }) => /does not read|waiting/.test(`${reason}`))
      await until('all of them to be given up', () => given().length >= slow.length)
      await bystanders.talk()
    })
  }, 60_000)
})

describe('names', () => {
  interface Case {
    readonly name?: string
    readonly to: string
    readonly type?: string
    readonly arrives?: true
    readonly error?: string
  }
  const { cases } = JSON.parse(readFileSync(`${root}/fixtures/stanzas/confusables.json`, 'utf8')) as {
    cases: readonly Case[]
  }

  it.each(cases)('$to ($name)', async ({ to, type, arrives, error }) => {
    const [mallory, juliet] = [await login('mallory'), await login('juliet', 'Balcony')]
    mallory.message(to, 'x', type)
    const back = await mallory.settled()
    expect(back.map((one) => condition(one))).toEqual(error === undefined ? [] : [error])
    // it comes from there, as it was written
    if (error) expect(back[0]?.attrs['from']).toBe(to)
    expect((await juliet.settled()).map(({ name }) => name)).toEqual(arrives ? ['message'] : [])
  })

  it('are one contact, one blocked address and one sender in every spelling', async () => {
    const [mallory, juliet] = [await login('mallory', 'r'), await login('juliet', 'Balcony')]
    for (const jid of ['JULIET@localhost', '\uff4auliet@LOCALHOST/x', 'jul\u00adiet@localhost']) {
      await mallory.iq('set', `<query xmlns='jabber:iq:roster'><item jid='${jid}'/></query>`)
    }
    expect(await rosterOf(mallory)).toEqual(['juliet@localhost'])
    await juliet.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='MALLORY@LocalHost'/></block>")
    mallory.message('juliet@localhost', 'x')
    expect(condition(await mallory.waitFor('message'))).toBe('service-unavailable')
    await juliet.iq('set', "<unblock xmlns='urn:xmpp:blocking'/>")
    mallory.send(
      "<message from='Mallory@LOCALHOST/r' to='juliet@localhost' type='chat'><body>y</body></message>",
    )
    expect((await juliet.waitFor('message')).attrs['from']).toBe('mallory@localhost/r')
  })
})

describe('very many', () => {
  it('sessions of one account, 3,000: as many stay as may be, the oldest go, and nobody else feels it', async () => {
    await costsAtMost(server, 100 * MiB, async () => {
      for (let n = 0; n < 3_000; n += 20) {
        await Promise.all(Array.from({ length: 20 }, (_, k) => login('mallory', `r${n + k}`, false)))
        // who is not one of the last has been told
        await Promise.all(clients.splice(0, n === 0 ? 0 : 20).map((client) => client.closed()))
        if (n % 300 === 0) await bystanders.talk()
      }
    })
    const left = (await server.must('user_resources', 'mallory', 'localhost')).split('\n')
    expect(left).toHaveLength(5)
    const isLeft = (client: TestClient) => left.includes(client.jid.split('/')[1] ?? '')
    for (const client of clients.filter((one) => !isLeft(one))) await client.closed()
    for (const client of clients.filter(isLeft)) await client.settled()
  }, 120_000)

  it('bind requests on one stream: refused each, and the session goes on', async () => {
    const mallory = await login('mallory')
    const bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    mallory.send(Array.from({ length: 500 }, (_, n) => `<iq type='set' id='${n}'>${bind}</iq>`).join(''))
    const answers = await mallory.settled()
    expect(new Set(answers.map(condition))).toEqual(new Set(['not-allowed']))
    expect(answers).toHaveLength(500)
  })

  it('requests at once are all answered, once each, in order', async () => {
    const mallory = await login('mallory')
    const ping = (n: number) => `<iq type='get' id='p${n}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>`
    mallory.send(Array.from({ length: 5_000 }, (_, n) => ping(n)).join(''))
    await bystanders.talk()
    const answers = await mallory.settled()
    expect(answers.map(({ attrs }) => attrs['id'])).toEqual(Array.from({ length: 5_000 }, (_, n) => `p${n}`))
  })

  it('requests to clients who never answer cost nothing', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    const request = `<iq type='get' id='1' to='${victim.jid}'><query xmlns='jabber:iq:version'/></iq>`
    mallory.send(request.repeat(3_000))
    await mallory.settled()
    expect(await victim.settled()).toHaveLength(3_000)
  })

  it('addresses of directed presence: 1,000 are told the end, the next is refused', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    const targets = Array.from({ length: 999 }, (_, n) => `<presence to='u${n}@localhost'/>`).join('')
    mallory.send(`${targets}<presence to='${victim.jid}'/><presence to='one@localhost' id='more'/>`)
    const [refused] = (await mallory.settled()).filter(({ attrs }) => attrs['type'] === 'error')
    expect([refused?.attrs['id'], condition(refused)]).toEqual(['more', 'resource-constraint'])
    await victim.waitFor(({ attrs }) => attrs['from'] === mallory.jid)
    // who is told already may be told again, also that it is over, and then there is room
    mallory.send("<presence to='u0@localhost' type='unavailable'/><presence to='one@localhost' id='room'/>")
    expect((await mallory.settled()).map(({ attrs }) => attrs['id'])).toEqual([])
    mallory.destroy()
    await victim.waitFor(({ attrs }) => attrs['type'] === 'unavailable' && attrs['from'] === mallory.jid)
  })

  it('contacts: as many as may be, the next is not-acceptable', async () => {
    const mallory = await login('mallory')
    const before = (await rosterOf(mallory)).length
    const set = (n: number) =>
      `<iq type='set' id='s${n}'><query xmlns='jabber:iq:roster'><item jid='c${n}@x.example'/></query></iq>`
    mallory.send(Array.from({ length: 310 }, (_, n) => set(n)).join(''))
    const answers = (await mallory.settled()).filter(({ attrs }) => attrs['id']?.startsWith('s'))
    expect(answers.slice(0, 300 - before).every(({ attrs }) => attrs['type'] === 'result')).toBe(true)
    expect(new Set(answers.slice(300 - before).map(condition))).toEqual(new Set(['not-acceptable']))
    expect(answers).toHaveLength(310)
    expect(await rosterOf(mallory)).toHaveLength(300)
    mallory.send("<presence type='subscribe' to='more@x.example' id='sub'/>")
    expect(
      condition(await mallory.waitFor(({ name, attrs }) => name === 'presence' && attrs['id'] === 'sub')),
    ).toBe('not-acceptable')
  })

  it('requests to subscribe: as many wait as may, the rest is dropped without a word', async () => {
    const users = Array.from({ length: 25 }, (_, n) => `asker${n}`)
    for (const user of users) await server.must('register_identified', user, 'localhost', 'pw')
    const victim = await login('victim')
    for (const user of users) {
      const asker = await login(user)
      asker.send("<presence type='subscribe' to='victim@localhost'/>".repeat(20))
      const back = await asker.settled()
      expect(back.filter(({ attrs }) => attrs['type'] !== 'set' && attrs['from'] !== asker.jid)).toEqual([])
      asker.destroy()
    }
    const seen = (await victim.settled()).filter(({ attrs }) => attrs['type'] === 'subscribe')
    expect(seen.map(({ attrs }) => attrs['from'])).toEqual(
      users.slice(0, 20).map((user) => `${user}@localhost`),
    )
    // and none of it is kept twice
    const again = await login('victim')
    await until(
      'all of them',
      () => again.inbox.filter(({ attrs }) => attrs['type'] === 'subscribe').length >= 20,
    )
    expect((await again.settled()).filter(({ attrs }) => attrs['type'] === 'subscribe')).toHaveLength(20)
    expect(await rosterOf(again)).toEqual([])
  })

  it('addresses to block, beyond max_blocked, are refused whole', async () => {
    const mallory = await login('mallory')
    const items = Array.from({ length: 1_001 }, (_, n) => `<item jid='b${n}@x.example'/>`).join('')
    const answer = await mallory.iq('set', `<block xmlns='urn:xmpp:blocking'>${items}</block>`)
    expect(condition(answer)).toBe('not-acceptable')
    const list = await mallory.iq('get', "<blocklist xmlns='urn:xmpp:blocking'/>")
    expect(at(list, 'blocklist')?.children).toEqual([])
  })

  it('bytes, one at a time, make a stanza like any other', async () => {
    const [mallory, victim] = [await login('mallory'), await login('victim')]
    for (const byte of Buffer.from("<message to='victim@localhost'><body>slow</body></message>")) {
      mallory.send(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(at(await victim.waitFor('message'), 'body')?.text).toBe('slow')
  })
})
