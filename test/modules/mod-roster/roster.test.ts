import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { stop } from '../../../server-core/extend/hooks.ts'
import { modRoster } from '../../../server-core/modules/mod-roster/mod-roster.ts'
import { type RosterItem, StorageUnavailable } from '../../../server-core/storage/storage.ts'
import { attr, type Element, getChild, getSubtag, removeCdata } from '../../../server-core/xml/element.ts'
import { elementToString } from '../../../server-core/xml/serialize.ts'
import { type FakeSession, here, jid, startHost, type TestHost, xml } from '../host.ts'

let host: TestHost
let n = 0
/** Every test has an account of its own. */
let romeo: string

beforeAll(async () => {
  host = await startHost([modRoster], { mod_roster: { max_roster_items: 5 } })
})
afterAll(() => host.stop())
beforeEach(() => {
  romeo = `romeo${++n}`
  host.take()
})

const bare = (): string => `${romeo}@${here}`
const juliet = 'juliet@capulet.example'

function query(...items: string[]): Element {
  return xml(`<query xmlns='jabber:iq:roster'>${items.join('')}</query>`)
}

async function login(resource = 'orchard'): Promise<FakeSession> {
  return host.login(`${bare()}/${resource}`)
}

function itemsOf(answer: Element): string[] {
  const list = getChild(answer, 'query', 'jabber:iq:roster')
  return list ? removeCdata(list.children).map(elementToString) : []
}

function errorOf(answer: Element): string {
  const error = getSubtag(answer, 'error')
  const condition = error ? removeCdata(error.children)[0] : undefined
  return condition ? condition.name : attr(answer, 'type') === 'error' ? 'error' : 'none'
}

function pushes(session: FakeSession): { id: string; item: string; ver: string }[] {
  return session.received
    .filter((one) => one.kind === 'iq' && one.type === 'set')
    .map((one) => {
      const list = getChild(one.element, 'query', 'jabber:iq:roster') as Element
      const item = removeCdata(list.children)[0] as Element
      return { id: one.id, item: elementToString(item), ver: attr(list, 'ver') ?? '' }
    })
}

async function put(contact: string, changes: Partial<RosterItem>): Promise<void> {
  await host.storage.rosters.update(romeo, here, contact, () => ({
    jid: contact,
    name: '',
    subscription: 'none',
    pendingOut: false,
    pendingIn: undefined,
    approved: false,
    groups: [],
    listed: true,
    ...changes,
  }))
}

describe('get', () => {
  it('gives all that shows of every contact, and no mere requests', async () => {
    await put('a@x.example', { name: 'A & Co', subscription: 'both', groups: ['Friends', 'Work'] })
    await put('b@x.example', { pendingOut: true })
    await put('c@x.example', { approved: true })
    await put('d@x.example', { pendingIn: '<presence/>', listed: false })
    const session = await login()
    const answer = await session.iq('get', query())
    expect(itemsOf(answer)).toEqual([
      "<item jid='a@x.example' name='A &amp; Co' subscription='both'><group>Friends</group><group>Work</group></item>",
      "<item jid='b@x.example' subscription='none' ask='subscribe'/>",
      "<item jid='c@x.example' subscription='none' approved='true'/>",
    ])
  })

  it('makes the resource one that gets pushes', async () => {
    const session = await host.login(`${bare()}/orchard`, { interested: false })
    await session.iq('set', query(`<item jid='${juliet}'/>`))
    expect(pushes(session)).toEqual([])
    await session.iq('get', query())
    await session.iq('set', query(`<item jid='${juliet}' name='J'/>`))
    expect(pushes(session)).toHaveLength(1)
  })

  it.each(['get', 'set'] as const)('is forbidden to others: %s', async (type) => {
    await login()
    const tybalt = await host.login(`tybalt${n}@${here}/street`)
    expect(errorOf(await tybalt.iq(type, query(`<item jid='${juliet}'/>`), bare()))).toBe('forbidden')
    expect(await host.storage.rosters.list(romeo, here)).toEqual([])
  })

  it('adds what other modules bring, which then has no version', async () => {
    await put('a@x.example', {})
    const session = await login()
    const shared = { ...(await host.storage.rosters.list(romeo, here))[0], jid: 's@x.example' } as RosterItem
    const undo = host.hooks.add('roster_get', here, (items) => stop([...items, shared]))
    const answer = await session.iq('get', query())
    const removal = await session.iq('set', query("<item jid='s@x.example' subscription='remove'/>"))
    undo()
    expect(itemsOf(answer).map((item) => item.split(' ')[1])).toEqual([
      "jid='a@x.example'",
      "jid='s@x.example'",
    ])
    expect(elementToString(answer)).not.toContain('ver=')
    expect(errorOf(removal)).toBe('not-allowed')
  })
})

