import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { HostContext } from '../../../server-core/extend/gen-mod.ts'
import { modRoster } from '../../../server-core/modules/mod-roster/mod-roster.ts'
import { Rosters } from '../../../server-core/modules/mod-roster/roster.ts'
import { Subscribing } from '../../../server-core/modules/mod-roster/subscribing.ts'
import type { Pending, SubscriptionState } from '../../../server-core/modules/mod-roster/subscriptions.ts'
import type { RosterItem, Subscription } from '../../../server-core/storage/storage.ts'
import { elementToString } from '../../../server-core/xml/serialize.ts'
import type { Stanza } from '../../../server-core/xmpp/stanza.ts'
import { until } from '../../harness/deadline.ts'
import { elsewhere, type FakeSession, here, jid, stanza, startHost, type TestHost } from '../host.ts'

let host: TestHost
let n = 0
/** Every test has an account of its own. */
let romeo: string
const juliet = `juliet@${elsewhere}`

beforeAll(async () => {
  host = await startHost([modRoster], { mod_roster: { max_pending_in: 3, max_roster_items: 4 } })
})
afterAll(() => host.stop())
beforeEach(() => {
  romeo = `romeo${++n}@${here}`
  host.take()
})

interface Case {
  readonly state: string
  readonly type: string
  readonly before: SubscriptionState
  readonly passes: boolean
  readonly after: SubscriptionState
  readonly approval?: 'granted' | 'cancelled'
  readonly answer?: string
}

