import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { modOffline } from '../../server-core/modules/mod-offline.ts'
import { StorageUnavailable } from '../../server-core/storage/storage.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import type { Stanza } from '../../server-core/xmpp/stanza.ts'
import { elsewhere, type FakeSession, here, jid, stanza, startHost, type TestHost } from './host.ts'

let host: TestHost
let n = 0
let romeo: string
const juliet = `juliet@${elsewhere}/chamber`

beforeAll(async () => {
  host = await startHost([modOffline], { mod_offline: { max_offline: 3, max_offline_bytes: 2_048 } })
})
afterAll(() => host.stop())
beforeEach(() => {
  romeo = `romeo${++n}@${here}`
  host.accounts.add(jid(romeo).user)
  host.take()
})

function message(content: string, attributes = "type='chat'"): Promise<void> {
  return host.send(`<message ${attributes} from='${juliet}' to='${romeo}' id='m1'>${content}</message>`)
}

const count = (): Promise<number> => offline().count(jid(romeo).user)

function offline() {
  const service = host.modules.provided(here, 'offline')
  if (service === undefined) throw new Error('no offline service')
  return service
}

/** What a resource gets when its priority is not negative. */
async function resend(session: FakeSession): Promise<readonly Stanza[]> {
  return host.hooks.fold('resend_offline_messages_hook', here, [], {
    user: session.jid.user,
    host: here,
    session,
  })
}

function bodies(stanzas: readonly Stanza[]): string[] {
  return stanzas.map((one) => /<body>(.*)<\/body>/.exec(elementToString(one.element))?.[1] ?? '')
}

describe('what is kept', () => {
  it.each([
    ["type='chat'", '<body>Hi</body>'],
    ["type='normal'", '<body>Hi</body>'],
    ['', '<body>Hi</body>'],
    ["type='strange'", '<body>Hi</body>'],
    ["type='chat'", "<received xmlns='urn:xmpp:receipts' id='m0'/>"],
    ["type='chat'", "<x xmlns='jabber:x:conference' jid='room@x'/>"],
    ["type='chat'", "<active xmlns='http://jabber.org/protocol/chatstates'/><body>Hi</body>"],
    ["type='chat'", "<active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>"],
  ])('a message with %s: %s', async (attributes, content) => {
    await message(content, attributes)
    expect(await count()).toBe(1)
    expect(host.take()).toEqual([])
  })

  it.each([
    ["type='groupchat'", '<body>Hi</body>'],
    ["type='chat'", ''],
    ["type='chat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>"],
    ["type='chat'", "<body>Hi</body><no-store xmlns='urn:xmpp:hints'/>"],
  ])('not one with %s: %s; its sender is told', async (attributes, content) => {
    await message(content, attributes)
    expect(await count()).toBe(0)
    expect(host.take()).toEqual([expect.stringMatching(/^capulet.* type='error'.*service-unavailable/)])
  })

  it.each([
    ["type='headline'", '<body>Hi</body>'],
    ["type='error'", '<body>Hi</body>'],
  ])('not one with %s; nobody is told', async (attributes, content) => {
    await message(content, attributes)
    expect(await count()).toBe(0)
    expect(host.take()).toEqual([])
  })

  it('not for accounts that are not there', async () => {
    await host.send(`<message type='chat' from='${juliet}' to='nobody@${here}'><body>Hi</body></message>`)
    expect(host.take()).toEqual([expect.stringContaining('service-unavailable')])
    expect(await host.storage.offline.count('nobody', here)).toBe(0)
  })

  it('no more than fits: the sender of the rest is told', async () => {
    for (let i = 0; i < 4; i++) await message(`<body>${i}</body>`)
    expect(await count()).toBe(3)
    expect(host.take()).toHaveLength(1)
  })

  it('no more bytes than fit', async () => {
    await message(`<body>${'x'.repeat(1_500)}</body>`)
    await message(`<body>${'x'.repeat(1_500)}</body>`)
    expect(await count()).toBe(1)
    expect(host.take()).toEqual([expect.stringContaining('service-unavailable')])
  })

  it('nothing when the storage is down, and the sender may try again', async () => {
    const broken = async (): Promise<never> => {
      throw new StorageUnavailable('no disk')
    }
    Object.defineProperty(host.storage.offline, 'store', { value: broken, configurable: true })
    try {
      await message('<body>Hi</body>')
    } finally {
      delete (host.storage.offline as unknown as Record<string, unknown>)['store']
    }
    expect(host.take()).toEqual([expect.stringMatching(/internal-server-error/)])
    expect(await count()).toBe(0)
  })
})

