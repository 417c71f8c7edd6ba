import { describe, expect, it, vi } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import { jid, stanza } from '../modules/host.ts'
import { elsewhere, here, outcome, Resource, verona } from './rig.ts'

const full = (resource: string) => `juliet@${here}/${resource}`
const from = `from='romeo@${elsewhere}/r'`

describe('opening', () => {
  it('takes a full address; it is found, counted and listed by resource', async () => {
    const { sessions } = verona()
    const [b, a] = [new Resource(full('b')), new Resource(full('a'))]
    expect(await sessions.open(b)).toBe('ok')
    expect(await sessions.open(a)).toBe('ok')
    expect(sessions.find(a.jid)).toBe(a)
    expect(sessions.ofUser('juliet', here)).toEqual([a, b])
    expect([sessions.count(), sessions.count(here), sessions.count(elsewhere)]).toEqual([2, 2, 0])
    expect([...sessions.ofHost(here)]).toHaveLength(2)
    expect([...sessions.ofHost(elsewhere)]).toHaveLength(0)
  })

  it.each(['conflict', 'rename'] as const)(
    'answers %s for a name that is taken, when told so',
    async (answer) => {
      const { sessions } = verona(['juliet'], { conflict: answer === 'conflict' ? 'refuse' : 'rename' })
      const first = new Resource(full('r'))
      await sessions.open(first)
      expect(await sessions.open(new Resource(full('r')))).toBe(answer)
      expect(sessions.find(first.jid)).toBe(first)
      expect(first.events).toEqual([])
      expect(sessions.count()).toBe(1)
    },
  )

  it('replaces: the old one is told, and the new one waits until it is gone', async () => {
    const { sessions } = verona()
    const [old, fresh] = [new Resource(full('r')), new Resource(full('r'))]
    await sessions.open(old)
    let opened = false
    const opening = sessions.open(fresh).then(() => {
      opened = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect([old.events, opened]).toEqual([[{ type: 'replaced' }], false])
    expect([sessions.owns(old), sessions.owns(fresh)]).toEqual([false, true])
    await sessions.close(old)
    await opening
    expect(sessions.find(fresh.jid)).toBe(fresh)
    expect(sessions.count()).toBe(1)
  })

  it('waits at most 2 s for an old one that does not go; its late end takes nothing away', async () => {
    vi.useFakeTimers()
    try {
      const { sessions } = verona()
      const [old, fresh] = [new Resource(full('r')), new Resource(full('r'))]
      await sessions.open(old)
      let opened = false
      const opening = sessions.open(fresh).then(() => {
        opened = true
      })
      await vi.advanceTimersByTimeAsync(1_999)
      expect(opened).toBe(false)
      await vi.advanceTimersByTimeAsync(1)
      await opening
      await sessions.close(old)
      expect(sessions.find(fresh.jid)).toBe(fresh)
      expect(sessions.count()).toBe(1)
    } finally {
      vi.useRealTimers()
    }
  })

  it('at once by two: one has the name in the end, and both are answered', async () => {
    const { sessions } = verona()
    const [one, two] = [new Resource(full('r')), new Resource(full('r'))]
    for (const session of [one, two]) session.onTold = () => void sessions.close(session)
    await Promise.all([sessions.open(one), sessions.open(two)])
    expect(sessions.find(jid(full('r')))).toBe(two)
    expect(one.events).toEqual([{ type: 'replaced' }])
    expect(sessions.count()).toBe(1)
  })

  it('beyond max_user_sessions ends the oldest', async () => {
    const { sessions } = verona(['juliet'], { maxUserSessions: 2 })
    const all = [
      new Resource(full('second'), 0, 2),
      new Resource(full('first'), 0, 1),
      new Resource(full('third'), 0, 3),
    ]
    for (const session of all) {
      session.onTold = () => void sessions.close(session)
      await sessions.open(session)
    }
    expect(sessions.ofUser('juliet', here).map(({ jid }) => jid.resource)).toEqual(['second', 'third'])
    // a name that is taken again needs no place
    await sessions.open(new Resource(full('third'), 0, 4))
    expect(sessions.ofUser('juliet', here)).toHaveLength(2)
  })

  it('beyond max_user_sessions ends one without a connection first', async () => {
    const { sessions } = verona(['juliet'], { maxUserSessions: 2 })
    const all = [
      new Resource(full('old'), 0, 1),
      new Resource(full('detached'), 0, 2),
      new Resource(full('new'), 0, 3),
    ]
    for (const session of all) {
      session.detached = session.jid.resource === 'detached'
      session.onTold = () => void sessions.close(session)
      await sessions.open(session)
    }
    expect(sessions.ofUser('juliet', here).map(({ jid }) => jid.resource)).toEqual(['new', 'old'])
  })

  it('and closing are told to the hooks', async () => {
    const { sessions, hooks } = verona()
    const told: string[] = []
    hooks.add('sm_register_connection_hook', here, (_acc, info) => told.push(`+${info.jid.text} ${info.sid}`))
    hooks.add('sm_remove_connection_hook', here, (_acc, info) => told.push(`-${info.jid.text} ${info.sid}`))
    const session = new Resource(full('r'))
    await sessions.open(session)
    await sessions.close(session)
    expect(told).toEqual([`+${full('r')} ${session.sid}`, `-${full('r')} ${session.sid}`])
    expect(sessions.count(here)).toBe(0)
    expect(sessions.ofUser('juliet', here)).toEqual([])
  })
})

describe('sm_receive_packet', () => {
  it('may drop or change what comes, before a resource is chosen', async () => {
    const { sessions, hooks, router } = verona()
    const session = new Resource(full('r'), 0)
    await sessions.open(session)
    hooks.add('sm_receive_packet', here, (one) => (one?.id === 'drop' ? null : one?.withTo(jid(full('r')))))
    await router.route(stanza(`<message ${from} to='juliet@${here}/gone' id='1'/>`))
    await router.route(stanza(`<message ${from} to='juliet@${here}' id='drop'/>`))
    expect(session.received.map(({ id }) => id)).toEqual(['1'])
  })
})

describe('who is blocked', () => {
  it('gets service-unavailable for messages and requests, and nothing for the rest', async () => {
    const { sessions, hooks, router, answers } = verona()
    const session = new Resource(full('r'), 0)
    await sessions.open(session)
    hooks.add('privacy_check_packet', here, (_verdict, { direction }) =>
      stop(direction === 'in' ? 'deny' : 'allow'),
    )
    const send = (text: string) => router.route(stanza(text))
    for (const type of ['normal', 'chat', 'groupchat', 'headline', 'error']) {
      await send(`<message ${from} to='${full('r')}' type='${type}'/>`)
    }
    await send(`<iq ${from} to='${full('r')}' type='get' id='1'><q xmlns='urn:x'/></iq>`)
    await send(`<iq ${from} to='${full('r')}' type='result' id='2'/>`)
    await send(`<presence ${from} to='${full('r')}'/>`)
    await send(`<presence ${from} to='juliet@${here}' type='subscribe'/>`)
    expect(answers.map((one) => `${one.kind} ${outcome(one)}`)).toEqual([
      'message service-unavailable',
      'message service-unavailable',
      'iq service-unavailable',
    ])
    expect(session.received).toEqual([])
  })
})

describe('iq_needs_presence', () => {
  async function asked(
    sender: string,
    subscription: 'none' | 'from' | 'to' | 'both',
    directed = '',
  ): Promise<string> {
    const { sessions, hooks, router, answers } = verona(['juliet', 'nurse'], { iqNeedsPresence: true })
    const session = new Resource(full('r'), 0)
    session.directed.add(directed)
    await sessions.open(session)
    router.registerLocalRoute(`component.${here}`, (one) => void answers.push(one))
    const nurse = new Resource(`nurse@${here}/r`)
    await sessions.open(nurse)
    hooks.add('roster_get_jid_info', here, (info) => ({ ...info, subscription }))
    await router.route(
      stanza(`<iq from='${sender}' to='${full('r')}' type='get' id='1'><q xmlns='urn:x'/></iq>`),
    )
    const answer = answers[0] ?? nurse.received[0]
    return session.received.length > 0 ? 'delivered' : answer ? outcome(answer) : 'nothing'
  }

  it.each([
    [`romeo@${elsewhere}/r`, 'none', 'service-unavailable'],
    [`romeo@${elsewhere}/r`, 'to', 'service-unavailable'],
    [`romeo@${elsewhere}/r`, 'from', 'delivered'],
    [`romeo@${elsewhere}/r`, 'both', 'delivered'],
    [`nurse@${here}/r`, 'none', 'service-unavailable'],
    [`juliet@${here}/other`, 'none', 'delivered'],
    [here, 'none', 'delivered'],
    [`${here}/announce`, 'none', 'delivered'],
    [`component.${here}`, 'none', 'delivered'],
    [`nobody.${here}`, 'none', 'nothing'],
    [`somebody@component.${here}`, 'none', 'service-unavailable'],
  ] as const)('%s with subscription %s: %s', async (sender, subscription, expected) => {
    expect(await asked(sender, subscription)).toBe(expected)
  })

  it('lets pass who has directed presence', async () => {
    expect(await asked(`romeo@${elsewhere}/r`, 'none', `romeo@${elsewhere}/r`)).toBe('delivered')
  })

  it('answers internal-server-error when nobody could find out', async () => {
    const { sessions, hooks, router, answers } = verona(['juliet'], { iqNeedsPresence: true })
    await sessions.open(new Resource(full('r'), 0))
    hooks.add('roster_get_jid_info', here, (info) => ({ ...info, failed: true as const }))
    await router.route(stanza(`<iq ${from} to='${full('r')}' type='get' id='1'><q xmlns='urn:x'/></iq>`))
    expect(answers.map(outcome)).toEqual(['internal-server-error'])
  })
})

describe('jabber:iq:last to a full JID', () => {
  const last = "<query xmlns='jabber:iq:last'/>"

  async function asked(
    to: string,
    subscription: 'none' | 'from' | 'to' | 'both',
    sender = `romeo@${elsewhere}/r`,
    failed?: true,
  ): Promise<string> {
    const { sessions, hooks, router, answers } = verona(['juliet'])
    const session = new Resource(full('r'), 0)
    session.directed.add(sender)
    const own = new Resource(full('other'))
    for (const one of [session, own]) await sessions.open(one)
    hooks.add('roster_get_jid_info', here, (info) => ({ ...info, subscription, ...(failed && { failed }) }))
    await router.route(stanza(`<iq from='${sender}' to='${to}' type='get' id='1'>${last}</iq>`))
    const answer = answers[0] ?? own.received[0]
    return session.received.length > 0 ? 'delivered' : answer ? outcome(answer) : 'nothing'
  }

  it.each([
    [full('r'), 'from', 'delivered'],
    [full('r'), 'both', 'delivered'],
    [full('gone'), 'both', 'service-unavailable'],
    // the same whether that resource, or the account, is there
    [full('r'), 'none', 'forbidden'],
    [full('r'), 'to', 'forbidden'],
    [full('gone'), 'none', 'forbidden'],
    [`nobody@${here}/r`, 'none', 'forbidden'],
  ] as const)('of %s by somebody with subscription %s: %s', async (to, subscription, expected) => {
    expect(await asked(to, subscription)).toBe(expected)
  })

  it('by the own account and by the host arrives', async () => {
    expect(await asked(full('r'), 'none', full('other'))).toBe('delivered')
    expect(await asked(full('r'), 'none', here)).toBe('delivered')
  })

  it('is not forbidden when it cannot be found out', async () => {
    expect(await asked(full('r'), 'none', undefined, true)).toBe('internal-server-error')
  })
})

describe('messages that wait for a look-up of their account', () => {
  /** Look-ups answer when they are told to, in any order. */
  function slowly() {
    const waiting: (() => void)[] = []
    const one = verona(() => new Promise((resolve) => waiting.push(() => resolve(true))))
    const stored: string[] = []
    one.hooks.add('offline_message_hook', here, (_acc, { stanza: { id } }) => {
      stored.push(id)
      return stop()
    })
    const send = (id: string) =>
      one.router.route(stanza(`<message ${from} to='juliet@${here}' id='${id}'><body>x</body></message>`))
    return { ...one, waiting, stored, send }
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it('are stored in the order that they came, whichever look-up is quicker', async () => {
    const { waiting, stored, send } = slowly()
    const sent = ['1', '2', '3'].map(send)
    for (let n = 0; n < 3; n++) {
      await turn()
      waiting.pop()?.()
    }
    await Promise.all(sent)
    expect(stored).toEqual(['1', '2', '3'])
  })

  it('reach a resource that has come meanwhile', async () => {
    const { waiting, stored, send, sessions } = slowly()
    const sent = send('1')
    const session = new Resource(full('r'), 0)
    await sessions.open(session)
    waiting.pop()?.()
    await sent
    expect([stored, session.received.map(({ id }) => id)]).toEqual([[], ['1']])
  })
})

describe('an account that cannot be looked up', () => {
  it('is not one that does not exist: no service-unavailable, no unsubscribed', async () => {
    const { router, answers } = verona(() => Promise.reject(new Error('the directory does not answer')))
    for (const text of [
      `<message ${from} to='juliet@${here}'><body>x</body></message>`,
      `<iq ${from} to='juliet@${here}' type='get' id='1'><q xmlns='urn:x'/></iq>`,
      `<presence ${from} to='juliet@${here}' type='probe'/>`,
      `<presence ${from} to='juliet@${here}' type='subscribe'/>`,
    ]) {
      await router.route(stanza(text))
    }
    expect(answers.map((one) => `${one.kind} ${outcome(one)}`)).toEqual([
      'message internal-server-error',
      'iq internal-server-error',
    ])
  })
})