function cases(name: string): readonly Case[] {
  const url = new URL(`../../../fixtures/subscriptions/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Case[]
}

const request = "<presence type='subscribe' from='juliet@capulet.example'/>"

async function put(state: SubscriptionState, approved = false, contact = juliet): Promise<void> {
  const isNothing = state.subscription === 'none' && state.pending === 'none' && !approved
  if (isNothing) return
  const pendingIn = state.pending === 'in' || state.pending === 'both'
  const pendingOut = state.pending === 'out' || state.pending === 'both'
  await host.storage.rosters.update(jid(romeo).user, here, contact, () => ({
    jid: contact,
    name: '',
    subscription: state.subscription,
    pendingOut,
    pendingIn: pendingIn ? request : undefined,
    approved,
    groups: [],
    listed: state.subscription !== 'none' || pendingOut || approved,
  }))
}

function kept(contact = juliet): Promise<RosterItem | undefined> {
  return host.storage.rosters.get(jid(romeo).user, here, contact)
}

async function stateNow(): Promise<SubscriptionState> {
  const item = await kept()
  const pending: Pending =
    item?.pendingIn === undefined ? (item?.pendingOut ? 'out' : 'none') : item.pendingOut ? 'both' : 'in'
  return { subscription: item?.subscription ?? 'none', pending }
}

/** What happened to this test's accounts and elsewhere, in short: 'orchard: subscribe', 'orchard: push to', 'away: subscribed'. */
function story(): string[] {
  const mine = new RegExp(`^(${elsewhere} |[a-z]+${n}@)`)
  const lines = host.take().filter((line) => mine.test(line))
  return lines.map((line) => {
    const [who = '', , ...rest] = line.split(' ')
    const text = rest.join(' ')
    const place = who === elsewhere ? 'away' : (jid(who).resource ?? '')
    const type = /^<presence[^>]* type='(\w+)'/.exec(text)?.[1]
    if (text.startsWith('<presence')) return `${place}: ${type ?? 'available'}`
    const item = /<item (.*)\/><\/query>/.exec(text)?.[1] ?? text
    const shown = item.replace(/jid='[^']*' /, '').replace(/subscription='(\w+)'/, '$1')
    return `${place}: push ${shown}`
  })
}

const send = (type: string, to = juliet): Promise<void> =>
  host.send(`<presence type='${type}' from='${romeo}' to='${to}' id='x1'/>`)
const receive = (type: string, from = juliet): Promise<void> =>
  host.send(`<presence type='${type}' from='${from}' to='${romeo}'/>`)

function isShown(one: SubscriptionState, other: SubscriptionState): boolean {
  const out = (state: SubscriptionState): boolean => state.pending === 'out' || state.pending === 'both'
  return one.subscription !== other.subscription || out(one) !== out(other)
}

describe('what a user sends', () => {
  it.each(cases('sent'))('$type in $state', async (one) => {
    await put(one.before, one.approval === 'cancelled')
    const session = await host.login(`${romeo}/orchard`)
    await send(one.type)
    expect(await stateNow()).toEqual(one.after)
    expect((await kept())?.approved ?? false).toBe(one.approval === 'granted')
    const happened = story()
    expect(happened.filter((line) => line === `away: ${one.type}`)).toHaveLength(one.passes ? 1 : 0)
    const isPushed = isShown(one.before, one.after) || one.approval !== undefined
    expect(happened.filter((line) => line.startsWith('orchard: push'))).toHaveLength(isPushed ? 1 : 0)
    // the stanza goes out before the push
    if (one.passes && isPushed) {
      const push = happened.findIndex((line) => line.startsWith('orchard: push'))
      expect(happened.indexOf(`away: ${one.type}`)).toBeLessThan(push)
    }
    const news = session.events.filter((event) => event.type === 'subscription')
    expect(news).toHaveLength(one.before.subscription === one.after.subscription ? 0 : 1)
  })

  it('shows presence behind a subscribed', async () => {
    await put({ subscription: 'none', pending: 'in' })
    await host.login(`${romeo}/orchard`)
    await host.login(`${romeo}/balcony`)
    await host.login(`${romeo}/quiet`, { available: false })
    await send('subscribed')
    const away = story().filter((line) => line.startsWith('away'))
    expect(away).toEqual(['away: subscribed', 'away: available', 'away: available'])
  })

  it('sends unavailable of every resource before an unsubscribed', async () => {
    await put({ subscription: 'both', pending: 'none' })
    await host.login(`${romeo}/orchard`)
    await host.login(`${romeo}/balcony`)
    await send('unsubscribed')
    const away = story().filter((line) => line.startsWith('away'))
    expect(away).toEqual(['away: unavailable', 'away: unavailable', 'away: unsubscribed'])
  })

  it('keeps the pre-approval until it is taken back, and shows it', async () => {
    await host.login(`${romeo}/orchard`)
    await send('subscribed')
    await send('subscribed')
    await send('unsubscribed')
    await send('unsubscribed')
    expect(story()).toEqual(["orchard: push none approved='true'", 'orchard: push none'])
  })

  it('goes on with the stanza as the client sent it', async () => {
    await host.login(`${romeo}/orchard`)
    await host.send(
      `<presence type='subscribe' id='a1' from='${romeo}' to='${juliet}'><nick xmlns='n'>R</nick></presence>`,
    )
    expect(host.transcript[0]).toBe(
      `${elsewhere} gets <presence type='subscribe' id='a1' from='${romeo}' to='${juliet}'><nick xmlns='n'>R</nick></presence>`,
    )
  })

  it('to oneself means nothing', async () => {
    await host.login(`${romeo}/orchard`)
    for (const type of ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed']) await send(type, romeo)
    expect(story()).toEqual([])
    expect(await kept(romeo)).toBeUndefined()
  })

  it('makes no contact too many: the client is told, nothing goes out', async () => {
    await host.login(`${romeo}/orchard`)
    for (let i = 0; i < 4; i++) await send('subscribe', `c${i}@${elsewhere}`)
    story()
    await send('subscribe', `c4@${elsewhere}`)
    await send('subscribed', `c5@${elsewhere}`)
    expect(story()).toEqual(['orchard: error', 'orchard: error'])
    await send('subscribe', `c3@${elsewhere}`)
    await send('unsubscribe', `c9@${elsewhere}`)
    expect(story()).toEqual(['away: subscribe', 'away: unsubscribe'])
  })
})

describe('what a user receives', () => {
  it.each(cases('received'))('$type in $state', async (one) => {
    await put(one.before)
    const session = await host.login(`${romeo}/orchard`)
    await receive(one.type)
    expect(await stateNow()).toEqual(one.after)
    const happened = story()
    const mine = happened.filter((line) => line.startsWith('orchard'))
    const isPushed = isShown(one.before, one.after)
    expect(mine[0] === `orchard: ${one.type}`).toBe(one.passes)
    expect(mine).toHaveLength((one.passes ? 1 : 0) + (isPushed ? 1 : 0))
    const ends = one.type === 'unsubscribe' && one.passes
    const wasSeen = ['from', 'both'].includes(one.before.subscription)
    const answers = ends ? [...(wasSeen ? ['away: unavailable'] : []), 'away: unsubscribed'] : []
    if (one.answer !== undefined) answers.push('away: subscribed', 'away: available')
    expect(happened.filter((line) => line.startsWith('away'))).toEqual(answers)
    const news = session.events.filter((event) => event.type === 'subscription')
    expect(news).toHaveLength(one.before.subscription === one.after.subscription ? 0 : 1)
  })

  it('hears of requests with every available resource, of the rest with those that have the roster', async () => {
    await put({ subscription: 'to', pending: 'none' })
    await host.login(`${romeo}/a`, { available: true, interested: false })
    await host.login(`${romeo}/b`, { available: false, interested: true })
    await receive('subscribe')
    expect(story()).toEqual(['a: subscribe'])
    await receive('unsubscribed')
    expect(story()).toEqual(['b: unsubscribed', 'b: push none'])
  })

  it.each([
    { state: 'N', before: { subscription: 'none', pending: 'none' }, pushed: 'from' },
    { state: 'N+o', before: { subscription: 'none', pending: 'out' }, pushed: "from ask='subscribe'" },
    { state: 'T', before: { subscription: 'to', pending: 'none' }, pushed: 'both' },
  ] as const)('answers a request that was approved before in $state', async ({ before, pushed }) => {
    await put(before, true)
    await host.login(`${romeo}/orchard`)
    await receive('subscribe')
    expect(story()).toEqual([
      `orchard: push ${pushed} approved='true'`,
      'away: subscribed',
      'away: available',
    ])
  })

  it('drops requests when too many wait, but not those of who waits already', async () => {
    await host.login(`${romeo}/orchard`)
    for (let i = 0; i < 4; i++) await receive('subscribe', `c${i}@${elsewhere}`)
    expect(story()).toEqual(['orchard: subscribe', 'orchard: subscribe', 'orchard: subscribe'])
    expect(await kept(`c3@${elsewhere}`)).toBeUndefined()
    await host.send(
      `<presence type='subscribe' from='c1@${elsewhere}' to='${romeo}'><status>please</status></presence>`,
    )
    expect((await kept(`c1@${elsewhere}`))?.pendingIn).toContain('please')
  })

  it('from a full address counts for the bare one', async () => {
    await host.login(`${romeo}/orchard`)
    await host.send(`<presence type='subscribe' from='${juliet}/chamber' to='${romeo}/orchard'/>`)
    expect(host.transcript[0]).toContain(`from='${juliet}' to='${romeo}'`)
    expect(await kept()).toMatchObject({ jid: juliet, subscription: 'none' })
  })

  it('for nobody is dropped', async () => {
    await host.send(`<presence type='subscribe' from='${juliet}' to='nobody@${here}'/>`)
    expect(host.take()).toEqual([])
  })
})

describe('a request that waits', () => {
  const waiting = async (): Promise<string[]> => {
    const account = { user: jid(romeo).user, host: here }
    const list = await host.hooks.fold('resend_subscription_requests_hook', here, [], account)
    return list.map((one) => `${one.from.text} ${one.to.text} ${elementToString(one.element)}`)
  }

  it('is kept whole and shown to every resource that comes, until it is answered', async () => {
    const session = await host.login(`${romeo}/orchard`, { available: false })
    await host.send(
      `<presence type='subscribe' from='${juliet}' to='${romeo}'><nick xmlns='n'>J&amp;</nick></presence>`,
    )
    const text = `<presence type='subscribe' from='${juliet}' to='${romeo}'><nick xmlns='n'>J&amp;</nick></presence>`
    expect(await waiting()).toEqual([`${juliet} ${romeo} ${text}`])
    expect(await waiting()).toHaveLength(1)
    expect(session.received).toEqual([])
    await send('subscribed')
    expect(await waiting()).toEqual([])
  })

  it('is replaced by a newer one of the same sender', async () => {
    await host.login(`${romeo}/orchard`)
    await host.send(
      `<presence type='subscribe' from='${juliet}' to='${romeo}'><status>one</status></presence>`,
    )
    await host.send(
      `<presence type='subscribe' from='${juliet}' to='${romeo}'><status>two</status></presence>`,
    )
    expect(await waiting()).toEqual([expect.stringContaining('<status>two</status>')])
    expect(story()).toEqual(['orchard: subscribe'])
  })

  it('goes when it is taken back', async () => {
    await host.login(`${romeo}/orchard`)
    await receive('subscribe')
    await receive('unsubscribe')
    expect(await waiting()).toEqual([])
    expect(await kept()).toBeUndefined()
  })
})

describe('two accounts of this host', () => {
  async function both(): Promise<{ benvolio: FakeSession; romeo: FakeSession }> {
    return { benvolio: await host.login(`benvolio${n}@${here}/b`), romeo: await host.login(`${romeo}/r`) }
  }

  it('subscribe to each other', async () => {
    await both()
    const benvolio = `benvolio${n}@${here}`
    await send('subscribe', benvolio)
    expect(story()).toEqual(['b: subscribe', "r: push none ask='subscribe'"])
    await host.send(`<presence type='subscribed' from='${benvolio}' to='${romeo}'/>`)
    expect(
      await until('presence of b', () => host.transcript.some((line) => line.includes('<status>'))),
    ).toBe(true)
    const happened = story()
    expect(happened.filter((line) => line.startsWith('r'))).toEqual([
      'r: subscribed',
      'r: push to',
      'r: available',
    ])
    expect(happened.filter((line) => line.startsWith('b'))).toEqual(['b: push from'])
    await host.send(`<presence type='subscribe' from='${benvolio}' to='${romeo}'/>`)
    await send('subscribed', benvolio)
    story()
    await send('unsubscribe', benvolio)
    // the contact has the roster too: it goes offline for him, and its answer changes nothing any more
    await until('the end', () =>
      host.transcript.some((line) => line.includes("/r gets <presence type='unavailable'")),
    )
    const end = story()
    expect(end.filter((line) => line.startsWith('b'))).toEqual(['b: unsubscribe', 'b: push to'])
    expect(end).toContain('r: push from')
    expect(end).toContain('r: unavailable')
  })

  it('do not wait for each other for ever when both ask at once', async () => {
    await both()
    const benvolio = `benvolio${n}@${here}`
    const sides = [
      [romeo, benvolio],
      [benvolio, romeo],
    ] as const
    const types = ['subscribed', 'subscribe', 'unsubscribe', 'subscribe', 'unsubscribed', 'subscribe']
    await Promise.all(
      sides.flatMap(([from, to]) =>
        types.map((type) => host.send(`<presence type='${type}' from='${from}' to='${to}'/>`)),
      ),
    )
    const subscriptions = async (): Promise<string> => {
      const one = await host.storage.rosters.get(jid(romeo).user, here, benvolio)
      const other = await host.storage.rosters.get(jid(benvolio).user, here, romeo)
      return `${one?.subscription} ${other?.subscription}`
    }
    await until('an agreement', async () =>
      ['none none', 'to from', 'from to', 'both both'].includes(await subscriptions()),
    )
  })

  it('agree at once when one has approved before', async () => {
    await both()
    const benvolio = `benvolio${n}@${here}`
    await host.send(`<presence type='subscribed' from='${benvolio}' to='${romeo}'/>`)
    story()
    await send('subscribe', benvolio)
    await until('an agreement', () => host.transcript.some((line) => line.includes('<status>')))
    expect(story().filter((line) => line.startsWith('r'))).toEqual([
      "r: push none ask='subscribe'",
      'r: subscribed',
      'r: push to',
      'r: available',
    ])
  })
})

describe('a request that nobody answers', () => {
  it('is sent again when the account comes online, at most once a day', async () => {
    const user = jid(romeo).user
    await put({ subscription: 'none', pending: 'out' })
    await put({ subscription: 'to', pending: 'none' }, false, `nurse@${elsewhere}`)
    let now = 0
    const context = {
      host: here,
      storage: host.storage,
      sessions: host.sessions,
      route: (one) => host.router.route(one),
    } as Partial<HostContext> as HostContext
    const subscribing = new Subscribing(new Rosters(context, { maxItems: 9, maxPendingIn: 9 }), () => now)
    await subscribing.repeat(user)
    await subscribing.repeat(user)
    expect(host.take()).toEqual([
      `${elsewhere} gets <presence type='subscribe' from='${romeo}' to='${juliet}'/>`,
    ])
    now = 86_400_000
    await subscribing.repeat(user)
    expect(story()).toEqual(['away: subscribe'])
    now = 2 * 86_400_000 - 1
    await subscribing.outgoing(user, stanza(`<presence type='subscribe' from='${romeo}' to='${juliet}'/>`))
    now += 1
    subscribing.prune()
    await subscribing.repeat(user)
    expect(story()).toEqual(['away: subscribe'])
  })
})

it('remembers no more than 50,000 requests: the oldest are forgotten, and may be repeated', async () => {
  const user = jid(romeo).user
  const routed: string[] = []
  const item = (contact: string) => ({ jid: contact, pendingOut: true, subscription: 'none', groups: [] })
  let waiting: string[] = []
  const context = {
    host: here,
    storage: { rosters: { pending: async () => waiting.map(item) } },
    route: async (one: Stanza) => void routed.push(one.to.text),
  } as unknown as HostContext
  const subscribing = new Subscribing(new Rosters(context, { maxItems: 9, maxPendingIn: 9 }), () => 0)
  waiting = Array.from({ length: 50_001 }, (_, i) => `c${i}@${elsewhere}`)
  await subscribing.repeat(user)
  expect(routed).toHaveLength(50_001)
  waiting = [`c0@${elsewhere}`, `c1@${elsewhere}`, `c50000@${elsewhere}`]
  routed.length = 0
  await subscribing.repeat(user)
  // the first was forgotten, and took the place of the second
  expect(routed).toEqual([`c0@${elsewhere}`, `c1@${elsewhere}`])
})

it('tells the contacts of an account that goes', async () => {
  const states: Record<string, Subscription> = { t: 'to', f: 'from', b: 'both', n: 'none' }
  for (const [name, subscription] of Object.entries(states)) {
    await put({ subscription, pending: 'none' }, true, `${name}@${elsewhere}`)
  }
  await host.hooks.run('remove_user', here, { user: jid(romeo).user, host: here })
  const sent = host.take().map((line) => /type='(\w+)'.*to='(\w)@/.exec(line)?.slice(1).join(' '))
  expect(sent).toEqual(['unsubscribe b', 'unsubscribed b', 'unsubscribed f', 'unsubscribe t'])
})