describe('what comes back', () => {
  it('is everything, in the order it came, stamped by the host, as it was sent', async () => {
    await message("<body>1 &lt; 2</body><x xmlns='n' a='&apos;'/>")
    await message('<body>two</body>', '')
    const session = await host.login(`${romeo}/orchard`)
    const stanzas = await resend(session)
    expect(bodies(stanzas)).toEqual(['1 &lt; 2', 'two'])
    expect(stanzas.map((one) => [one.from.text, one.to.text])).toEqual([
      [juliet, romeo],
      [juliet, romeo],
    ])
    expect(elementToString(stanzas[0]?.element as never)).toMatch(
      /^<message type='chat' id='m1' from='juliet@capulet.example\/chamber' to='romeo\d+@montague.example'><body>1 &lt; 2<\/body><x xmlns='n' a='&apos;'\/><delay xmlns='urn:xmpp:delay' from='montague.example' stamp='\d{4}-\d\d-\d\dT[\d:.]+Z'\/><\/message>$/,
    )
    expect(stanzas[0]?.element.ns).toBe('jabber:client')
  })

  it('is kept in one order however much comes at once', async () => {
    await Promise.all(['a', 'b', 'c'].map((body) => message(`<body>${body}</body>`)))
    const session = await host.login(`${romeo}/orchard`)
    expect(bodies(await resend(session))).toEqual(['a', 'b', 'c'])
  })

  it('stays until it was written, and no other session gets it meanwhile', async () => {
    await message('<body>one</body>')
    const first = await host.login(`${romeo}/orchard`, { available: false })
    const second = await host.login(`${romeo}/balcony`, { available: false })
    const given = await resend(first)
    expect(bodies(given)).toEqual(['one'])
    expect(await resend(second)).toEqual([])
    expect(await count()).toBe(1)
    await offline().delivered(
      jid(romeo).user,
      given.map((one) => one.context?.offline ?? 0),
    )
    expect(await count()).toBe(0)
    await host.logout(first)
    expect(await resend(second)).toEqual([])
  })

  it('is for another session when the first ended without writing it', async () => {
    await message('<body>one</body>')
    const first = await host.login(`${romeo}/orchard`, { available: false })
    const second = await host.login(`${romeo}/balcony`, { available: false })
    expect(await resend(first)).toHaveLength(1)
    await host.logout(await host.login(`${romeo}/garden`, { available: false }))
    expect(await resend(second)).toEqual([])
    await host.logout(first)
    expect(bodies(await resend(second))).toEqual(['one'])
  })

  it('is not given to a session that ended while the store was asked: the next one gets it', async () => {
    await message('<body>one</body>')
    const first = await host.login(`${romeo}/orchard`, { available: false })
    const given = resend(first)
    await host.logout(first)
    expect(await given).toEqual([])
    const second = await host.login(`${romeo}/orchard`, { available: false })
    expect(bodies(await resend(second))).toEqual(['one'])
  })

  it('is offered at once to a resource that is there when another ends, or that has come meanwhile', async () => {
    await message('<body>one</body>')
    const first = await host.login(`${romeo}/orchard`, { available: false })
    const second = await host.login(`${romeo}/balcony`)
    await resend(first)
    await host.logout(first)
    expect(second.events).toEqual([{ type: 'stored-messages' }])
    expect(bodies(await resend(second))).toEqual(['one'])
    await host.hooks.run('offline_message_hook', here, {
      stanza: stanza(`<message from='${juliet}' to='${romeo}'><body>two</body></message>`),
    })
    expect(second.events).toHaveLength(2)
    expect(bodies(await resend(second))).toEqual(['two'])
  })

  it('is not kept twice when a session hands it back to the router', async () => {
    await message('<body>one</body>')
    const first = await host.login(`${romeo}/orchard`, { available: false })
    const [given] = await resend(first)
    await host.logout(first)
    await host.router.route(given as Stanza)
    expect(await count()).toBe(1)
    expect(host.take()).toEqual([])
    const second = await host.login(`${romeo}/balcony`, { available: false })
    expect(bodies(await resend(second))).toEqual(['one'])
  })

  it('leaves out what the sender said is over', async () => {
    await message("<body>old</body><x xmlns='jabber:x:expire' seconds='0'/>")
    await message("<body>lasting</body><x xmlns='jabber:x:expire' seconds='3600'/>")
    await message("<body>odd</body><x xmlns='jabber:x:expire' seconds='soon'/>")
    const session = await host.login(`${romeo}/orchard`)
    expect(bodies(await resend(session))).toEqual(['lasting', 'odd'])
  })

  it('is not stamped twice', async () => {
    const stamp = `<delay xmlns='urn:xmpp:delay' from='${here}' stamp='2020-01-01T00:00:00Z'/>`
    await message(`<body>one</body>${stamp}`)
    const session = await host.login(`${romeo}/orchard`)
    const [one] = await resend(session)
    expect(elementToString(one?.element as never).match(/<delay/g)).toHaveLength(1)
  })
})

it('keeps nothing longer than the option says', async () => {
  const other = await startHost([modOffline], { mod_offline: { max_age: 1 } })
  const before = Date.now()
  let expires: number | undefined
  const { offline: store } = other.storage
  Object.defineProperty(store, 'store', {
    value: async (...args: Parameters<typeof store.store>) => {
      expires = args[4]
      return 'stored'
    },
  })
  other.accounts.add('romeo')
  const text = `<message from='${juliet}' to='romeo@${here}'><body>x</body><x xmlns='jabber:x:expire' seconds='9'/></message>`
  await other.router.route(stanza(text))
  await other.stop()
  expect(expires).toBeGreaterThanOrEqual(before + 1_000)
  expect(expires).toBeLessThan(before + 9_000)
})
