/** A session whose full JID another connection takes: who hears of it, and what (RFC 6121 §4.6.3). */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { TestClient } from '../harness/client.ts'
import type { Stanza } from '../harness/stanza.ts'
import { host, Rig } from './rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await Rig.start()
  // the friend sees alice's presence, the stranger does not
  rig.hooks.add('roster_get_subscription_lists', host, (lists, { user }) =>
    user === 'alice' ? { from: [`friend@${host}`], to: [] } : lists,
  )
})
afterEach(() => rig.close())

const alice = `alice@${host}/r`
const told = (list: readonly Stanza[]) =>
  list
    .filter(({ name, attrs }) => name === 'presence' && attrs['from'] === alice)
    .map(({ attrs }) => attrs['type'] ?? 'available')

interface Cast {
  readonly old: TestClient
  readonly other: TestClient
  readonly friend: TestClient
  readonly stranger: TestClient
}

/** Alice is there, and has said so to the stranger too. */
async function cast(): Promise<Cast> {
  const friend = await rig.login('friend')
  const stranger = await rig.login('stranger')
  const other = await rig.login('alice', { resource: 'other' })
  const old = await rig.login('alice')
  old.send(`<presence to='${stranger.jid}'/><presence to='friend@${host}'/>`)
  await old.settled()
  for (const one of [friend, stranger, other]) expect(told(await one.settled())).toContain('available')
  return { old, other, friend, stranger }
}

it('tells those who had directed presence, before the new one opens; the others see the new one come', async () => {
  const { friend, stranger, other } = await cast()
  const fresh = await rig.login('alice', { available: false })
  expect(told(await stranger.settled())).toEqual(['unavailable'])
  for (const one of [friend, other]) expect(told(await one.settled())).toEqual([])
  await fresh.available()
  for (const one of [friend, other]) expect(told(await one.settled())).toEqual(['available'])
  await fresh.close()
  for (const one of [friend, other]) expect(told(await one.settled())).toEqual(['unavailable'])
  expect(told(await stranger.settled())).toEqual([])
})

it.each(['closes', 'is lost', 'says that it is unavailable', 'is replaced by one that closes'])(
  'leaves nobody with a wrong picture when the new one never shows itself and %s',
  async (how) => {
    const { friend, stranger, other } = await cast()
    const fresh = await rig.login('alice', { available: false })
    if (how === 'closes') await fresh.close()
    else if (how === 'is lost') fresh.destroy()
    else if (how === 'says that it is unavailable') fresh.send("<presence type='unavailable'/>")
    else await (await rig.login('alice', { available: false })).close()
    for (const one of [friend, other]) {
      await one.waitFor(({ attrs }) => attrs['type'] === 'unavailable' && attrs['from'] === alice)
      expect(told(await one.settled())).toEqual([])
    }
    expect(told(await stranger.settled())).toEqual(['unavailable'])
  },
)
