/** Presence from client to client: first and last, directed, asked for (RFC 6121 §4). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

let server: Server
const clients: TestClient[] = []

beforeAll(async () => {
  server = await startServer()
  for (const user of ['romeo', 'juliet', 'nurse'])
    await server.must('register_identified', user, 'localhost', 'pw')
  // romeo and juliet see each other; the nurse knows nobody
  const [romeo, juliet] = [await login('romeo', 'r'), await login('juliet', 'j')]
  romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
  await juliet.waitFor(type('subscribe'))
  juliet.send(
    "<presence to='romeo@localhost' type='subscribed'/><presence to='romeo@localhost' type='subscribe'/>",
  )
  await romeo.waitFor(type('subscribe'))
  romeo.send("<presence to='juliet@localhost' type='subscribed'/>")
  await juliet.settled()
  await hangUp()
})
afterEach(hangUp)
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

async function hangUp(): Promise<void> {
  for (const client of clients.splice(0)) await client.close().catch(() => client.destroy())
}

async function login(user: string, resource: string, available = true): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.tlsPort,
    tls: 'direct',
    user,
    password: 'pw',
    mechanism: 'PLAIN',
    resource,
    available,
  })
  clients.push(client)
  return client
}

const type = (wanted: string) => (one: Stanza) => one.name === 'presence' && one.attrs['type'] === wanted
const from = (jid: string) => (one: Stanza) => one.name === 'presence' && one.attrs['from'] === jid
/** 'unavailable romeo@localhost/r' */
const told = (list: readonly Stanza[]) =>
  list
    .filter(({ name }) => name === 'presence')
    .map(({ attrs }) => `${attrs['type'] ?? 'available'} ${attrs['from']}`)
    .sort()

describe('the first available presence', () => {
  it('reaches contacts, own resources and itself, and brings theirs', async () => {
    const juliet = await login('juliet', 'j')
    const nurse = await login('nurse', 'n')
    const other = await login('romeo', 'other')
    await juliet.settled()
    await other.settled()
    const romeo = await login('romeo', 'r', false)
    romeo.send('<presence><show>away</show><status>soft</status><priority>3</priority></presence>')
    for (const client of [juliet, other, romeo]) {
      const presence = await client.waitFor(from(romeo.jid))
      expect([child(presence, 'show')?.text, child(presence, 'status')?.text]).toEqual(['away', 'soft'])
    }
    expect(told(await romeo.settled())).toEqual([`available ${juliet.jid}`, `available ${other.jid}`].sort())
    expect(told(await nurse.settled())).toEqual([])
  })

  it('of a contact that is not there brings nothing', async () => {
    const romeo = await login('romeo', 'r')
    expect(told(await romeo.settled())).toEqual([])
  })

  it('is sent on when it changes, and asks nobody again', async () => {
    const [juliet, romeo] = [await login('juliet', 'j'), await login('romeo', 'r')]
    await juliet.settled()
    await romeo.settled()
    romeo.send('<presence><show>dnd</show></presence>')
    expect(child(await juliet.waitFor(from(romeo.jid)), 'show')?.text).toBe('dnd')
    expect(told(await romeo.settled())).toEqual([`available ${romeo.jid}`])
  })
})

describe('the end', () => {
  it.each(['a closing tag', 'unavailable presence', 'a connection that is lost', 'a stream error'])(
    'by %s is told to contacts, own resources and who had directed presence, once',
    async (how) => {
      const [juliet, nurse, other] = [
        await login('juliet', 'j'),
        await login('nurse', 'n'),
        await login('romeo', 'other'),
      ]
      const romeo = await login('romeo', 'r')
      romeo.send("<presence to='nurse@localhost/n'><status>only you</status></presence>")
      expect(child(await nurse.waitFor(from(romeo.jid)), 'status')?.text).toBe('only you')
      for (const client of [juliet, other]) await client.settled()
      if (how === 'a closing tag') romeo.send('</stream:stream>')
      else if (how === 'unavailable presence')
        romeo.send("<presence type='unavailable'><status>bye</status></presence>")
      else if (how === 'a stream error') romeo.send('<!-- -->')
      else romeo.destroy()
      for (const client of [juliet, nurse, other]) {
        const presence = await client.waitFor(from(romeo.jid))
        expect(presence.attrs['type']).toBe('unavailable')
        if (how === 'unavailable presence') expect(child(presence, 'status')?.text).toBe('bye')
        expect(told(await client.settled())).toEqual([])
      }
    },
  )

  it('of presence leaves the session: the next available is a first one', async () => {
    const juliet = await login('juliet', 'j')
    const romeo = await login('romeo', 'r')
    await romeo.settled()
    romeo.send("<presence type='unavailable'/>")
    expect((await romeo.waitFor(from(romeo.jid))).attrs['type']).toBe('unavailable')
    romeo.send('<presence/>')
    await romeo.waitFor(from(romeo.jid))
    expect(told(await romeo.settled())).toEqual([`available ${juliet.jid}`])
  })

  it('of what was not there is nothing, to nobody', async () => {
    const juliet = await login('juliet', 'j')
    const romeo = await login('romeo', 'r', false)
    romeo.send("<presence type='unavailable'/>")
    expect(told(await romeo.settled())).toEqual([])
    expect(told(await juliet.settled())).toEqual([])
  })

  it('of a session that was never available is told to nobody', async () => {
    const juliet = await login('juliet', 'j')
    const romeo = await login('romeo', 'r', false)
    await romeo.close()
    expect(told(await juliet.settled())).toEqual([])
  })
})

