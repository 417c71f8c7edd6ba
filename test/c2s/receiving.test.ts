/** What reaches a client from the rest of the server. */
import { afterEach, describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { el } from '../../server-core/xml/element.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'
import { until } from '../harness/deadline.ts'
import { child } from '../harness/stanza.ts'
import { jid } from '../modules/host.ts'
import { host, Rig } from './rig.ts'

const rigs: Rig[] = []
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

function message(to: string, body: string): Stanza {
  return new Stanza(jid(host), jid(to), el('message', { from: host, to }, el('body', {}, body)))
}

describe('a stanza that cannot be written as XML', () => {
  it('costs nobody his session: it is dropped and logged', async () => {
    const rig = await Rig.start()
    rigs.push(rig)
    const alice = await rig.login('alice')
    await rig.router.route(message(alice.jid, 'a character that XML does not have: \u0001'))
    await rig.router.route(message(alice.jid, 'the next one'))
    expect(child(await alice.waitFor('message'), 'body')?.text).toBe('the next one')
    expect(rig.log.filter(({ level }) => level === 50)).toMatchObject([{ jid: alice.jid }])
  })
})

describe('a client for whom too much waits', () => {
  it('ends at once: what comes from then on is kept for later', async () => {
    const rig = await Rig.start({ max_output_bytes: 65_536 })
    rigs.push(rig)
    const stored: string[] = []
    rig.hooks.add('offline_message_hook', host, (_acc, { stanza: { id } }) => {
      stored.push(id)
      return stop()
    })
    const bob = await rig.login('bob')
    // all in one turn, so that nothing has left meanwhile: six fit, the seventh is too much
    const body = 'x'.repeat(10_000)
    for (let n = 0; n < 20; n++) {
      const element = el('message', { from: host, to: bob.jid, id: `${n}` }, el('body', {}, body))
      void rig.router.route(new Stanza(jid(host), jid(`bob@${host}`), element))
    }
    await bob.closed()
    await until('the rest stored', () => stored.length >= 13)
    expect(stored).toEqual(Array.from({ length: 13 }, (_, n) => `${n + 7}`))
  })
})

describe('directed presence', () => {
  it.each([
    [1_000, {}],
    [20, { max_directed: 20 }],
  ])('to more than %d addresses is refused, for those who are new', async (most, options) => {
    const rig = await Rig.start(options)
    rigs.push(rig)
    const alice = await rig.login('alice')
    alice.send(Array.from({ length: most }, (_, n) => `<presence to='u${n}@${host}'/>`).join(''))
    await alice.settled()
    alice.send(`<presence to='one-more@${host}' id='refused'/><presence to='u5@${host}' id='known'/>`)
    const answers = await alice.settled()
    expect(answers.map(({ attrs }) => attrs['id'])).toEqual(['refused'])
    expect(child(answers[0], 'error')?.children[0]?.name).toBe('resource-constraint')
  })
})
