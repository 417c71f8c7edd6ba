import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { modBlocking } from '../../server-core/modules/mod-blocking/mod-blocking.ts'
import { modRoster } from '../../server-core/modules/mod-roster/mod-roster.ts'
import { StorageUnavailable, type Subscription } from '../../server-core/storage/storage.ts'
import { attr, type Element, getSubtag, removeCdata } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { Blocklist } from '../../server-core/xmpp/blocklist.ts'
import { elsewhere, type FakeSession, here, jid, stanza, startHost, type TestHost, xml } from './host.ts'

let host: TestHost
let n = 0
let romeo: FakeSession
const juliet = `juliet@${elsewhere}`

beforeAll(async () => {
  host = await startHost([modBlocking, modRoster], { mod_blocking: { max_blocked: 5 }, mod_roster: null })
})
afterAll(() => host.stop())
beforeEach(async () => {
  romeo = await host.login(`romeo${++n}@${here}/orchard`)
  host.take()
})

function outcome(answer: Element): string {
  if (attr(answer, 'type') === 'error') {
    const error = getSubtag(answer, 'error')
    return (error && removeCdata(error.children)[0]?.name) || 'error'
  }
  return removeCdata(answer.children).map(elementToString).join('')
}

const item = (address: string): string => `<item jid='${address}'/>`
const wrap = (name: string, ...jids: string[]): string =>
  jids.length === 0
    ? `<${name} xmlns='urn:xmpp:blocking'/>`
    : `<${name} xmlns='urn:xmpp:blocking'>${jids.map(item).join('')}</${name}>`
const block = async (...jids: string[]): Promise<string> =>
  outcome(await romeo.iq('set', xml(wrap('block', ...jids))))
const unblock = async (...jids: string[]): Promise<string> =>
  outcome(await romeo.iq('set', xml(wrap('unblock', ...jids))))
const list = async (session = romeo): Promise<string> =>
  outcome(await session.iq('get', xml(wrap('blocklist'))))

async function subscribe(contact: string, subscription: Subscription): Promise<void> {
  await host.storage.rosters.update(romeo.jid.user, here, contact, () => ({
    jid: contact,
    name: '',
    subscription,
    pendingOut: false,
    pendingIn: undefined,
    approved: false,
    groups: [],
    listed: true,
  }))
}

const allows = async (direction: 'in' | 'out', other: string): Promise<boolean> => {
  const own = romeo.jid.text
  const [from, to] = direction === 'in' ? [other, own] : [own, other]
  const verdict = await host.hooks.fold('privacy_check_packet', here, 'allow', {
    user: romeo.jid.user,
    host: here,
    stanza: stanza(`<message from='${from}' to='${to}'/>`),
    direction,
  })
  return verdict === 'allow'
}

describe('the list', () => {
  it('grows, shrinks and is emptied', async () => {
    expect(await list()).toBe(wrap('blocklist'))
    expect(await block(juliet, 'Spam.Example', juliet)).toBe('')
    expect(await list()).toBe(wrap('blocklist', juliet, 'spam.example'))
    expect(await unblock('spam.example', 'never@was.here')).toBe('')
    expect(await list()).toBe(wrap('blocklist', juliet))
    expect(await unblock()).toBe('')
    expect(await list()).toBe(wrap('blocklist'))
  })

  it('is told to the resources that asked for it, with addresses as they are kept', async () => {
    const other = await host.login(`${romeo.jid.bareText}/balcony`)
    const quiet = await host.login(`${romeo.jid.bareText}/quiet`)
    await list()
    await list(other)
    other.take()
    await block('Juliet@CAPULET.example')
    const push = other.take()
    expect(push).toHaveLength(1)
    expect(push[0]).toMatch(
      /^<iq type='set' id='block\d+' from='romeo\d+@montague.example' to='[^']*\/balcony'>/,
    )
    expect(push[0]).toContain(wrap('block', juliet))
    expect(romeo.take().some((text) => text.includes(wrap('block', juliet)))).toBe(true)
    expect(quiet.received).toEqual([])
    await unblock()
    expect(other.take()[0]).toContain(wrap('unblock'))
    await host.logout(other)
  })

  it.each([
    ['bad-request', 'set', wrap('block')],
    ['bad-request', 'set', "<block xmlns='urn:xmpp:blocking'><jid/></block>"],
    ['jid-malformed', 'set', wrap('block', '@x')],
    ['bad-request', 'get', wrap('block', juliet)],
    ['bad-request', 'set', wrap('blocklist')],
    ['not-acceptable', 'set', wrap('block', 'a@x', 'b@x', 'c@x', 'd@x', 'e@x', 'f@x')],
  ] as const)('refuses with %s: %s %s', async (condition, type, child) => {
    expect(outcome(await romeo.iq(type, xml(child)))).toBe(condition)
    expect(await list()).toBe(wrap('blocklist'))
  })

  it('is only for its owner', async () => {
    const tybalt = await host.login(`tybalt${n}@${here}/street`)
    expect(outcome(await tybalt.iq('get', xml(wrap('blocklist')), romeo.jid.bareText))).toBe('forbidden')
    expect(outcome(await tybalt.iq('set', xml(wrap('block', juliet)), romeo.jid.bareText))).toBe('forbidden')
  })
})

