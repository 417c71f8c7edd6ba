/** The modules of a new installation, as clients meet them: real server, real bytes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

let server: Server
let n = 0

beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

/** Two new accounts, so that no story knows of another. */
async function couple(): Promise<readonly [string, string]> {
  n++
  const names = [`romeo${n}`, `juliet${n}`] as const
  for (const name of names) await server.must('register_identified', name, 'localhost', 'pw')
  return names
}

const login = (user: string, resource: string): Promise<TestClient> =>
  TestClient.login({ port: server.port, user, password: 'pw', resource })

const roster = "<query xmlns='jabber:iq:roster'/>"

/** A stanza in a few words: 'subscribe', 'available from juliet1@localhost/b', 'push both', 'message Hi'. */
function brief(stanza: Stanza): string {
  const { name, attrs } = stanza
  if (name === 'presence') {
    const { type } = attrs
    const isState = type === undefined || type === 'unavailable'
    return isState ? `${type ?? 'available'} from ${attrs['from']}` : type
  }
  if (name === 'message') return `message ${at(stanza, 'body')?.text ?? ''}`
  const item = at(stanza, 'query', 'item')
  if (attrs['type'] === 'set' && item) {
    return ['push', item.attrs['subscription'], item.attrs['ask'], item.attrs['approved']]
      .filter(Boolean)
      .join(' ')
  }
  return `${attrs['type']} ${stanza.children[0]?.name ?? ''}`
}

/** What has arrived when the server has dealt with all that both have sent, in order. */
async function settled(first: TestClient, second: TestClient): Promise<[string[], string[]]> {
  const seen: [string[], string[]] = [[], []]
  for (let quiet = 0; quiet < 2; ) {
    const news = [await first.settled(), await second.settled()] as const
    quiet = news[0].length + news[1].length === 0 ? quiet + 1 : 0
    seen[0].push(...news[0].map(brief))
    seen[1].push(...news[1].map(brief))
  }
  return seen
}

async function together(): Promise<{ r: TestClient; j: TestClient; romeo: string; juliet: string }> {
  const [romeo, juliet] = await couple()
  const r = await login(romeo, 'r')
  const j = await login(juliet, 'j')
  for (const one of [r, j]) {
    await one.iq('get', roster)
    await one.available()
  }
  await settled(r, j)
  return { r, j, romeo: `${romeo}@localhost`, juliet: `${juliet}@localhost` }
}

describe('becoming contacts', () => {
  it('takes two requests and two answers, and ends in presence both ways', async () => {
    const { r, j, romeo, juliet } = await together()
    r.send(`<presence type='subscribe' to='${juliet}'/>`)
    expect(await settled(r, j)).toEqual([['push none subscribe'], ['subscribe']])
    j.send(`<presence type='subscribed' to='${romeo}'/>`)
    expect(await settled(r, j)).toEqual([['subscribed', 'push to', `available from ${j.jid}`], ['push from']])
    j.send(`<presence type='subscribe' to='${romeo}'/>`)
    await settled(r, j)
    r.send(`<presence type='subscribed' to='${juliet}'/>`)
    expect(await settled(r, j)).toEqual([
      ['push both'],
      ['subscribed', 'push both', `available from ${r.jid}`],
    ])

    r.send('<presence><show>away</show></presence>')
    expect((await settled(r, j))[1]).toEqual([`available from ${r.jid}`])

    r.send(`<presence type='unsubscribed' to='${juliet}'/>`)
    const [, end] = await settled(r, j)
    expect(end).toEqual([`unavailable from ${r.jid}`, 'unsubscribed', 'push from'])
    r.send('<presence/>')
    expect((await settled(r, j))[1]).toEqual([])
    await Promise.all([r.close(), j.close()])
  })

  it('can wait for somebody who is away', async () => {
    const { r, j, juliet } = await together()
    await j.close()
    r.send(`<presence type='subscribe' to='${juliet}'><status>my lady</status></presence>`)
    await r.settled()
    for (const resource of ['one', 'two']) {
      const again = await login(juliet.split('@')[0] ?? '', resource)
      await again.available()
      const request = await again.waitFor((stanza) => stanza.attrs['type'] === 'subscribe')
      expect(at(request, 'status')?.text).toBe('my lady')
      await again.close()
    }
    await r.close()
  })

  it('goes at once when it was approved before', async () => {
    const { r, j, romeo, juliet } = await together()
    expect(child(r.features, 'sub', 'urn:xmpp:features:pre-approval')).toBeDefined()
    j.send(`<presence type='subscribed' to='${romeo}'/>`)
    expect(await settled(r, j)).toEqual([[], ['push none true']])
    r.send(`<presence type='subscribe' to='${juliet}'/>`)
    const [mine, hers] = await settled(r, j)
    expect(mine).toEqual(['push none subscribe', 'subscribed', 'push to', `available from ${j.jid}`])
    expect(hers).toEqual(['push from true'])
    await Promise.all([r.close(), j.close()])
  })

  it('ends with the removal of the contact', async () => {
    const { r, j, romeo, juliet } = await together()
    j.send(`<presence type='subscribed' to='${romeo}'/>`)
    r.send(`<presence type='subscribed' to='${juliet}'/>`)
    await settled(r, j)
    r.send(`<presence type='subscribe' to='${juliet}'/>`)
    j.send(`<presence type='subscribe' to='${romeo}'/>`)
    await settled(r, j)
    const answer = await r.iq(
      'set',
      roster.replace('/>', `><item jid='${juliet}' subscription='remove'/></query>`),
    )
    expect(answer.attrs['type']).toBe('result')
    const [mine, hers] = await settled(r, j)
    expect(mine).toContain('push remove')
    expect(hers).toContain('unsubscribe')
    expect(hers.filter((line) => line.startsWith('un'))).toEqual([
      'unsubscribe',
      `unavailable from ${r.jid}`,
      'unsubscribed',
    ])
    const list = await j.iq('get', roster)
    expect(at(list, 'query', 'item')?.attrs).toMatchObject({ jid: romeo, subscription: 'none' })
    await Promise.all([r.close(), j.close()])
  })
})

