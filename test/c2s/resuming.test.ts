/** Stream management (XEP-0198) where it is hard: what is not acknowledged when a session ends, and who gets it then. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { watchIdle } from '../../server-core/c2s/idle.ts'
import { countBetween, counted, ResumableSessions } from '../../server-core/c2s/stream-management.ts'
import { stop } from '../../server-core/extend/hooks.ts'
import { el } from '../../server-core/xml/element.ts'
import { Stanza as Routed } from '../../server-core/xmpp/stanza.ts'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'
import { jid } from '../modules/host.ts'
import { host, Rig } from './rig.ts'

const sm = 'urn:xmpp:sm:3'
const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

async function start(options: Record<string, unknown> = {}): Promise<Rig> {
  const rig = await Rig.start(options)
  ends.push(() => rig.close())
  return rig
}

/** An offline store that writes down 'body to'. */
function offlineStore(rig: Rig): string[] {
  const stored: string[] = []
  rig.hooks.add('offline_message_hook', host, (_acc, { stanza }) => {
    const body = stanza.element.children.find((one) => typeof one === 'object' && one.name === 'body')
    stored.push(typeof body === 'object' ? body.children.join('') : '')
    return stop()
  })
  return stored
}

interface Phone {
  readonly client: TestClient
  readonly id: string
}

async function phone(rig: Rig, user: string, resource: string, presence = ''): Promise<Phone> {
  const client = await rig.login(user, { resource, available: false })
  client.send(`<enable xmlns='${sm}' resume='true'/>`)
  const { attrs } = await client.waitFor('enabled')
  await client.available(presence)
  // its own presence
  client.send(`<a xmlns='${sm}' h='1'/>`)
  await client.iq('get', "<ping xmlns='urn:xmpp:ping'/>", host)
  return { client, id: attrs['id'] ?? '' }
}

/** A new connection of the account, logged in and not bound. */
async function loggedIn(rig: Rig, user: string): Promise<TestClient> {
  const client = await TestClient.connect({ port: rig.port, tls: 'none' })
  await client.open()
  await client.authenticate(user, 'pw', 'PLAIN')
  return client
}

async function loseAndGiveUp(rig: Rig, { client }: Phone): Promise<void> {
  const session = rig.session(client)
  client.destroy()
  await until('the session to wait', () => session.detached)
  session.end('not resumed in time')
  await session.over
}

const bodyOf = (stanza: Stanza) => at(stanza, 'body')?.text
const bodies = (list: readonly Stanza[]) => list.flatMap((one) => bodyOf(one) ?? [])