describe('who is blocked', () => {
  it.each([
    [
      'juliet@capulet.example/chamber',
      ['juliet@capulet.example/chamber'],
      ['juliet@capulet.example/x', juliet],
    ],
    [
      juliet,
      [juliet, `${juliet}/x`],
      ['nurse@capulet.example', 'capulet.example', 'juliet@x.capulet.example'],
    ],
    [
      'capulet.example/hall',
      ['nurse@capulet.example/hall', 'capulet.example/hall'],
      [juliet, 'capulet.example'],
    ],
    [
      'capulet.example',
      [juliet, 'capulet.example', 'capulet.example/hall'],
      ['x.capulet.example', 'example'],
    ],
  ])('%s', (entry, blocked, others) => {
    const blocklist = new Blocklist([entry])
    for (const one of blocked) expect(blocklist.blocks(jid(one)), one).toBe(true)
    for (const one of others) expect(blocklist.blocks(jid(one)), one).toBe(false)
  })

  it('neither reaches the account nor is reached', async () => {
    await block(juliet)
    expect(await allows('in', `${juliet}/chamber`)).toBe(false)
    expect(await allows('out', juliet)).toBe(false)
    expect(await allows('in', `nurse@${elsewhere}`)).toBe(true)
    await unblock(juliet)
    expect(await allows('in', juliet)).toBe(true)
  })

  it('gets the answers of an account that does not take his messages', async () => {
    await block(juliet)
    host.take()
    romeo.take()
    const to = romeo.jid.bareText
    await host.send(`<message type='chat' id='m' from='${juliet}/c' to='${to}'><body>Hi</body></message>`)
    await host.send(`<presence from='${juliet}/c' to='${to}'/>`)
    await host.send(`<message type='headline' from='${juliet}/c' to='${to}'/>`)
    await host.send(`<iq type='get' id='i' from='${juliet}/c' to='${romeo.jid.text}'><q xmlns='n'/></iq>`)
    expect(romeo.received).toEqual([])
    const answers = host.take()
    expect(answers).toHaveLength(2)
    for (const answer of answers) expect(answer).toContain('service-unavailable')
  })

  it('can be a whole domain, the own one too; the host and the account itself always pass', async () => {
    await block(here)
    expect(await allows('in', `tybalt@${here}/street`)).toBe(false)
    expect(await allows('in', here)).toBe(true)
    expect(await allows('in', `${here}/announcements`)).toBe(false)
    expect(await allows('in', `${romeo.jid.bareText}/balcony`)).toBe(true)
    expect(await allows('out', here)).toBe(true)
  })
})