describe('a roster', () => {
  it('is fetched again only as far as it has changed', async () => {
    const { r, j, juliet } = await together()
    const set = (name: string): Promise<Stanza> =>
      r.iq('set', `<query xmlns='jabber:iq:roster'><item jid='${juliet}' name='${name}'/></query>`)
    await set('J')
    const full = await r.iq('get', "<query xmlns='jabber:iq:roster' ver=''/>")
    const ver = at(full, 'query')?.attrs['ver'] ?? ''
    await set('Juliet')
    await r.settled()
    const again = await r.iq('get', `<query xmlns='jabber:iq:roster' ver='${ver}'/>`)
    expect(again.children).toEqual([])
    const push = await r.waitFor((stanza) => stanza.attrs['type'] === 'set')
    expect(at(push, 'query', 'item')?.attrs).toMatchObject({ jid: juliet, name: 'Juliet' })
    await Promise.all([r.close(), j.close()])
  })

  it('is changed by administrators before the eyes of the client', async () => {
    const { r, j, juliet } = await together()
    const [user = '', host = ''] = juliet.split('@')
    const mine = r.jid.split('@')[0] ?? ''
    await server.must('add_rosteritem', mine, 'localhost', user, host, 'Nick', 'Group', 'both')
    expect(await settled(r, j)).toEqual([['push both'], []])
    r.send('<presence/>')
    expect((await settled(r, j))[1]).toEqual([`available from ${r.jid}`])
    const again = (subs: string) =>
      server.must('add_rosteritem', mine, 'localhost', user, host, 'Nick', 'Group', subs)
    await again('to')
    expect(await settled(r, j)).toEqual([['push to'], [`unavailable from ${r.jid}`]])
    await again('from')
    await settled(r, j)
    await server.must('delete_rosteritem', mine, 'localhost', user, host)
    expect(await settled(r, j)).toEqual([['push remove'], [`unavailable from ${r.jid}`]])
    await Promise.all([r.close(), j.close()])
  })

  it('loses requests that nobody has answered when an administrator clears it', async () => {
    const { r, j, romeo, juliet } = await together()
    j.send(`<presence to='${romeo}' type='subscribe'/>`)
    await settled(j, r)
    const [user = '', host = ''] = romeo.split('@')
    expect(await server.must('get_roster', user, host)).toBe('')
    expect(await server.must('get_roster_count', user, host)).toBe('0')
    const match = ['none', 'in', romeo, juliet]
    expect(await server.must('process_rosteritems', 'list', ...match)).toContain(
      `Matches: ${romeo} ${juliet}`,
    )
    await server.must('process_rosteritems', 'delete', ...match, '--yes')
    expect(await server.must('process_rosteritems', 'list', ...match)).not.toContain('Matches')
    await Promise.all([r.close(), j.close()])
  })
})