describe('versions', () => {
  const ver = async (session: FakeSession): Promise<string> => {
    const answer = await session.iq('get', xml("<query xmlns='jabber:iq:roster' ver=''/>"))
    return attr(getChild(answer, 'query', 'jabber:iq:roster') as Element, 'ver') as string
  }
  const asked = (known: string): Element => xml(`<query xmlns='jabber:iq:roster' ver='${known}'/>`)

  it('give an empty result for a known one, then a push for every change since, in order', async () => {
    const session = await login()
    await session.iq('set', query("<item jid='a@x.example'/>"))
    await session.iq('set', query("<item jid='b@x.example'/>"))
    const known = await ver(session)
    await session.iq('set', query("<item jid='c@x.example'/>"))
    await session.iq('set', query("<item jid='a@x.example' subscription='remove'/>"))
    await session.iq('set', query("<item jid='b@x.example' name='Bob'/>"))
    const now = await ver(session)
    const other = await login('balcony')
    const answer = await other.iq('get', asked(known))
    expect(removeCdata(answer.children)).toEqual([])
    const got = pushes(other)
    expect(got.map((push) => push.item)).toEqual([
      "<item jid='c@x.example' subscription='none'/>",
      "<item jid='a@x.example' subscription='remove'/>",
      "<item jid='b@x.example' name='Bob' subscription='none'/>",
    ])
    expect(got.at(-1)?.ver).toBe(now)
    expect(other.received.map((one) => one.type)).toEqual(['result', 'set', 'set', 'set'])
  })

  it('give an empty result alone when nothing has changed', async () => {
    const session = await login()
    await session.iq('set', query("<item jid='a@x.example'/>"))
    const known = await ver(session)
    const other = await login('balcony')
    const answer = await other.iq('get', asked(known))
    expect(removeCdata(answer.children)).toEqual([])
    expect(pushes(other)).toEqual([])
  })

  it.each(['', 'never-given', '1', '99999999999999999999'])('give the whole roster for %j', async (known) => {
    const session = await login()
    await session.iq('set', query("<item jid='a@x.example'/>"))
    expect(itemsOf(await session.iq('get', asked(known)))).toHaveLength(1)
  })

  it('are in every push', async () => {
    const session = await login()
    await session.iq('set', query("<item jid='a@x.example'/>"))
    expect(pushes(session)[0]?.ver).toBe(await ver(session))
  })
})