describe('what the first presence brings', () => {
  it('comes in order: the own presence, stored messages, requests that wait, the own other resources', async () => {
    const [nurse, other] = [await login('nurse', 'n'), await login('romeo', 'other', false)]
    // not for messages: those wait
    await other.available('<priority>-1</priority>')
    nurse.message('romeo@localhost', 'stored')
    nurse.send("<presence to='romeo@localhost' type='subscribe'/>")
    await nurse.settled()
    const romeo = await login('romeo', 'r', false)
    romeo.send('<presence/>')
    await romeo.waitFor(from(other.jid)).then((one) => romeo.inbox.push(one))
    const order = (await romeo.settled()).map(({ name, attrs }) =>
      name === 'message' ? 'message' : `${attrs['type'] ?? ''} ${attrs['from']}`,
    )
    expect(order).toEqual([` ${romeo.jid}`, 'message', 'subscribe nurse@localhost', ` ${other.jid}`])
    // answered, so that it does not come again
    romeo.send("<presence to='nurse@localhost' type='unsubscribed'/>")
    await romeo.settled()
  })
})

describe('directed presence', () => {
  it('to a contact who gets the broadcast changes nothing: he is told the end once', async () => {
    const [juliet, romeo] = [await login('juliet', 'j'), await login('romeo', 'r', false)]
    romeo.send("<presence to='juliet@localhost'/>")
    await romeo.available()
    romeo.send("<presence to='juliet@localhost'/><presence to='juliet@localhost/j'/>")
    await romeo.settled()
    await juliet.settled()
    await romeo.close()
    expect(told(await juliet.settled())).toEqual([`unavailable ${romeo.jid}`])
  })

  it('that was answered with an error, or by somebody who went, is not taken back at the end', async () => {
    const [nurse, romeo] = [await login('nurse', 'n'), await login('romeo', 'r')]
    romeo.send(`<presence to='${nurse.jid}'/>`)
    await nurse.waitFor(from(romeo.jid))
    nurse.send(
      `<presence to='${romeo.jid}' type='error'><error type='cancel'>` +
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    )
    await romeo.waitFor(type('error'))
    romeo.destroy()
    const again = await login('romeo', 'again')
    again.send(`<presence to='${nurse.jid}'/>`)
    await nurse.waitFor(from(again.jid))
    nurse.send(`<presence to='${again.jid}' type='unavailable'/>`)
    await again.waitFor((one) => one.attrs['from'] === nurse.jid && one.attrs['type'] === 'unavailable')
    await again.close()
    expect(told(await nurse.settled())).toEqual([])
  })

  it('can be taken back: then its end is not told', async () => {
    const [nurse, romeo] = [await login('nurse', 'n'), await login('romeo', 'r')]
    romeo.send("<presence to='nurse@localhost'/><presence to='nurse@localhost' type='unavailable'/>")
    await nurse.waitFor(type('unavailable'))
    await romeo.close()
    expect(told((await nurse.settled()).filter(({ attrs }) => attrs['type'] === 'unavailable'))).toEqual([])
  })

  it('comes from a session that shows itself to nobody else', async () => {
    const [juliet, nurse, romeo] = [
      await login('juliet', 'j'),
      await login('nurse', 'n'),
      await login('romeo', 'r', false),
    ]
    romeo.send("<presence to='nurse@localhost'/>")
    await nurse.waitFor(from(romeo.jid))
    romeo.destroy()
    await nurse.waitFor(type('unavailable'))
    expect(told(await juliet.settled())).toEqual([])
  })
})