describe('messages to somebody who is away', () => {
  it('wait in order, come once, and say since when', async () => {
    const { r, j, juliet } = await together()
    await j.close()
    for (let i = 0; i < 50; i++) r.message(juliet, `${i} < & ' "`)
    r.send(
      `<message type='chat' to='${juliet}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    )
    const refused = await r.waitFor('message')
    expect(at(refused, 'error', 'service-unavailable')).toBeDefined()
    const user = juliet.split('@')[0] ?? ''
    const again = await login(user, 'j2')
    await again.available()
    for (let i = 0; i < 50; i++) {
      const message = await again.waitFor('message')
      expect(at(message, 'body')?.text).toBe(`${i} < & ' "`)
      expect(message.attrs['from']).toBe(r.jid)
      const delay = child(message, 'delay', 'urn:xmpp:delay')
      expect(delay?.attrs['from']).toBe('localhost')
      expect(Math.abs(Date.parse(delay?.attrs['stamp'] ?? '') - Date.now())).toBeLessThan(60_000)
    }
    await again.settled()
    await again.close()
    const third = await login(user, 'j3')
    await third.available()
    expect((await third.settled()).filter((stanza) => stanza.name === 'message')).toEqual([])
    await Promise.all([r.close(), third.close()])
  })

  it('are not for resources that want none', async () => {
    const { r, j, juliet } = await together()
    await j.close()
    const again = await login(juliet.split('@')[0] ?? '', 'j2')
    await again.available('<priority>-1</priority>')
    r.message(juliet, 'later')
    await r.settled()
    expect((await again.settled()).filter((stanza) => stanza.name === 'message')).toEqual([])
    again.send('<presence><priority>0</priority></presence>')
    expect(at(await again.waitFor('message'), 'body')?.text).toBe('later')
    await Promise.all([r.close(), again.close()])
  })
})

describe('blocking', () => {
  it('makes an account look as if it were not there', async () => {
    const { r, j, romeo, juliet } = await together()
    j.send(`<presence type='subscribed' to='${romeo}'/>`)
    r.send(`<presence type='subscribe' to='${juliet}'/>`)
    await settled(r, j)
    const features = await j.iq('get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", 'localhost')
    expect(at(features, 'query')?.children.some((one) => one.attrs['var'] === 'urn:xmpp:blocking')).toBe(true)
    const block = `<block xmlns='urn:xmpp:blocking'><item jid='${romeo}'/></block>`
    expect((await j.iq('set', block)).attrs['type']).toBe('result')
    expect(await settled(r, j)).toEqual([[`unavailable from ${j.jid}`], []])

    r.message(juliet, 'Speak again')
    expect(at(await r.waitFor('message'), 'error', 'service-unavailable')).toBeDefined()
    r.message(j.jid, 'Speak again')
    expect(at(await r.waitFor('message'), 'error', 'service-unavailable')).toBeDefined()
    j.send('<presence><show>away</show></presence>')
    j.message(romeo, 'no')
    const refused = await j.waitFor('message')
    expect(at(refused, 'error', 'not-acceptable')).toBeDefined()
    expect(child(child(refused, 'error'), 'blocked', 'urn:xmpp:blocking:errors')).toBeDefined()
    expect((await settled(r, j))[0]).toEqual([])

    await j.iq('set', "<unblock xmlns='urn:xmpp:blocking'/>")
    expect((await settled(r, j))[0]).toEqual([`available from ${j.jid}`])
    r.message(juliet, 'Speak again')
    expect(at(await j.waitFor('message'), 'body')?.text).toBe('Speak again')
    await Promise.all([r.close(), j.close()])
  })
})

describe('what else an account has', () => {
  it('a vCard, private notes, and a last activity', async () => {
    const { r, j, romeo, juliet } = await together()
    const card = "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>"
    await r.iq('set', card)
    expect(at(await j.iq('get', "<vCard xmlns='vcard-temp'/>", romeo), 'vCard', 'FN')?.text).toBe('Romeo')

    await r.iq('set', "<query xmlns='jabber:iq:private'><n xmlns='mine'>x</n></query>")
    const notes = await r.iq('get', "<query xmlns='jabber:iq:private'><n xmlns='mine'/></query>")
    expect(at(notes, 'query', 'n')?.text).toBe('x')

    const last = "<query xmlns='jabber:iq:last'/>"
    expect(at(await j.iq('get', last, romeo), 'error', 'forbidden')).toBeDefined()
    r.send(`<presence type='subscribed' to='${juliet}'/>`)
    j.send(`<presence type='subscribe' to='${romeo}'/>`)
    await settled(r, j)
    expect(at(await j.iq('get', last, romeo), 'query')?.attrs['seconds']).toBe('0')
    r.send("<presence type='unavailable'><status>to Mantua</status></presence>")
    await settled(r, j)
    const gone = at(await j.iq('get', last, romeo), 'query')
    expect(gone?.text).toBe('to Mantua')
    expect(Number(gone?.attrs['seconds'])).toBeLessThan(60)
    await Promise.all([r.close(), j.close()])
  })

  it('goes with the account', async () => {
    const { r, j, romeo, juliet } = await together()
    j.send(`<presence type='subscribed' to='${romeo}'/>`)
    r.send(`<presence type='subscribe' to='${juliet}'/>`)
    await settled(r, j)
    await r.iq('set', "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
    const user = romeo.split('@')[0] ?? ''
    await server.must('unregister', user, 'localhost')
    await server.must('register_identified', user, 'localhost', 'pw')
    const again = await login(user, 'r')
    expect(at(await again.iq('get', roster), 'query')?.children).toEqual([])
    expect(at(await again.iq('get', "<vCard xmlns='vcard-temp'/>"), 'vCard')?.children).toEqual([])
    await Promise.all([again.close(), j.close()])
  })
})
