/** The tables of delivery (RFC 6121 §8.5), row by row, through the routers and the session manager. */
import { describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { rows, situations } from '../harness/delivery.ts'
import { stanza } from '../modules/host.ts'
import { elsewhere, here, outcome, Resource, verona } from './rig.ts'

/** What becomes of a stanza, in the words of the tables. */
async function becomes(name: string, text: (to: string) => string, keeps = true): Promise<string> {
  const situation = situations[name] ?? expect.fail(`no situation "${name}"`)
  const { hooks, iqs, router, sessions, answers } = verona(situation.account === false ? [] : ['juliet'])
  let stored = 0
  if (keeps) {
    hooks.add('offline_message_hook', here, () => {
      stored++
      return stop()
    })
  }
  hooks.add('roster_in_subscription', here, () => true)
  iqs.add('sm', here, 'urn:known', () => undefined)
  const resources: Resource[] = []
  for (const [resource, priority] of Object.entries(situation.resources)) {
    const one = new Resource(`juliet@${here}/${resource}`, priority ?? undefined)
    one.interested = situation.interested?.includes(resource) ?? false
    resources.push(one)
    await sessions.open(one)
  }
  const to = situation.to === '' ? `juliet@${here}` : `juliet@${here}/${situation.to}`
  await router.route(stanza(text(to)))
  const got = resources.filter(({ received }) => received.length > 0)
  for (const one of got) expect(one.received).toHaveLength(1)
  const fates = [
    got.map(({ jid }) => jid.resource).join(' '),
    stored > 0 ? 'store' : '',
    answers.map((answer) => {
      expect([answer.to.text, answer.from.text]).toContain(`romeo@${elsewhere}/r`)
      const what = outcome(answer)
      return what === 'service-unavailable' ? 'refuse' : what === 'result' ? 'answer' : what
    }),
  ].flat()
  return fates.filter((fate) => fate !== '').join(', ') || 'drop'
}

const from = `from='romeo@${elsewhere}/r'`

describe('a message', () => {
  for (const [name, row] of Object.entries(rows('messages'))) {
    for (const [type, expected] of Object.entries(row)) {
      const spellings = type === 'normal' ? ["type='normal'", '', "type='unheard-of'"] : [`type='${type}'`]
      for (const spelling of spellings) {
        it(`${spelling || 'without type'}; ${name}: ${expected}`, async () => {
          const text = (to: string) => `<message ${from} to='${to}' ${spelling}><body>x</body></message>`
          expect(await becomes(name, text)).toBe(expected)
          // what nobody keeps is refused
          if (expected === 'store') expect(await becomes(name, text, false)).toBe('refuse')
        })
      }
    }
  }
})

describe('presence', () => {
  for (const [name, row] of Object.entries(rows('presence'))) {
    for (const [type, expected] of Object.entries(row)) {
      it(`${type || 'available'}; ${name}: ${expected}`, async () => {
        const attribute = type === '' ? '' : `type='${type}'`
        expect(await becomes(name, (to) => `<presence ${from} to='${to}' ${attribute}/>`)).toBe(expected)
      })
    }
  }
})

describe('an iq', () => {
  for (const [name, row] of Object.entries(rows('iqs'))) {
    for (const [type, expected] of Object.entries(row)) {
      it(`${type}; ${name}: ${expected}`, async () => {
        const [kind, ns] = type === 'unknown' ? ['get', 'urn:unknown'] : [type, 'urn:known']
        const child = kind === 'get' || kind === 'set' ? `<q xmlns='${ns}'/>` : ''
        expect(
          await becomes(name, (to) => `<iq ${from} id='1' to='${to}' type='${kind}'>${child}</iq>`),
        ).toBe(expected)
      })
    }
  }
})