describe('set', () => {
  it('stores and pushes to all who asked for the roster, the sender too', async () => {
    const session = await login()
    const other = await login('balcony')
    const quiet = await host.login(`${bare()}/quiet`, { interested: false })
    const answer = await session.iq(
      'set',
      query(`<item jid='${juliet}/chamber' name='Juliet'><group>Capulets</group></item>`),
    )
    expect(attr(answer, 'type')).toBe('result')
    expect(removeCdata(answer.children)).toEqual([])
    const item = `<item jid='${juliet}' name='Juliet' subscription='none'><group>Capulets</group></item>`
    expect(pushes(session).map((push) => push.item)).toEqual([item])
    expect(pushes(other).map((push) => push.item)).toEqual([item])
    expect(pushes(session)[0]?.id).toMatch(/^push\d+$/)
    expect(pushes(session)[0]?.id).not.toBe(pushes(other)[0]?.id)
    expect(quiet.received).toEqual([])
  })

  it('leaves the subscription alone, whatever the client says of it', async () => {
    await put(juliet, { subscription: 'to', pendingIn: '<presence/>' })
    const session = await login()
    await session.iq(
      'set',
      query(`<item jid='${juliet}' name='J' subscription='both' ask='subscribe' approved='true'/>`),
    )
    expect(await host.storage.rosters.get(romeo, here, juliet)).toMatchObject({
      name: 'J',
      subscription: 'to',
      pendingOut: false,
      approved: false,
      pendingIn: '<presence/>',
    })
  })

  it('pushes nothing when nothing changes', async () => {
    const session = await login()
    await session.iq('set', query(`<item jid='${juliet}' name='J'/>`))
    await session.iq('set', query(`<item jid='${juliet}' name='J'/>`))
    expect(pushes(session)).toHaveLength(1)
  })

  it('makes a contact of who has asked, and keeps the request', async () => {
    await put(juliet, { pendingIn: '<presence/>', listed: false })
    const session = await login()
    await session.iq('set', query(`<item jid='${juliet}'/>`))
    expect(pushes(session).map((push) => push.item)).toEqual([`<item jid='${juliet}' subscription='none'/>`])
    expect(await host.storage.rosters.get(romeo, here, juliet)).toMatchObject({ pendingIn: '<presence/>' })
  })

  it.each([
    ['bad-request', ''],
    ['bad-request', "<item jid='a@x'/><item jid='b@x'/>"],
    ['bad-request', '<thing/>'],
    ['bad-request', '<item/>'],
    ['bad-request', "<item jid='a@x'><group>G</group><group>G</group></item>"],
    ['jid-malformed', "<item jid='@x'/>"],
    ['not-acceptable', "<item jid='a@x'><group/></item>"],
    ['not-acceptable', `<item jid='a@x'><group>${'g'.repeat(1_024)}</group></item>`],
    ['not-acceptable', `<item jid='a@x' name='${'ä'.repeat(512)}'/>`],
    ['item-not-found', "<item jid='a@x' subscription='remove'/>"],
  ])('refuses with %s: %s', async (condition, item) => {
    const session = await login()
    expect(errorOf(await session.iq('set', query(item)))).toBe(condition)
    expect(await host.storage.rosters.list(romeo, here)).toEqual([])
    expect(pushes(session)).toEqual([])
  })

  it('refuses the own address', async () => {
    const session = await login()
    expect(errorOf(await session.iq('set', query(`<item jid='${bare()}/x'/>`)))).toBe('not-allowed')
  })

  it('takes a name and a group of 1,023 bytes', async () => {
    const session = await login()
    const long = 'x'.repeat(1_023)
    const answer = await session.iq(
      'set',
      query(`<item jid='a@x' name='${long}'><group>${long}</group></item>`),
    )
    expect(attr(answer, 'type')).toBe('result')
  })

  it('refuses one contact too many, and goes on with those that are there', async () => {
    const session = await login()
    for (let i = 0; i < 5; i++) await session.iq('set', query(`<item jid='${i}@x.example'/>`))
    expect(errorOf(await session.iq('set', query("<item jid='5@x.example'/>")))).toBe('not-acceptable')
    expect(attr(await session.iq('set', query("<item jid='4@x.example' name='x'/>")), 'type')).toBe('result')
  })

  it('lets modules look at an item before it is stored', async () => {
    const session = await login()
    const undo = host.hooks.add('roster_process_item', here, (item) => ({ ...item, groups: ['Added'] }))
    await session.iq('set', query(`<item jid='${juliet}'/>`))
    undo()
    expect(await host.storage.rosters.get(romeo, here, juliet)).toMatchObject({ groups: ['Added'] })
  })
})

