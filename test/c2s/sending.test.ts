/** What a client sends, one thing after the other, and what others do meanwhile. */
import { afterEach, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { el } from '../../server-core/xml/element.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { child } from '../harness/stanza.ts'
import { jid } from '../modules/host.ts'
import { host, Rig } from './rig.ts'

const rigs: Rig[] = []
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

async function start(): Promise<Rig> {
  const rig = await Rig.start()
  rigs.push(rig)
  return rig
}

it('waits while a handler waits; what others send, to it and to others, does not', async () => {
  const rig = await start()
  const [alice, bob] = [await rig.login('alice'), await rig.login('bob')]
  const begun: string[] = []
  const open: (() => void)[] = []
  rig.hooks.add('user_send_packet', host, (stanza, { session }) => {
    if (!stanza || session.jid.user !== 'alice') return stanza
    begun.push(stanza.id)
    return new Promise<void>((resolve) => open.push(resolve)).then(() => stanza)
  })
  alice.send(`<message id='1' to='${bob.jid}'/><message id='2' to='${bob.jid}'/>`)
  await until('the first', () => begun.length === 1)
  bob.send(`<message id='meanwhile' to='${alice.jid}'/>`)
  expect((await alice.waitFor('message')).attrs['id']).toBe('meanwhile')
  bob.send(`<message id='own' to='${bob.jid}'/>`)
  expect((await bob.waitFor('message')).attrs['id']).toBe('own')
  expect(begun).toEqual(['1'])
  open[0]?.()
  expect((await bob.waitFor('message')).attrs['id']).toBe('1')
  await until('the second', () => begun.length === 2)
  open[1]?.()
  expect((await bob.waitFor('message')).attrs['id']).toBe('2')
})

it('waits while the session opens, and is dealt with then', async () => {
  const rig = await start()
  const bob = await rig.login('bob')
  let open: () => void = () => undefined
  const waits = new Promise<void>((resolve) => {
    open = resolve
  })
  let opening = false
  rig.hooks.add('roster_get_subscription_lists', host, async (lists) => {
    opening = true
    await waits
    return lists
  })
  const alice = await TestClient.connect({ port: rig.port, tls: 'none' })
  await alice.open()
  await alice.authenticate('alice', 'pw', 'PLAIN')
  alice.send(
    `<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><message id='early' to='${bob.jid}'/>`,
  )
  await until('the session to open', () => opening)
  bob.send(`<message id='own' to='${bob.jid}'/>`)
  expect((await bob.waitFor('message')).attrs['id']).toBe('own')
  expect(bob.inbox).toEqual([])
  open()
  expect((await alice.waitFor('iq')).attrs).toMatchObject({ type: 'result', id: 'b' })
  expect((await bob.waitFor('message')).attrs['id']).toBe('early')
})

it('is seen by nobody who copies or keeps it when it is refused', async () => {
  const rig = await start()
  const [alice, bob] = [await rig.login('alice'), await rig.login('bob')]
  const copied: string[] = []
  rig.hooks.add('privacy_check_packet', host, (_, { stanza, direction }) =>
    direction === 'out' && stanza.id === 'blocked' ? stop('deny' as const) : undefined,
  )
  rig.hooks.add('user_send_packet', host, (stanza) => {
    copied.push(stanza?.id ?? '')
    return stanza
  })
  alice.send(
    `<message id='blocked' to='${bob.jid}'/><message id='nowhere' to='a@@b'/><iq id='none' type='get'/>` +
      `<message id='right' to='${bob.jid}'/>`,
  )
  const answers = [
    await alice.waitFor('message'),
    await alice.waitFor('message'),
    await alice.waitFor('iq'),
  ].map((answer) => [answer.attrs['id'], child(answer, 'error')?.children[0]?.name])
  expect(answers).toEqual([
    ['blocked', 'not-acceptable'],
    ['nowhere', 'jid-malformed'],
    ['none', 'bad-request'],
  ])
  expect((await bob.waitFor('message')).attrs['id']).toBe('right')
  expect(copied).toEqual(['right'])
})

it('goes on for others when the account is removed: its sessions end with not-authorized', async () => {
  const rig = await start()
  const [alice, phone, bob] = [
    await rig.login('alice'),
    await rig.login('alice', { resource: 'phone' }),
    await rig.login('bob'),
  ]
  for (const session of rig.sessions.ofUser('alice', host)) session.tell({ type: 'account-removed' })
  for (const client of [alice, phone]) {
    expect((await client.streamError()).condition).toBe('not-authorized')
    await client.closed()
  }
  await rig.router.route(new Stanza(jid(host), jid(bob.jid), el('message', { from: host, to: bob.jid })))
  await bob.waitFor('message')
})
