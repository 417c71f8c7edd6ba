/** What a prober is told (RFC 6121 §4.3.2). */
import { describe, expect, it } from 'vitest'
import type { Subscription } from '../../server-core/storage/storage.ts'
import { attr, el } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { stanza } from '../modules/host.ts'
import { elsewhere, here, Resource, verona } from './rig.ts'

const romeo = `romeo@${elsewhere}/r`

interface Asked {
  readonly to?: string
  readonly subscription?: Subscription
  readonly resources?: readonly Resource[]
  readonly from?: string
  readonly failed?: true
}

/** Sends a probe; the answers as texts, delays without their time. */
async function probe({
  to = '',
  subscription = 'from',
  resources = [],
  from = romeo,
  failed,
}: Asked): Promise<string[]> {
  const { sessions, hooks, router, answers } = verona()
  for (const one of resources) await sessions.open(one)
  hooks.add('roster_get_jid_info', here, (info) => ({ ...info, subscription, ...(failed && { failed }) }))
  await router.route(stanza(`<presence from='${from}' to='juliet@${here}${to}' type='probe' id='p1'/>`))
  const own = resources.flatMap(({ received }) => received)
  return [...answers, ...own].map(({ element }) =>
    elementToString(element).replace(/stamp='[^']*'/, 'stamp=…'),
  )
}

function resource(name: string, priority?: number): Resource {
  const one = new Resource(`juliet@${here}/${name}`, priority)
  if (priority !== undefined) {
    one.presence = el('presence', { id: `own-${name}` }, el('show', {}, 'away'))
    one.presenceSince = Date.UTC(2026, 0, 1)
  }
  return one
}

const unsubscribed = `<presence from='juliet@${here}' to='${romeo}' type='unsubscribed' id='p1'/>`

describe('by bare address', () => {
  it('with permission: the last presence of each available resource, with its own id, and since when', async () => {
    const answers = await probe({ resources: [resource('a', 1), resource('b'), resource('c', -1)] })
    expect(answers).toEqual(
      ['a', 'c'].map(
        (name) =>
          `<presence id='own-${name}' from='juliet@${here}/${name}' to='${romeo}'><show>away</show>` +
          `<delay xmlns='urn:xmpp:delay' from='juliet@${here}/${name}' stamp=…/></presence>`,
      ),
    )
  })

  it('says since when the presence is what it is', async () => {
    const { sessions, hooks, router, answers } = verona()
    await sessions.open(resource('a', 1))
    hooks.add('roster_get_jid_info', here, (info) => ({ ...info, subscription: 'both' }))
    await router.route(stanza(`<presence from='${romeo}' to='juliet@${here}' type='probe'/>`))
    const delay = answers[0]?.element.children[1]
    expect(typeof delay === 'object' && attr(delay, 'stamp')).toBe('2026-01-01T00:00:00.000Z')
  })

  it('with permission and nobody there: unavailable from the bare address, with the id of the probe', async () => {
    expect(await probe({ resources: [resource('a')] })).toEqual([
      `<presence from='juliet@${here}' to='${romeo}' type='unavailable' id='p1'>` +
        `<delay xmlns='urn:xmpp:delay' from='juliet@${here}' stamp=…/></presence>`,
    ])
  })

  it.each(['none', 'to'] as const)('with subscription %s: unsubscribed', async (subscription) => {
    expect(await probe({ subscription, resources: [resource('a', 1)] })).toEqual([unsubscribed])
  })

  it('when it cannot be found out who may: nothing, and above all not unsubscribed', async () => {
    expect(await probe({ subscription: 'none', failed: true, resources: [resource('a', 1)] })).toEqual([])
  })

  it('from the own account: as with permission', async () => {
    const own = resource('a', 1)
    const answers = await probe({ subscription: 'none', from: `juliet@${here}/a`, resources: [own] })
    expect(answers[0]).toContain("id='own-a'")
  })
})

describe('by full address', () => {
  it('with permission: merely whether that resource is there', async () => {
    const resources = () => [resource('a', 1), resource('b')]
    expect(await probe({ to: '/a', resources: resources() })).toEqual([
      `<presence from='juliet@${here}/a' to='${romeo}'/>`,
    ])
    for (const gone of ['b', 'c']) {
      expect(await probe({ to: `/${gone}`, resources: resources() })).toEqual([
        `<presence from='juliet@${here}/${gone}' to='${romeo}' type='unavailable'/>`,
      ])
    }
  })

  it('without: unsubscribed, whether it is there or not', async () => {
    for (const to of ['/a', '/gone']) {
      expect(await probe({ to, subscription: 'none', resources: [resource('a', 1)] })).toEqual([unsubscribed])
    }
  })
})

describe('who has directed presence and no permission', () => {
  it('is told of that resource alone, and nothing but that it is there', async () => {
    const resources = () => {
      const [seen, other] = [resource('a', 1), resource('b', 1)]
      seen.directed.add(romeo)
      return [seen, other]
    }
    const there = `<presence from='juliet@${here}/a' to='${romeo}'/>`
    expect(await probe({ subscription: 'none', resources: resources() })).toEqual([there])
    expect(await probe({ to: '/a', subscription: 'none', resources: resources() })).toEqual([there])
    expect(await probe({ to: '/b', subscription: 'none', resources: resources() })).toEqual([
      `<presence from='juliet@${here}/b' to='${romeo}' type='unavailable'/>`,
    ])
  })
})