function gate(): { readonly open: () => void; readonly passed: Promise<void> } {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

describe('a message that was not acknowledged when its session ended', () => {
  it('reaches a resource that came only after it was sent', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    lost.client.pause()
    bob.message(`alice@${host}`, 'to the account')
    bob.message(lost.client.jid, 'to the phone')
    await bob.settled()
    const laptop = await rig.login('alice', { resource: 'laptop' })
    await loseAndGiveUp(rig, lost)
    const heard = bodies(await laptop.settled())
    expect(heard).toEqual(['to the account', 'to the phone'])
    expect(stored).toEqual([])
  })

  it('does not come again to another resource that had it too', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    const laptop = await rig.login('alice', { resource: 'laptop' })
    lost.client.pause()
    bob.message(`alice@${host}`, 'to both')
    await bob.settled()
    await loseAndGiveUp(rig, lost)
    expect(bodies(await laptop.settled())).toEqual(['to both'])
    expect(stored).toEqual([])
  })

  it('is kept once when all who had it are lost, whoever is the last', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = [
      await phone(rig, 'alice', 'a'),
      await phone(rig, 'alice', 'b'),
      await phone(rig, 'alice', 'c'),
    ]
    for (const { client } of lost) client.pause()
    bob.message(`alice@${host}`, 'to all')
    await bob.settled()
    for (const [index, one] of lost.entries()) {
      expect(stored).toHaveLength(0)
      await loseAndGiveUp(rig, one)
      expect(stored).toHaveLength(index === 2 ? 1 : 0)
    }
    expect(stored).toEqual(['to all'])
  })

  it('is not kept when one of them had acknowledged it', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const [first, second] = [await phone(rig, 'alice', 'a'), await phone(rig, 'alice', 'b')]
    second.client.pause()
    bob.message(`alice@${host}`, 'to both')
    await bob.settled()
    await first.client.waitFor('message')
    // its own presence, a result, the presence of the other one, the message
    first.client.send(`<a xmlns='${sm}' h='4'/>`)
    await first.client.iq('get', "<ping xmlns='urn:xmpp:ping'/>", host)
    await loseAndGiveUp(rig, first)
    await loseAndGiveUp(rig, second)
    expect(stored).toEqual([])
  })

  it('goes to the session that has taken its place, before what is sent to that one', async () => {
    const rig = await start()
    offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    lost.client.pause()
    for (const body of ['1', '2']) bob.message(lost.client.jid, body)
    await bob.settled()
    const fresh = await rig.login('alice', { resource: 'phone', available: false })
    bob.message(fresh.jid, '3')
    await bob.settled()
    const heard = await fresh.settled()
    expect(bodies(heard)).toEqual(['1', '2', '3'])
    expect(heard.map((one) => child(one, 'delay')?.attrs['from'])).toEqual([host, host, undefined])
    expect(heard.map(({ attrs }) => attrs['to'])).toEqual([fresh.jid, fresh.jid, fresh.jid])
  })

  it('comes before what the same sender says after that', async () => {
    const rig = await start({ close_timeout: '100ms' })
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    lost.client.pause()
    for (const body of ['1', '2', '3']) bob.message(`alice@${host}`, body)
    await bob.settled()
    const session = rig.session(lost.client)
    // its end takes its time
    const slow = gate()
    rig.hooks.add('unset_presence_hook', host, () => slow.passed)
    session.end('gone')
    for (const body of ['4', '5']) bob.message(`alice@${host}`, body)
    bob.message(lost.client.jid, '6')
    await bob.settled()
    slow.open()
    await session.over
    expect(stored).toEqual(['1', '2', '3', '4', '5', '6'])
  })
})

describe('at the end of a session, what its client never acknowledged', () => {
  it.each([
    ["<message type='normal'><body>x</body></message>", 'stored'],
    ['<message><body>x</body></message>', 'stored'],
    ["<message type='chat'><body>x</body></message>", 'stored'],
    ["<message type='groupchat'><body>x</body></message>", 'error recipient-unavailable'],
    ["<message type='headline'><body>x</body></message>", 'nothing'],
    ["<message type='error'><body>x</body></message>", 'nothing'],
    ["<iq type='get' id='1'><q xmlns='urn:x'/></iq>", 'error service-unavailable'],
    ["<iq type='set' id='1'><q xmlns='urn:x'/></iq>", 'error service-unavailable'],
    ["<iq type='result' id='1'/>", 'nothing'],
    ["<iq type='error' id='1'/>", 'nothing'],
    ['<presence><status>x</status></presence>', 'nothing'],
    ["<presence type='unavailable'/>", 'nothing'],
  ])('%s: %s', async (text, fate) => {
    const rig = await start()
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    lost.client.pause()
    bob.send(text.replace(/[ >/]/, (char) => ` to='${lost.client.jid}'${char}`))
    await bob.settled()
    await loseAndGiveUp(rig, lost)
    const errors = (await bob.settled()).map((one) => {
      expect(one.attrs['from']).toBe(lost.client.jid)
      return `${one.attrs['type']} ${child(one, 'error')?.children[0]?.name}`
    })
    expect([...stored.map(() => 'stored'), ...errors].join() || 'nothing').toBe(fate)
  })
})