describe('presence', () => {
  const away = (): string[] => host.take().filter((line) => line.startsWith(elsewhere))

  it('goes for who is blocked, and comes back when he no longer is', async () => {
    await subscribe(juliet, 'both')
    await subscribe(`nurse@${elsewhere}`, 'to')
    await subscribe(`page@${elsewhere}`, 'from')
    host.take()
    await block(juliet, `nurse@${elsewhere}`)
    expect(away()).toEqual([
      `${elsewhere} gets <presence type='unavailable' from='${romeo.jid.text}' to='${juliet}'/>`,
    ])
    expect(romeo.events).toEqual([{ type: 'subscription', contact: jid(juliet), subscription: 'to' }])
    romeo.events.splice(0)
    await block(`juliet@${elsewhere}`)
    expect(away()).toEqual([])
    await unblock()
    expect(romeo.events).toEqual([
      { type: 'subscription', contact: jid(juliet), subscription: 'both' },
      { type: 'send-presence', to: jid(juliet), available: true },
    ])
    expect(away()).toEqual([expect.stringContaining(`<status>here</status>`)])
  })

  it('is not for him when an administrator makes him a contact, before he is unblocked', async () => {
    await block(juliet)
    const roster = host.modules.provided(here, 'roster')
    const contact = (subscription: Subscription) => ({ name: '', groups: [], subscription })
    await roster?.set(romeo.jid.user, jid(juliet), contact('from'))
    await roster?.set(romeo.jid.user, jid(juliet), contact('both'))
    await roster?.set(romeo.jid.user, jid(`page@${elsewhere}`), contact('both'))
    expect(romeo.events).toEqual([
      { type: 'subscription', contact: jid(juliet), subscription: 'none' },
      { type: 'subscription', contact: jid(juliet), subscription: 'to' },
      { type: 'subscription', contact: jid(`page@${elsewhere}`), subscription: 'both' },
    ])
    await unblock()
    expect(romeo.events.slice(3)).toEqual([
      { type: 'subscription', contact: jid(juliet), subscription: 'both' },
      { type: 'send-presence', to: jid(juliet), available: true },
    ])
  })

  it('is not for him in sessions that open later', async () => {
    await subscribe(juliet, 'both')
    await subscribe(`page@${elsewhere}`, 'from')
    await block(elsewhere)
    const account = { user: romeo.jid.user, host: here }
    const blocked = await host.hooks.fold('privacy_get_user_list', here, { jids: ['spam.example'] }, account)
    expect(blocked).toEqual({ jids: ['spam.example', elsewhere] })
  })
})

it('names of nobody that strangers write to take no place in memory', async () => {
  const kept = async () => {
    const holders = await host.hooks.fold('memory_holders', here, [], {})
    return holders.find(({ name }) => name === 'block lists')?.count
  }
  const before = await kept()
  for (let k = 0; k < 50; k++) {
    await host.send(`<message from='${juliet}' to='nobody${k}@${here}'><body>Buy</body></message>`)
  }
  expect(await kept()).toBe(before)
  // who is connected, and who has blocked somebody, is at hand
  await host.send(`<message from='${juliet}' to='${romeo.jid.bareText}'><body>Hi</body></message>`)
  expect(await kept()).toBe((before ?? 0) + 1)
})

describe('when the storage is down', () => {
  const broken = async (): Promise<never> => {
    throw new StorageUnavailable('no disk')
  }

  it('lets nobody in unchecked', async () => {
    Object.defineProperty(host.storage.blocklists, 'get', { value: broken, configurable: true })
    try {
      const account = { user: romeo.jid.user, host: here }
      expect(await allows('in', juliet)).toBe(false)
      host.take()
      const text = `<message type='chat' from='${juliet}' to='${romeo.jid.bareText}'><body>Hi</body></message>`
      await host.send(text)
      expect(host.take()).toEqual([expect.stringContaining('internal-server-error')])
      const blocked = await host.hooks.fold('privacy_get_user_list', here, { jids: [] }, account)
      expect(blocked.failed).toBe(true)
    } finally {
      delete (host.storage.blocklists as unknown as Record<string, unknown>)['get']
    }
    expect(await allows('in', juliet)).toBe(true)
  })
})

it('decides at once when it has the list in memory', async () => {
  await list()
  const verdict = host.hooks.fold('privacy_check_packet', here, 'allow', {
    user: romeo.jid.user,
    host: here,
    stanza: stanza(`<message from='${juliet}' to='${romeo.jid.text}'/>`),
    direction: 'in',
  })
  expect(verdict).toBe('allow')
})

it('forgets the list with the account', async () => {
  await block(juliet)
  await host.hooks.run('remove_user', here, { user: romeo.jid.user, host: here })
  await host.storage.removeAccount(romeo.jid.user, here)
  expect(await allows('in', juliet)).toBe(true)
})
