import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { modLast } from '../../server-core/modules/mod-last.ts'
import { modPrivate } from '../../server-core/modules/mod-private.ts'
import { modRoster } from '../../server-core/modules/mod-roster/mod-roster.ts'
import { modVcard } from '../../server-core/modules/mod-vcard.ts'
import type { RosterItem, Subscription } from '../../server-core/storage/storage.ts'
import { attr, type Element, getSubtag, removeCdata } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { elsewhere, type FakeSession, here, startHost, type TestHost, xml } from './host.ts'

let host: TestHost
let n = 0
let romeo: FakeSession
let tybalt: FakeSession
let account: string

beforeAll(async () => {
  host = await startHost([modLast, modPrivate, modRoster, modVcard], {
    mod_last: null,
    mod_private: { max_elements: 2, max_bytes: 2_000 },
    mod_roster: null,
    mod_vcard: { max_bytes: 1_500, url: 'https://montague.example/' },
  })
})
afterAll(() => host.stop())
beforeEach(async () => {
  account = `romeo${++n}@${here}`
  romeo = await host.login(`${account}/orchard`)
  tybalt = await host.login(`tybalt${n}@${here}/street`)
})

function outcome(answer: Element): string {
  if (attr(answer, 'type') === 'error') {
    const error = getSubtag(answer, 'error')
    return (error && removeCdata(error.children)[0]?.name) || 'error'
  }
  return removeCdata(answer.children).map(elementToString).join('')
}

const ask = async (type: 'get' | 'set', child: string, to = account, from = romeo): Promise<string> =>
  outcome(await from.iq(type, xml(child), to))

async function subscribe(
  test: TestHost,
  user: string,
  jid: string,
  subscription: Subscription,
): Promise<void> {
  const item: RosterItem = {
    jid,
    name: '',
    subscription,
    pendingOut: false,
    pendingIn: undefined,
    approved: false,
    groups: [],
    listed: true,
  }
  await test.storage.rosters.update(user, here, jid, () => item)
}

describe('mod_last', () => {
  const last = "<query xmlns='jabber:iq:last'/>"

  it('tells how long the server has been up', async () => {
    expect(await ask('get', last, here)).toMatch(/^<query xmlns='jabber:iq:last' seconds='\d+'\/>$/)
    expect(await ask('set', last, here)).toBe('not-allowed')
  })

  it('says 0 for who is there, and when he went and what he said then', async () => {
    expect(await ask('get', last)).toBe("<query xmlns='jabber:iq:last' seconds='0'/>")
    romeo.presence = undefined
    expect(await ask('get', last)).toBe('item-not-found')
    await host.hooks.run('unset_presence_hook', here, { jid: romeo.jid, status: 'to the <crypt>' })
    expect(await ask('get', last)).toMatch(
      /^<query xmlns='jabber:iq:last' seconds='[01]'>to the &lt;crypt&gt;<\/query>$/,
    )
    const stored = await host.modules.provided(here, 'last')?.get(romeo.jid.user)
    expect(stored?.status).toBe('to the <crypt>')
    await host.modules.provided(here, 'last')?.set(romeo.jid.user, { seconds: 1, status: '' })
    expect(await ask('get', last)).toMatch(/seconds='\d{10}'/)
  })

  it.each([
    ['none', 'forbidden'],
    ['to', 'forbidden'],
    ['from', "<query xmlns='jabber:iq:last' seconds='0'/>"],
    ['both', "<query xmlns='jabber:iq:last' seconds='0'/>"],
  ] as const)('asks whether the asker may see it: %s', async (subscription, result) => {
    await subscribe(host, romeo.jid.user, tybalt.jid.bareText, subscription)
    expect(await ask('get', last, account, tybalt)).toBe(result)
  })

  it('never says "forbidden" for "could not find out"', async () => {
    const undo = host.hooks.add('roster_get_jid_info', here, (known) => ({ ...known, failed: true }), 10)
    expect(await ask('get', last, account, tybalt)).toBe('internal-server-error')
    undo()
  })
})