describe('resuming', () => {
  it('waits for what the client has sent on the lost connection: the order stays', async () => {
    const rig = await start()
    const bob = await rig.login('bob')
    const { client: alice, id } = await phone(rig, 'alice', 'phone')
    const [reached, slow] = [gate(), gate()]
    rig.hooks.add('user_send_packet', host, async (stanza) => {
      if (stanza?.kind !== 'message' || stanza.id !== 'slow') return
      reached.open()
      await slow.passed
    })
    alice.send(`<message to='${bob.jid}' id='slow'><body>first</body></message>`)
    await reached.passed
    alice.destroy()
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${id}' h='1'/>`)
    again.send(`<message to='${bob.jid}'><body>second</body></message>`)
    setTimeout(slow.open, 100)
    await again.waitFor('resumed')
    expect(bodyOf(await bob.waitFor('message'))).toBe('first')
    expect(bodyOf(await bob.waitFor('message'))).toBe('second')
  })

  it('a session that is ending fails: the client binds, and the old one is gone', async () => {
    const rig = await start()
    const lost = await phone(rig, 'alice', 'phone')
    const session = rig.session(lost.client)
    lost.client.destroy()
    await until('the session to wait', () => session.detached)
    const slow = gate()
    rig.hooks.add('unset_presence_hook', host, () => slow.passed)
    session.end('not resumed in time')
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${lost.id}' h='1'/>`)
    const failed = await again.waitFor('failed')
    expect(child(failed, 'item-not-found')).toBeDefined()
    // its presence and a ping
    expect(failed.attrs['h']).toBe('2')
    slow.open()
    expect(await again.bind('phone')).toBe(lost.client.jid)
    expect(rig.sessions.count()).toBe(1)
  })

  it('with a counter beyond what was sent ends that connection, and the session still waits', async () => {
    const rig = await start()
    const lost = await phone(rig, 'alice', 'phone')
    const session = rig.session(lost.client)
    lost.client.destroy()
    await until('the session to wait', () => session.detached)
    for (const [h, condition] of [
      ['9', 'undefined-condition'],
      ['4294967295', 'undefined-condition'],
      ['4294967296', 'bad-format'],
      ['-1', 'bad-format'],
      ['', 'bad-format'],
    ]) {
      const again = await loggedIn(rig, 'alice')
      again.send(`<resume xmlns='${sm}' previd='${lost.id}' h='${h}'/>`)
      expect((await again.streamError()).condition).toBe(condition)
    }
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${lost.id}' h='1'/>`)
    await again.waitFor('resumed')
  })

  it('an unknown session leaves the client free to bind', async () => {
    const rig = await start()
    const client = await loggedIn(rig, 'alice')
    client.send(`<resume xmlns='${sm}' previd='nobody' h='0'/>`)
    const failed = await client.waitFor('failed')
    expect([failed.attrs['h'], child(failed, 'item-not-found') !== undefined]).toEqual([undefined, true])
    expect(await client.bind('r')).toBe(`alice@${host}/r`)
  })
})

describe('a session that waits for its client', () => {
  const presences = async (client: TestClient) =>
    (await client.settled())
      .filter(({ name }) => name === 'presence')
      .map(({ attrs }) => `${attrs['type'] ?? 'available'} ${attrs['from']}`)

  it('is shown as before, and its end is told once, when its time is over', async () => {
    const rig = await start()
    const laptop = await rig.login('alice', { resource: 'laptop' })
    const lost = await phone(rig, 'alice', 'phone')
    await laptop.settled()
    const session = rig.session(lost.client)
    lost.client.destroy()
    await until('the session to wait', () => session.detached)
    expect(await presences(laptop)).toEqual([])
    laptop.send(`<presence type='probe' to='alice@${host}'/>`)
    expect(await presences(laptop)).toContain(`available ${lost.client.jid}`)
    session.end('not resumed in time')
    await session.over
    expect(await presences(laptop)).toEqual([`unavailable ${lost.client.jid}`])
  })

  it('takes more than a mailbox holds, up to max_unacked', async () => {
    const rig = await start({ max_mailbox: 10, max_unacked: 100 })
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const lost = await phone(rig, 'alice', 'phone')
    const session = rig.session(lost.client)
    lost.client.destroy()
    await until('the session to wait', () => session.detached)
    const texts = Array.from({ length: 60 }, (_, n) => `${n}`)
    for (const text of texts) bob.message(lost.client.jid, text)
    await bob.settled()
    expect(session.detached).toBe(true)
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${lost.id}' h='1'/>`)
    await again.waitFor('resumed')
    again.jid = lost.client.jid
    expect(bodies(await again.settled())).toEqual(texts)
    expect(stored).toEqual([])
  })

  it('is none when its client has closed its stream: that is the end', async () => {
    const rig = await start()
    const laptop = await rig.login('alice', { resource: 'laptop' })
    const gone = await phone(rig, 'alice', 'phone')
    await laptop.settled()
    await gone.client.close()
    await until('the end', () => rig.sessions.count() === 1)
    expect(await presences(laptop)).toEqual([`unavailable ${gone.client.jid}`])
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${gone.id}' h='1'/>`)
    expect(child(await again.waitFor('failed'), 'item-not-found')).toBeDefined()
  })
})