describe('remove', () => {
  const contactGets = (): string[] =>
    host.transcript
      .filter((line) => line.startsWith('capulet.example gets'))
      .map((line) => /type='(\w+)'/.exec(line)?.[1] ?? 'available')

  it.each([
    ['none', {}, []],
    ['pending out', { pendingOut: true }, ['unsubscribe']],
    ['to', { subscription: 'to' }, ['unsubscribe']],
    ['pending in', { pendingIn: '<presence/>' }, ['unsubscribed']],
    ['from', { subscription: 'from' }, ['unavailable', 'unavailable', 'unsubscribed']],
    ['both', { subscription: 'both' }, ['unsubscribe', 'unavailable', 'unavailable', 'unsubscribed']],
  ] as const)('ends what there is: %s', async (_, state, sent) => {
    await put(juliet, state)
    const session = await login()
    const other = await login('balcony')
    host.take()
    const answer = await session.iq('set', query(`<item jid='${juliet}' subscription='remove'/>`))
    expect(attr(answer, 'type')).toBe('result')
    expect(contactGets()).toEqual(sent)
    expect(await host.storage.rosters.get(romeo, here, juliet)).toBeUndefined()
    for (const one of [session, other]) {
      expect(pushes(one).map((push) => push.item)).toEqual([`<item jid='${juliet}' subscription='remove'/>`])
      const isChange = 'subscription' in state
      expect(one.events.some((event) => event.type === 'subscription')).toBe(isChange)
    }
  })

  it('finds no contact in a mere request', async () => {
    await put(juliet, { pendingIn: '<presence/>', listed: false })
    const session = await login()
    const answer = await session.iq('set', query(`<item jid='${juliet}' subscription='remove'/>`))
    expect(errorOf(answer)).toBe('item-not-found')
    expect(await host.storage.rosters.get(romeo, here, juliet)).toMatchObject({ pendingIn: '<presence/>' })
  })
})

describe('an administrator', () => {
  const roster = () => {
    const service = host.modules.provided(here, 'roster')
    if (service === undefined) throw new Error('no roster service')
    return service
  }

  it('adds a contact: stored, pushed, and known to the sessions', async () => {
    const session = await login()
    await put(juliet, { pendingOut: true, pendingIn: '<presence/>' })
    await roster().set(romeo, jid(juliet), { name: 'Juliet', groups: ['Capulets'], subscription: 'both' })
    expect(await roster().items(romeo)).toEqual([
      {
        jid: juliet,
        name: 'Juliet',
        subscription: 'both',
        pendingOut: false,
        pendingIn: undefined,
        approved: false,
        groups: ['Capulets'],
        listed: true,
      },
    ])
    expect(pushes(session)).toHaveLength(1)
    expect(session.events).toEqual([{ type: 'subscription', contact: jid(juliet), subscription: 'both' }])
    expect(host.transcript.filter((line) => line.startsWith('capulet'))).toEqual([])
  })

  it('removes one, and is told when there is none', async () => {
    const session = await login()
    await put(juliet, { subscription: 'from' })
    expect(await roster().remove(romeo, jid(juliet))).toBe(true)
    expect(await roster().remove(romeo, jid(juliet))).toBe(false)
    expect(pushes(session).map((push) => push.item)).toEqual([
      `<item jid='${juliet}' subscription='remove'/>`,
    ])
    expect(session.events).toEqual([{ type: 'subscription', contact: jid(juliet), subscription: 'none' }])
  })
})

