/** What is for the host itself (server-behaviour: local router). */
import { describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { stanza } from '../modules/host.ts'
import { elsewhere, here, outcome, type Verona, verona } from './rig.ts'

const from = `from='romeo@${elsewhere}/r'`

async function sent(text: string, prepare: (one: Verona) => void = () => undefined): Promise<string[]> {
  const one = verona()
  one.iqs.add('local', here, 'urn:known', () => undefined)
  prepare(one)
  await one.router.route(stanza(text))
  return one.answers.map((answer) => `${answer.from.text} ${outcome(answer)}`)
}

const iq = (type: string, to = here, ns = 'urn:known') =>
  `<iq ${from} to='${to}' type='${type}' id='1'>${type.endsWith('et') ? `<q xmlns='${ns}'/>` : ''}</iq>`

const taken = ({ hooks }: Verona) => void hooks.add('local_send_to_resource_hook', here, () => stop())

describe('the bare host', () => {
  it.each([
    [iq('get'), [`${here} result`]],
    [iq('set'), [`${here} result`]],
    [iq('get', here, 'urn:unknown'), [`${here} service-unavailable`]],
    [iq('result'), []],
    [iq('error'), []],
    [`<message ${from} to='${here}'><body>x</body></message>`, [`${here} service-unavailable`]],
    [`<message ${from} to='${here}' type='chat'/>`, [`${here} service-unavailable`]],
    [`<message ${from} to='${here}' type='groupchat'/>`, [`${here} service-unavailable`]],
    [`<message ${from} to='${here}' type='headline'/>`, []],
    [`<message ${from} to='${here}' type='error'/>`, []],
    [`<presence ${from} to='${here}'/>`, []],
    [`<presence ${from} to='${here}' type='unavailable'/>`, []],
    [`<presence ${from} to='${here}' type='subscribe'/>`, [`${here} unsubscribed`]],
    [`<presence ${from} to='${here}' type='probe'/>`, [`${here} unsubscribed`]],
    [`<presence ${from} to='${here}' type='subscribed'/>`, []],
    [`<presence ${from} to='${here}' type='unsubscribe'/>`, []],
    [`<presence ${from} to='${here}' type='error'/>`, []],
  ])('%s: %j', async (text, expected) => {
    expect(await sent(text)).toEqual(expected)
  })

  it.each([
    `<message ${from} to='${here}'/>`,
    `<presence ${from} to='${here}'/>`,
    `<presence ${from} to='${here}' type='subscribe'/>`,
  ])('answers nothing when a hook takes it: %s', async (text) => {
    expect(await sent(text, taken)).toEqual([])
  })
})

describe('a resource of the host', () => {
  it.each([
    [iq('get', `${here}/announce`), [`${here}/announce service-unavailable`]],
    [iq('result', `${here}/announce`), []],
    [
      `<message ${from} to='${here}/announce'><body>x</body></message>`,
      [`${here}/announce service-unavailable`],
    ],
    [`<message ${from} to='${here}/announce' type='headline'/>`, []],
    [`<presence ${from} to='${here}/announce'/>`, []],
  ])('is for local_send_to_resource_hook: %s', async (text, expected) => {
    expect(await sent(text)).toEqual(expected)
    expect(await sent(text, taken)).toEqual([])
  })

  it('waits for a hook that waits', async () => {
    const slow = ({ hooks }: Verona) => {
      hooks.add('local_send_to_resource_hook', here, async () => {
        await new Promise((resolve) => setImmediate(resolve))
        return stop()
      })
    }
    expect(await sent(`<message ${from} to='${here}/announce'/>`, slow)).toEqual([])
  })
})

describe('a user of the host', () => {
  it('is for the session manager', async () => {
    expect(await sent(`<message ${from} to='nobody@${here}'/>`)).toEqual([
      `nobody@${here} service-unavailable`,
    ])
  })
})