describe('acknowledgements', () => {
  it('are asked for after every 20 stanzas', async () => {
    const rig = await start()
    const alice = await rig.login('alice', { available: false })
    alice.send(`<enable xmlns='${sm}'/>`)
    await alice.waitFor('enabled')
    const say = (n: number) =>
      rig.router.route(
        new Routed(jid(host), jid(alice.jid), el('message', { from: host, to: alice.jid, id: `${n}` })),
      )
    for (let n = 1; n <= 45; n++) await say(n)
    await alice.waitFor(({ attrs }) => attrs['id'] === '45')
    const order = alice.transcript().matchAll(/<r xmlns='urn:xmpp:sm:3'\/>|<message [^>]*id='(\d+)'/g)
    const asked: (string | undefined)[] = []
    let last: string | undefined
    for (const [, id] of order) {
      if (id === undefined) asked.push(last)
      else last = id
    }
    expect(asked).toEqual(['20', '40'])
  })

  it('are given when everything that was sent before has been handled, and not earlier', async () => {
    const rig = await start()
    const alice = await rig.login('alice', { available: false })
    alice.send(`<enable xmlns='${sm}'/>`)
    await alice.waitFor('enabled')
    let open: (() => void) | undefined
    rig.hooks.add('user_send_packet', host, (stanza) =>
      new Promise<void>((resolve) => {
        open = resolve
      }).then(() => stanza),
    )
    alice.send(`<message to='bob@${host}/r'/><r xmlns='${sm}'/>`)
    await until('the message to be handled', () => open !== undefined)
    // what others send goes on meanwhile
    await rig.router.route(
      new Routed(jid(host), jid(alice.jid), el('message', { from: host, to: alice.jid })),
    )
    await alice.waitFor('message')
    expect(alice.inbox).toEqual([])
    open?.()
    expect((await alice.waitFor('a')).attrs['h']).toBe('1')
  })

  it('are of stanzas alone', async () => {
    const rig = await start()
    const alice = await rig.login('alice', { available: false })
    rig.hooks.add('c2s_authenticated_packet', host, () => stop())
    alice.send(`<enable xmlns='${sm}'/>`)
    await alice.waitFor('enabled')
    alice.send(
      `<active xmlns='urn:xmpp:csi:0'/> <r xmlns='${sm}'/><a xmlns='${sm}' h='0'/><r xmlns='${sm}'/>`,
    )
    for (const _ of [1, 2]) expect((await alice.waitFor('a')).attrs['h']).toBe('0')
    alice.send(`<message to='alice@${host}'/><presence/><iq type='result' id='1'/><r xmlns='${sm}'/>`)
    expect((await alice.waitFor('a')).attrs['h']).toBe('3')
  })

  it('count modulo 2³²', () => {
    expect(counted(4_294_967_295, 1)).toBe(0)
    expect(counted(4_294_967_290, 10)).toBe(4)
    expect(countBetween(4_294_967_290, 4)).toBe(10)
    expect(countBetween(4, 4_294_967_290)).toBe(4_294_967_286)
    expect(countBetween(7, 7)).toBe(0)
  })
})