describe('when the storage is down', () => {
  const broken = async (): Promise<never> => {
    throw new StorageUnavailable('the disk is on fire')
  }

  async function withoutStorage<T>(work: () => Promise<T>): Promise<T> {
    const { rosters } = host.storage
    const names = ['list', 'pending', 'get', 'update', 'count', 'version', 'changesSince'] as const
    for (const name of names) Object.defineProperty(rosters, name, { value: broken, configurable: true })
    try {
      return await work()
    } finally {
      for (const name of names) delete (rosters as unknown as Record<string, unknown>)[name]
    }
  }

  it('answers with an error, never with an empty roster', async () => {
    const session = await login()
    await put(juliet, {})
    const answer = await withoutStorage(() => session.iq('get', query()))
    expect(errorOf(answer)).toBe('internal-server-error')
    expect(elementToString(answer)).not.toContain('fire')
    expect(itemsOf(await session.iq('get', query()))).toHaveLength(1)
  })

  it('does not know who may see whom, which is not "nobody"', async () => {
    await put(juliet, { subscription: 'both' })
    const account = { user: romeo, host: here }
    const unknown = await withoutStorage(async () => ({
      lists: await host.hooks.fold('roster_get_subscription_lists', here, { from: [], to: [] }, account),
      info: await host.hooks.fold(
        'roster_get_jid_info',
        here,
        { subscription: 'none', groups: [] },
        { ...account, jid: jid(juliet) },
      ),
    }))
    expect(unknown.lists.failed).toBe(true)
    expect(unknown.info.failed).toBe(true)
  })

  it('never tells who asks for presence that he may not see it', async () => {
    await put(juliet, { subscription: 'both' })
    await login()
    host.take()
    const probe = `<presence type='probe' id='p' from='${juliet}' to='${bare()}'/>`
    await withoutStorage(() => host.send(probe))
    expect(host.take()).toEqual([])
    await host.send(probe)
    expect(host.take()).toEqual([expect.stringContaining('<status>here</status>')])
  })

  it('tells the client that nothing was changed, and sends nothing on', async () => {
    const session = await login()
    await withoutStorage(() => host.send(`<presence type='subscribe' from='${bare()}' to='${juliet}'/>`))
    expect(host.transcript.filter((line) => line.startsWith('capulet'))).toEqual([])
    expect(session.take()).toEqual([
      expect.stringMatching(/^<presence type='error' from='juliet@capulet.example'.*internal-server-error/),
    ])
  })

  it('tells who asked from elsewhere', async () => {
    const session = await login()
    await withoutStorage(() => host.send(`<presence type='subscribe' from='${juliet}' to='${bare()}'/>`))
    expect(session.received).toEqual([])
    expect(host.take()).toEqual([expect.stringMatching(/^capulet.example gets <presence type='error'/)])
  })
})

it('says who may see whom', async () => {
  for (const subscription of ['none', 'to', 'from', 'both'] as const) {
    await put(`${subscription}@x.example`, { subscription, groups: ['G'] })
  }
  const account = { user: romeo, host: here }
  const lists = await host.hooks.fold(
    'roster_get_subscription_lists',
    here,
    { from: ['z@x'], to: [] },
    account,
  )
  expect(lists).toEqual({
    from: ['z@x', 'both@x.example', 'from@x.example'],
    to: ['both@x.example', 'to@x.example'],
  })
  const nobody = { subscription: 'none', groups: [] } as const
  const info = (contact: string) =>
    host.hooks.fold('roster_get_jid_info', here, nobody, { ...account, jid: jid(contact) })
  expect(await info('from@x.example/r')).toEqual({ subscription: 'from', groups: ['G'] })
  expect(await info('stranger@x.example')).toEqual(nobody)
})

it('announces versions, and pre-approval after login only', async () => {
  const features = (authenticated: boolean) =>
    host.hooks.fold('c2s_stream_features', here, [], { host: here, authenticated })
  const versions = await host.hooks.fold('roster_get_versioning_feature', here, [], { host: here })
  expect(versions.map((one) => one.ns)).toEqual(['urn:xmpp:features:rosterver'])
  expect((await features(true)).map((one) => one.ns)).toEqual(['urn:xmpp:features:pre-approval'])
  expect(await features(false)).toEqual([])
})
