/**
 * Every row of the subscription tables (RFC 6121 §3, appendix A) with real clients: what each resource gets, in order, and
 * what the contact, who is elsewhere, gets. The rows are in fixtures/subscriptions; there `orchard` is available and has asked
 * for the roster, `balcony` is available, `cell` has asked for the roster.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { modRoster } from '../../server-core/modules/mod-roster/mod-roster.ts'
import type { SubscriptionState } from '../../server-core/modules/mod-roster/subscriptions.ts'
import type { Stanza as Routed } from '../../server-core/xmpp/stanza.ts'
import { host, Rig, type RigModules } from '../c2s/rig.ts'
import type { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { root } from '../harness/paths.ts'
import { at, type Stanza } from '../harness/stanza.ts'
import { stanza } from '../modules/host.ts'

type Place = 'away' | 'orchard' | 'balcony' | 'cell'

interface Row {
  readonly state: string
  readonly type: string
  readonly before: SubscriptionState
  readonly after: SubscriptionState
  readonly approval?: 'granted' | 'cancelled'
  readonly story: Readonly<Record<Place, readonly string[]>>
}

const rows = (name: string): readonly Row[] =>
  JSON.parse(readFileSync(`${root}/fixtures/subscriptions/${name}.json`, 'utf8')) as Row[]

const elsewhere = 'mantua.example'
const juliet = `juliet@${elsewhere}`
let rig: Rig
let modules: RigModules
/** What the contact got. */
const away: Routed[] = []
let n = 0

beforeAll(async () => {
  rig = await Rig.start()
  modules = await rig.startModules([modRoster], { mod_roster: {} })
  rig.router.registerLocalRoute(elsewhere, (one) => void away.push(one))
})
afterAll(async () => {
  rig.close()
  await modules.stop()
})

const hasOut = ({ pending }: SubscriptionState) => pending === 'out' || pending === 'both'
const hasIn = ({ pending }: SubscriptionState) => pending === 'in' || pending === 'both'

async function put(user: string, state: SubscriptionState, approved: boolean): Promise<void> {
  const listed = state.subscription !== 'none' || hasOut(state) || approved
  if (!listed && !hasIn(state)) return
  await modules.storage.rosters.update(user, host, juliet, () => ({
    jid: juliet,
    name: '',
    subscription: state.subscription,
    pendingOut: hasOut(state),
    pendingIn: hasIn(state) ? `<presence type='subscribe' from='${juliet}'/>` : undefined,
    approved,
    groups: [],
    listed,
  }))
}

/** 'push from ask', 'subscribed' */
function brief(one: Stanza): string {
  const item = at(one, 'query', 'item')
  if (!item) return one.attrs['type'] ?? 'available'
  const { subscription, ask, approved } = item.attrs
  expect(item.attrs['jid']).toBe(juliet)
  return ['push', subscription, ask && 'ask', approved && 'approved'].filter(Boolean).join(' ')
}

/** 'unavailable orchard', 'subscribed'; subscriptions are between bare JIDs */
function briefOf({ from, to, type }: Routed): string {
  expect(to.text).toBe(juliet)
  const word = type === '' ? 'available' : type
  return from.resource === '' ? word : `${word} ${from.resource}`
}

async function story(row: Row, approved: boolean, act: (user: string, orchard: TestClient) => void) {
  const user = `romeo${++n}`
  await put(user, row.before, approved)
  away.length = 0
  const clients = {
    orchard: await rig.login(user, { resource: 'orchard', available: false }),
    balcony: await rig.login(user, { resource: 'balcony', available: false }),
    cell: await rig.login(user, { resource: 'cell', available: false }),
  }
  const all = Object.values(clients)
  for (const one of [clients.orchard, clients.cell]) await one.iq('get', "<query xmlns='jabber:iq:roster'/>")
  for (const one of [clients.orchard, clients.balcony]) await one.available()
  for (const one of all) await one.settled()
  // what was sent because they came is no part of the row
  away.length = 0
  act(user, clients.orchard)
  const first = await clients.orchard.settled()
  // what is sent to the contact goes on behind what the client waits for
  await until(
    () => `the contact to get ${row.story.away.join(', ')}; it got ${away.map(briefOf).join(', ')}`,
    () => away.length >= row.story.away.length,
  )
  const seen: Record<string, string[]> = { away: away.map(briefOf) }
  for (const [name, client] of Object.entries(clients)) {
    const before = client === clients.orchard ? first : []
    seen[name] = [...before, ...(await client.settled())].map(brief)
  }
  expect(away.map(briefOf)).toEqual(seen['away'])
  for (const one of all) one.destroy()
  const item = await modules.storage.rosters.get(user, host, juliet)
  const [isIn, isOut] = [item?.pendingIn !== undefined, item?.pendingOut ?? false]
  return {
    seen,
    state: {
      subscription: item?.subscription ?? 'none',
      pending: isIn ? (isOut ? 'both' : 'in') : isOut ? 'out' : 'none',
    },
    approved: item?.approved ?? false,
  }
}

const arrives = (type: string) => (user: string) =>
  void rig.router.route(stanza(`<presence type='${type}' from='${juliet}' to='${user}@${host}'/>`))

describe('a user sends', () => {
  it.each(rows('sent'))('$type in $state', async (row) => {
    const told = await story(row, row.approval === 'cancelled', (_user, orchard) =>
      orchard.send(`<presence type='${row.type}' to='${juliet}/chamber'/>`),
    )
    expect(told).toEqual({ seen: row.story, state: row.after, approved: row.approval === 'granted' })
  })
})

describe('a user receives', () => {
  it.each(rows('received'))('$type in $state', async (row) => {
    expect(await story(row, false, arrives(row.type))).toEqual({
      seen: row.story,
      state: row.after,
      approved: false,
    })
  })

  it.each(rows('pre-approved'))('subscribe in $state, approved before', async (row) => {
    expect(await story(row, true, arrives('subscribe'))).toEqual({
      seen: row.story,
      state: row.after,
      approved: true,
    })
  })
})

it('has a row for every state and type', () => {
  for (const name of ['sent', 'received']) {
    expect(new Set(rows(name).map(({ state, type }) => `${state} ${type}`)).size).toBe(36)
  }
})