describe('how far a session had got', () => {
  it('is remembered for an hour, for its account alone', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    ends.push(() => vi.useRealTimers())
    const sessions = new ResumableSessions()
    const session = {
      state: { name: 'ended' },
      jid: { bareText: `alice@${host}` },
      management: { handled: 7 },
    }
    sessions.add('id', session as never)
    sessions.remove('id', session as never)
    expect(sessions.handledBefore('id', 'alice', host)).toBe(7)
    expect(sessions.handledBefore('id', 'bob', host)).toBeUndefined()
    vi.advanceTimersByTime(3_600_000)
    expect(sessions.handledBefore('id', 'alice', host)).toBe(7)
    vi.advanceTimersByTime(1)
    expect(sessions.handledBefore('id', 'alice', host)).toBeUndefined()
  })
})

describe('a client that acknowledges nothing', () => {
  it('ends at max_unacked with policy-violation, and nothing is lost', async () => {
    const rig = await start({ max_unacked: 100 })
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const { client: alice } = await phone(rig, 'alice', 'phone')
    for (let n = 0; n <= 105; n++) bob.message(`alice@${host}`, `${n}`)
    expect((await alice.streamError()).condition).toBe('policy-violation')
    await bob.settled()
    expect(stored).toEqual(Array.from({ length: 106 }, (_, n) => `${n}`))
  })

  it.each([
    ['stanzas', { max_unacked: 100 }, 'x'],
    ['bytes', { max_unacked_bytes: 65_536 }, 'x'.repeat(1_000)],
  ])('and is lost ends at as many %s, with nothing lost', async (_what, options, body) => {
    const rig = await start(options)
    const stored = offlineStore(rig)
    const bob = await rig.login('bob')
    const { client: alice } = await phone(rig, 'alice', 'phone')
    const session = rig.session(alice)
    alice.destroy()
    await until('the session to wait', () => session.detached)
    for (let n = 0; n <= 100; n++) bob.message(`alice@${host}`, `${n} ${body}`)
    await bob.settled()
    expect(session.state.name).toBe('ended')
    expect(stored.map((one) => Number(one.split(' ')[0]))).toEqual(Array.from({ length: 101 }, (_, n) => n))
  })

  it('is given up as broken when it owes an answer for ack_timeout; its session waits', async () => {
    const rig = await start()
    const bob = await rig.login('bob')
    const { client: alice } = await phone(rig, 'alice', 'phone')
    const session = rig.session(alice)
    for (let n = 0; n < 20; n++) bob.message(alice.jid, `${n}`)
    await alice.waitFor('r')
    ends.push(watchIdle(rig.sessions, { ack_timeout: 1_000, ping_interval: 300_000, ping_timeout: 60_000 }))
    await alice.closed()
    await until('the session to wait', () => session.detached)
  })
})

describe('a client that reads nothing', () => {
  it.each([
    ['send_timeout', { send_timeout: '3s' }],
    ['max_output_bytes', { max_output_bytes: 65_536 }],
  ])('is detached at %s when it can resume, and then has everything', async (_option, options) => {
    const room = 67_108_864
    const rig = await start({ max_output_bytes: room, max_unacked_bytes: room, ...options })
    const bob = await rig.login('bob')
    const { client: alice, id } = await phone(rig, 'alice', 'phone')
    const session = rig.session(alice)
    alice.pause()
    const body = 'x'.repeat(10_000)
    let sent = 0
    while (!session.detached && sent < 2_000) {
      for (let n = 0; n < 50; n++) bob.message(alice.jid, `${sent++} ${body}`)
      await bob.settled()
    }
    await until('the session to wait', () => session.detached)
    bob.message(alice.jid, `${sent++} meanwhile`)
    await bob.settled()
    const again = await loggedIn(rig, 'alice')
    again.send(`<resume xmlns='${sm}' previd='${id}' h='1'/>`)
    await again.waitFor('resumed')
    bob.message(alice.jid, `${sent++} and now`)
    for (let n = 0; n < sent; n++) expect(bodyOf(await again.waitFor('message'))?.split(' ')[0]).toBe(`${n}`)
  })
})
