/** How sessions end: nothing that waited for one is lost, nobody keeps a wrong picture of it, nothing is left of it. */
import { afterEach, describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import type { Stanza } from '../../server-core/xmpp/stanza.ts'
import { before as inTime, until } from '../harness/deadline.ts'
import { child } from '../harness/stanza.ts'
import { host, Rig } from './rig.ts'

const rigs: Rig[] = []
async function start(...args: Parameters<typeof Rig.start>): Promise<Rig> {
  const rig = await Rig.start(...args)
  rigs.push(rig)
  return rig
}
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

/** A promise and what settles it. */
function gate(): { readonly open: () => void; readonly passed: Promise<void> } {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

/** An offline store of bodies. */
function offlineStore(rig: Rig): string[] {
  const stored: string[] = []
  rig.hooks.add('offline_message_hook', host, (_acc, { stanza }) => {
    stored.push(bodyOf(stanza))
    return stop()
  })
  return stored
}

function bodyOf(stanza: Stanza): string {
  const [body] = stanza.element.children
  return typeof body === 'object' ? body.children.join('') : ''
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('what waits for a session that ends', () => {
  it('goes to the offline store, and none of it is written behind the closing tag', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    const bob = await rig.login('bob')
    const slow = gate()
    rig.hooks.add('user_receive_packet', host, async (_stanza, { session }) => {
      if (session.jid.user === 'bob') await slow.passed
    })
    for (const body of ['1', '2', '3']) alice.message('bob@localhost', body)
    await alice.settled()
    bob.send('<foo/>')
    expect((await bob.streamError()).condition).toBe('unsupported-stanza-type')
    slow.open()
    await until('three stored', () => stored.length === 3)
    expect(stored.sort()).toEqual(['1', '2', '3'])
    await bob.closed()
    expect(bob.transcript()).not.toContain('<message')
  })

  it('goes to another resource of the account', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    const bob = await rig.login('bob', { resource: 'going' })
    const other = await rig.login('bob', { resource: 'staying' })
    const slow = gate()
    rig.hooks.add('user_receive_packet', host, async (_stanza, { session }) => {
      if (session.jid.resource === 'going') await slow.passed
    })
    alice.message('bob@localhost/going', 'x')
    await alice.settled()
    bob.destroy()
    await until('bob gone', () => rig.sessions.count() === 2)
    slow.open()
    expect(child(await other.waitFor('message'), 'body')?.text).toBe('x')
    expect(stored).toEqual([])
  })

  it('goes to the offline store when all resources end at once', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    const bobs = [await rig.login('bob', { resource: 'a' }), await rig.login('bob', { resource: 'b' })]
    const slow = gate()
    rig.hooks.add('user_receive_packet', host, async (stanza, { session }) => {
      if (session.jid.user === 'bob' && stanza?.kind === 'message') await slow.passed
    })
    // the sessions stay in the registry while they say goodbye
    const goodbye = gate()
    rig.hooks.add('sm_remove_connection_hook', host, () => goodbye.passed)
    rig.hooks.add('unset_presence_hook', host, () => goodbye.passed)
    alice.message('bob@localhost/a', 'x')
    await alice.settled()
    for (const bob of bobs) rig.session(bob).shutdown('bye')
    await turn()
    slow.open()
    await turn()
    goodbye.open()
    await until('it stored', () => stored.length > 0)
    expect(stored).toEqual(['x'])
  })

  it('is answered when it was a request', async () => {
    const rig = await start()
    const alice = await rig.login('alice')
    const bob = await rig.login('bob')
    const slow = gate()
    rig.hooks.add('user_receive_packet', host, async (_stanza, { session }) => {
      if (session.jid.user === 'bob') await slow.passed
    })
    alice.send(`<iq type='get' id='v' to='${bob.jid}'><query xmlns='jabber:iq:version'/></iq>`)
    await alice.settled()
    bob.destroy()
    await until('bob gone', () => rig.sessions.count() === 1)
    slow.open()
    const answer = await alice.waitFor(({ attrs }) => attrs['id'] === 'v')
    expect(answer.attrs).toMatchObject({ type: 'error', from: bob.jid })
    expect(child(child(answer, 'error'), 'service-unavailable')).toBeDefined()
  })

  it('is too much at max_mailbox: the session ends with resource-constraint, and nothing of it is lost', async () => {
    const rig = await start({ max_mailbox: 10 })
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    const bob = await rig.login('bob')
    const slow = gate()
    rig.hooks.add('user_receive_packet', host, async (_stanza, { session }) => {
      if (session.jid.user === 'bob') await slow.passed
    })
    for (let n = 0; n < 20; n++) alice.message('bob@localhost', `${n}`)
    expect((await bob.streamError()).condition).toBe('resource-constraint')
    slow.open()
    await until('all stored', () => stored.length === 20)
    expect(stored.sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`))
  })
})

describe('what came for a session that could not open', () => {
  it('goes to the offline store, in order', async () => {
    const rig = await start()
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    const [asked, answer] = [gate(), gate()]
    rig.hooks.add('roster_get_subscription_lists', host, async (lists, { user }) => {
      if (user !== 'bob') return lists
      asked.open()
      await answer.passed
      return { ...lists, failed: true as const }
    })
    const bob = rig.login('bob', { available: false }).catch(() => undefined)
    await inTime(5_000, 'the bind', asked.passed)
    for (const body of ['1', '2']) alice.message('bob@localhost/r', body)
    await alice.settled()
    answer.open()
    await bob
    await until('both stored', () => stored.length === 2)
    expect(stored).toEqual(['1', '2'])
  })
})

describe('offline messages that a session takes out', () => {
  it('stay in the store when the session ends before they are written', async () => {
    const delivered: number[] = []
    const rig = await start({}, {
      count: async () => 1,
      delivered: async (_user: string, seqs: readonly number[]) => {
        delivered.push(...seqs)
      },
    } as never)
    const stored = offlineStore(rig)
    const alice = await rig.login('alice')
    let message: Stanza | undefined
    rig.hooks.add('user_send_packet', host, (stanza) => {
      if (stanza?.kind === 'message') message = stanza
    })
    alice.message('bob@localhost', 'kept')
    await alice.settled()
    expect(stored).toEqual(['kept'])
    const slow = gate()
    rig.hooks.add('resend_offline_messages_hook', host, async (list) => {
      await slow.passed
      return message ? [...list, message.withContext({ offline: 7 })] : list
    })
    const bob = await rig.login('bob', { available: false })
    bob.send('<presence/><foo/>')
    await until('bob to be asked', () => rig.session(bob).presence)
    rig.session(bob).tell({ type: 'kicked', reason: 'bye' })
    slow.open()
    await bob.closed()
    await until('bob gone', () => rig.sessions.count() === 1)
    await turn()
    // neither deleted, nor stored a second time
    expect([delivered, stored]).toEqual([[], ['kept']])
  })

  it('are deleted once they are written', async () => {
    const delivered: number[] = []
    const rig = await start({}, {
      count: async () => 1,
      delivered: async (_user: string, seqs: readonly number[]) => {
        delivered.push(...seqs)
      },
    } as never)
    const alice = await rig.login('alice')
    let message: Stanza | undefined
    rig.hooks.add('user_send_packet', host, (stanza) => {
      if (stanza?.kind !== 'message') return stanza
      message = stanza
      return null
    })
    alice.message('bob@localhost', 'kept')
    await until('it', () => message)
    rig.hooks.add('resend_offline_messages_hook', host, (list) =>
      message ? [...list, message.withContext({ offline: 7 })] : list,
    )
    const bob = await rig.login('bob')
    expect(child(await bob.waitFor('message'), 'body')?.text).toBe('kept')
    await until('it deleted', () => delivered.length > 0)
    expect(delivered).toEqual([7])
  })
})

describe('a connection that is lost while its session opens', () => {
  it.each([
    'forbidden_session_hook',
    'sm_register_connection_hook',
    'roster_get_subscription_lists',
  ] as const)('leaves nothing behind when it waited in %s', async (name) => {
    const rig = await start()
    const reached = gate()
    const slow = gate()
    rig.hooks.add(name, host, async () => {
      reached.open()
      await slow.passed
    })
    const login = rig.login('bob', { available: false }).catch(() => undefined)
    await inTime(5_000, 'the hook', reached.passed)
    const [session] = rig.connected
    session?.connection.destroy('gone')
    await login
    slow.open()
    await until('it to be over', () => rig.connected.length === 0)
    await turn()
    expect(rig.sessions.count()).toBe(0)
    expect([...rig.sessions.all()]).toEqual([])
  })
})

describe('an end while presence goes out', () => {
  it('leaves nobody with an available presence of somebody who has gone', async () => {
    const rig = await start()
    const contacts = ['c1', 'c2', 'c3']
    rig.hooks.add('roster_get_subscription_lists', host, (lists, { user }) =>
      user === 'bob' ? { from: contacts.map((name) => `${name}@${host}`), to: [] } : lists,
    )
    const clients = await Promise.all(contacts.map((name) => rig.login(name)))
    const slow = gate()
    rig.hooks.add('sm_receive_packet', host, async (stanza) => {
      if (stanza?.to.user === 'c2' && stanza.type === '') await slow.passed
      return stanza
    })
    const bob = await rig.login('bob', { available: false })
    bob.send('<presence/>')
    const [first] = clients
    await first?.waitFor(({ attrs }) => attrs['from'] === bob.jid)
    const session = rig.session(bob)
    bob.destroy()
    await until('the server to notice', () => session.state.name === 'ended')
    await turn()
    slow.open()
    await until('bob gone', () => rig.connected.length === 3)
    for (const [index, client] of clients.entries()) {
      const types = (await client.settled())
        .filter(({ name, attrs }) => name === 'presence' && attrs['from'] === bob.jid)
        .map(({ attrs }) => attrs['type'] ?? 'available')
      // whoever saw it come has seen it go, in this order
      if (types.length > 0) expect([contacts[index], types.at(-1)]).toEqual([contacts[index], 'unavailable'])
    }
  })
})

describe('the end of the server', () => {
  it('waits for what a client has sent and is still being dealt with', async () => {
    const rig = await start()
    const slow = gate()
    const reached = gate()
    let done = false
    rig.hooks.add('user_send_packet', host, async (stanza) => {
      if (stanza?.kind !== 'message') return stanza
      reached.open()
      await slow.passed
      done = true
      return stanza
    })
    const alice = await rig.login('alice')
    const session = rig.session(alice)
    alice.message('bob@localhost', 'last words')
    await inTime(5_000, 'the message', reached.passed)
    let over = false
    void session.over.then(() => {
      over = true
    })
    session.shutdown('bye')
    await alice.closed()
    await turn()
    expect([over, done]).toEqual([false, false])
    slow.open()
    await inTime(5_000, 'the end', session.over)
    expect(done).toBe(true)
  })
})

describe('subscription lists that cannot be read', () => {
  it('are no empty lists: the bind is refused for now, and works when they can', async () => {
    const rig = await start()
    let broken = true
    rig.hooks.add('roster_get_subscription_lists', host, (lists) =>
      broken ? { ...lists, failed: true as const } : lists,
    )
    const bob = await rig.login('bob', { available: false }).catch((error: unknown) => error)
    expect(bob).toBeInstanceOf(Error)
    expect(String(bob)).toMatch(/type='error'|internal-server-error/)
    expect(rig.sessions.count()).toBe(0)
    broken = false
    const again = await rig.login('bob')
    expect(again.jid).toBe('bob@localhost/r')
  })
})