describe('mod_private', () => {
  const query = (content: string): string => `<query xmlns='jabber:iq:private'>${content}</query>`

  it('gives back what was kept under that namespace, or the element itself', async () => {
    const notes = "<notes xmlns='n1' a='&apos;'>x &amp; <b xmlns='other'>y</b></notes>"
    expect(await ask('get', query("<notes xmlns='n1'/>"))).toBe(query("<notes xmlns='n1'/>"))
    expect(await ask('set', query(notes))).toBe('')
    expect(await ask('get', query("<notes xmlns='n1'/>"))).toBe(query(notes))
    expect(await ask('set', query("<other xmlns='n1'/>"))).toBe('')
    expect(await ask('get', query("<notes xmlns='n1'/><b xmlns='n2'/>"))).toBe(
      query("<other xmlns='n1'/><b xmlns='n2'/>"),
    )
  })

  it('keeps prefixes readable', async () => {
    expect(await ask('set', query("<p:a xmlns:p='n1'><p:b/></p:a>"))).toBe('')
    expect(await ask('get', query("<a xmlns='n1'/>"))).toBe(query("<p:a xmlns:p='n1'><p:b/></p:a>"))
  })

  it.each([
    ['bad-request', ''],
    ['not-acceptable', '<a/>'],
    ['not-acceptable', "<a xmlns='jabber:client'/>"],
  ])('refuses with %s: %s', async (condition, content) => {
    expect(await ask('set', query(content))).toBe(condition)
    expect(await ask('get', query(content))).toBe(condition)
  })

  it('keeps no more than it may, all or nothing', async () => {
    expect(await ask('set', query("<a xmlns='1'/><a xmlns='2'/><a xmlns='3'/>"))).toBe('resource-constraint')
    expect(await host.storage.privates.list(romeo.jid.user, here)).toEqual([])
    expect(await ask('set', query(`<a xmlns='1'>${'x'.repeat(2_000)}</a>`))).toBe('resource-constraint')
  })

  it('is only for its owner', async () => {
    await ask('set', query("<a xmlns='1'>secret</a>"))
    expect(await ask('get', query("<a xmlns='1'/>"), account, tybalt)).toBe('forbidden')
    expect(await ask('set', query("<a xmlns='1'/>"), account, tybalt)).toBe('forbidden')
  })

  it('can be read and written by commands', async () => {
    const service = host.modules.provided(here, 'private')
    expect(await service?.set(romeo.jid.user, xml("<aa xmlns='bb'>Cluth</aa>"))).toBe('stored')
    expect(await service?.get(romeo.jid.user, 'bb')).toBe("<aa xmlns='bb'>Cluth</aa>")
  })
})

describe('mod_vcard', () => {
  const card = "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>"
  const empty = "<vCard xmlns='vcard-temp'/>"

  it('is kept for its owner and shown to everybody', async () => {
    const seen: string[] = []
    const undo = host.hooks.add('vcard_set', here, (_, { user, vcard }) => {
      seen.push(`${user} ${elementToString(vcard)}`)
    })
    expect(await ask('get', empty)).toBe(empty)
    expect(await ask('set', card)).toBe('')
    expect(await ask('get', empty)).toBe(card)
    expect(await ask('get', empty, account, tybalt)).toBe(card)
    expect(seen).toEqual([`${romeo.jid.user} ${card}`])
    undo()
  })

  it('is no different for nobody and for an account without one', async () => {
    const without = await tybalt.iq('get', xml(empty), account)
    const nobody = await tybalt.iq('get', xml(empty), `nobody@${here}`)
    expect(outcome(without)).toBe('service-unavailable')
    const bare = (answer: Element): string => elementToString(answer).replace(/ (from|id)='[^']*'/g, '')
    expect(bare(without)).toBe(bare(nobody))
  })

  it('is not for others to change, nor too big, nor something else', async () => {
    expect(await ask('set', card, account, tybalt)).toBe('forbidden')
    expect(await ask('set', card.replace('Romeo', 'x'.repeat(1_500)))).toBe('not-acceptable')
    expect(await ask('set', "<FN xmlns='vcard-temp'/>")).toBe('bad-request')
    expect(await host.storage.vcards.get(romeo.jid.user, here)).toBeUndefined()
  })

  it('can be read and written by commands', async () => {
    const service = host.modules.provided(here, 'vcard')
    expect(await service?.get(romeo.jid.user)).toBeUndefined()
    await service?.set(romeo.jid.user, xml('<vCard xmlns="vcard-temp"><FN/></vCard>'))
    const kept = await service?.get(romeo.jid.user)
    expect(kept && elementToString(kept)).toBe("<vCard xmlns='vcard-temp'><FN/></vCard>")
  })

  it('the server has one too', async () => {
    expect(await ask('get', empty, here)).toBe(
      "<vCard xmlns='vcard-temp'><FN>gatehouse</FN><URL>https://montague.example/</URL><DESC>An XMPP server</DESC></vCard>",
    )
    expect(await ask('set', empty, here)).toBe('not-allowed')
  })
})

it('none of them answers for other domains', async () => {
  host.take()
  await host.send(
    `<iq type='get' id='1' from='${romeo.jid.text}' to='x@${elsewhere}'><vCard xmlns='vcard-temp'/></iq>`,
  )
  expect(host.take()).toHaveLength(1)
})