describe('a probe', () => {
  it('of a contact who is not there says so, with the id and since when', async () => {
    const romeo = await login('romeo', 'r')
    await romeo.settled()
    await server.must('set_last', 'juliet', 'localhost', '1000000', 'gone')
    romeo.send("<presence to='juliet@localhost' type='probe' id='p1'/>")
    const answer = await romeo.waitFor(type('unavailable'))
    expect(answer.attrs).toMatchObject({ from: 'juliet@localhost', to: romeo.jid, id: 'p1' })
    expect(at(answer, 'delay')?.attrs['stamp']).toBe('1970-01-12T13:46:40.000Z')
  })

  it('of one resource says merely whether it is there', async () => {
    const [juliet, romeo] = [await login('juliet', 'j', false), await login('romeo', 'r')]
    await juliet.available('<show>away</show><status>out</status>')
    await romeo.settled()
    romeo.send(`<presence to='${juliet.jid}' type='probe'/><presence to='juliet@localhost/x' type='probe'/>`)
    const answers = await romeo.settled()
    expect(told(answers)).toEqual([`available ${juliet.jid}`, 'unavailable juliet@localhost/x'])
    expect(answers.map(({ children }) => children)).toEqual([[], []])
  })

  it('by somebody who has directed presence finds that resource, and no more', async () => {
    const [nurse, romeo] = [await login('nurse', 'n'), await login('romeo', 'r')]
    await login('romeo', 'other')
    romeo.send("<presence to='nurse@localhost'><status>only you</status></presence>")
    await nurse.waitFor(from(romeo.jid))
    nurse.send(`<presence to='romeo@localhost' type='probe'/><presence to='${romeo.jid}' type='probe'/>`)
    const answers = await nurse.settled()
    expect(told(answers)).toEqual([`available ${romeo.jid}`, `available ${romeo.jid}`])
    expect(answers.map(({ children }) => children)).toEqual([[], []])
  })

  it('by a contact brings what is there, with since when', async () => {
    const [juliet, romeo] = [await login('juliet', 'j'), await login('romeo', 'r')]
    juliet.send("<presence type='unavailable'/>")
    await romeo.settled()
    juliet.send('<presence><show>xa</show></presence>')
    await juliet.settled()
    await romeo.settled()
    romeo.send("<presence to='juliet@localhost' type='probe' id='p'/>")
    const answer = await romeo.waitFor(from(juliet.jid))
    expect(child(answer, 'show')?.text).toBe('xa')
    expect(Date.parse(at(answer, 'delay')?.attrs['stamp'] ?? '')).toBeGreaterThan(Date.now() - 600_000)
  })

  it('by a stranger, or for nobody, brings nothing that he could learn from', async () => {
    await login('juliet', 'j')
    const nurse = await login('nurse', 'n')
    await nurse.settled()
    for (const jid of ['juliet@localhost', 'juliet@localhost/j', 'nobody@localhost']) {
      nurse.send(`<presence to='${jid}' type='probe'/>`)
      // `unsubscribed` goes back, and as the nurse's roster has no such contact it changes and shows nothing
      expect(await nurse.settled()).toEqual([])
    }
  })
})

describe('what is no presence', () => {
  it.each([
    ["<presence type='available'/>"],
    ["<presence type='invisible'/>"],
    ["<presence type='subscribe'/>"],
    ['<presence><priority>128</priority></presence>'],
    ['<presence><priority>-129</priority></presence>'],
    ['<presence><priority>high</priority></presence>'],
    ["<presence to='juliet@localhost' type='invisible'/>"],
  ])('%s is bad-request, and changes nothing', async (text) => {
    const [juliet, romeo] = [await login('juliet', 'j'), await login('romeo', 'r')]
    await juliet.settled()
    romeo.send(text)
    const answer = await romeo.waitFor(type('error'))
    expect(at(answer, 'error')?.children[0]?.name).toBe('bad-request')
    expect(told(await juliet.settled())).toEqual([])
  })

  it.each([["<presence type='error'/>"], ["<presence type='probe'/>"]])(
    '%s without an address is nothing',
    async (text) => {
      const romeo = await login('romeo', 'r')
      await romeo.settled()
      romeo.send(text)
      expect(await romeo.settled()).toEqual([])
    },
  )

  it('has a show that nobody knows: it is passed on', async () => {
    const [juliet, romeo] = [await login('juliet', 'j'), await login('romeo', 'r')]
    await juliet.settled()
    romeo.send('<presence><show>asleep</show></presence>')
    expect(child(await juliet.waitFor(from(romeo.jid)), 'show')?.text).toBe('asleep')
  })
})
