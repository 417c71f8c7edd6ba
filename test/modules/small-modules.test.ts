import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StartError } from '../../server-core/extend/start-order.ts'
import { modules } from '../../server-core/modules/index.ts'
import { timeElement } from '../../server-core/modules/mod-time.ts'
import { attr, type Element, getSubtag, removeCdata } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { elsewhere, type FakeSession, here, startHost, type TestHost, xml } from './host.ts'

let host: TestHost
let romeo: FakeSession

beforeAll(async () => {
  host = await startHost(modules, {
    mod_cputime: null,
    mod_disco: {
      extra_domains: ['conference.example'],
      server_info: [{ name: 'abuse-addresses', urls: ['mailto:abuse@montague.example'] }],
    },
    mod_echo: null,
    mod_ping: null,
    mod_roster: null,
    mod_time: null,
    mod_version: { show_os: false },
  })
  romeo = await host.login(`romeo@${here}/orchard`)
})
afterAll(() => host.stop())

/** The payload of a result, or the condition of an error. */
function outcome(answer: Element): string {
  if (attr(answer, 'type') === 'error') {
    const error = getSubtag(answer, 'error')
    return (error && removeCdata(error.children)[0]?.name) || 'error'
  }
  return removeCdata(answer.children).map(elementToString).join('')
}

const ask = async (type: 'get' | 'set', child: string, to: string = here, from = romeo): Promise<string> =>
  outcome(await from.iq(type, xml(child), to))

describe('mod_ping', () => {
  const ping = "<ping xmlns='urn:xmpp:ping'/>"
  it('answers for the host and for the own account', async () => {
    expect(await ask('get', ping)).toBe('')
    expect(await ask('get', ping, `romeo@${here}`)).toBe('')
  })
  it('takes no set', async () => {
    expect(await ask('set', ping)).toBe('not-allowed')
  })
})

describe('mod_version', () => {
  it('tells name and version, and no operating system', async () => {
    expect(await ask('get', "<query xmlns='jabber:iq:version'/>")).toBe(
      "<query xmlns='jabber:iq:version'><name>gatehouse</name><version>1.2.3</version></query>",
    )
    expect(await ask('set', "<query xmlns='jabber:iq:version'/>")).toBe('not-allowed')
  })
  it('tells the operating system when it may', async () => {
    await host.modules.reload(here, 'mod_version', { show_os: true })
    expect(await ask('get', "<query xmlns='jabber:iq:version'/>")).toMatch(/<os>.+<\/os>/)
  })
})

describe('mod_time', () => {
  it('tells the time', async () => {
    expect(await ask('get', "<time xmlns='urn:xmpp:time'/>")).toMatch(
      /^<time xmlns='urn:xmpp:time'><tzo>[+-]\d\d:\d\d<\/tzo><utc>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ<\/utc><\/time>$/,
    )
    expect(await ask('set', "<time xmlns='urn:xmpp:time'/>")).toBe('not-allowed')
  })
  it.each([
    [0, '+00:00'],
    [330, '+05:30'],
    [-210, '-03:30'],
    [-30, '-00:30'],
    [845, '+14:05'],
  ])('writes an offset of %i minutes as %s', (offset, text) => {
    const element = timeElement(new Date('2026-03-29T00:30:15.123Z'), offset)
    expect(elementToString(element)).toBe(
      `<time xmlns='urn:xmpp:time'><tzo>${text}</tzo><utc>2026-03-29T00:30:15Z</utc></time>`,
    )
  })
})

describe('mod_cputime', () => {
  it('tells seconds with three decimals', async () => {
    expect(await ask('get', "<query xmlns='ejabberd:cputime'/>")).toMatch(
      /^<query xmlns='ejabberd:cputime'><cputime>\d+\.\d{3}<\/cputime><\/query>$/,
    )
  })
  it('refuses a set, behind the child', async () => {
    const answer = await romeo.iq('set', xml("<query xmlns='ejabberd:cputime'><x/></query>"), here)
    expect(removeCdata(answer.children).map((child) => child.name)).toEqual(['query', 'error'])
    expect(outcome(answer)).toBe('not-allowed')
  })
})

describe('mod_echo', () => {
  it('sends every kind of stanza back, whole', async () => {
    romeo.take()
    await host.send(`<message from='${romeo.jid.text}' to='echo.${here}/x' id='1'><body>Hi</body></message>`)
    await host.send(`<presence from='${romeo.jid.text}' to='anybody@echo.${here}'/>`)
    expect(romeo.take()).toEqual([
      `<message id='1' from='echo.${here}/x' to='${romeo.jid.text}'><body>Hi</body></message>`,
      `<presence from='anybody@echo.${here}' to='${romeo.jid.text}'/>`,
    ])
  })
  it('never answers an error, nor itself', async () => {
    host.take()
    await host.send(`<message type='error' from='${romeo.jid.text}' to='echo.${here}'/>`)
    await host.send(`<message from='a@echo.${here}' to='b@echo.${here}'/>`)
    expect(host.take()).toEqual([])
  })
  it('goes with the module, and may be elsewhere', async () => {
    await host.modules.reload(here, 'mod_echo', { host: 'echo.other.@HOST@' })
    expect(host.router.hasRoute(`echo.${here}`)).toBe(false)
    expect(host.router.hasRoute(`echo.other.${here}`)).toBe(true)
    await host.modules.reload(here, 'mod_echo', null)
  })
  it('refuses a domain that is none', async () => {
    await expect(host.modules.reload(here, 'mod_echo', { host: 'no domain' })).rejects.toThrow(StartError)
    expect(host.router.hasRoute(`echo.${here}`)).toBe(true)
  })
})

describe('mod_disco', () => {
  const info = (node = ''): string =>
    `<query xmlns='http://jabber.org/protocol/disco#info'${node === '' ? '' : ` node='${node}'`}/>`
  const items = (node = ''): string => info(node).replace('#info', '#items')

  it('tells what the host is and can do, in order', async () => {
    const text = await ask('get', info())
    expect(text).toContain("<identity category='server' type='im' name='gatehouse'/>")
    const features = [...text.matchAll(/<feature var='([^']+)'\/>/g)].map((match) => match[1] ?? '')
    expect(features).toContain('urn:xmpp:ping')
    expect(features).toContain('jabber:iq:version')
    expect(features).toContain('urn:xmpp:time')
    expect(features).toEqual([...new Set(features)].sort((one, other) => (one < other ? -1 : 1)))
    expect(text).toContain(
      "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field><field var='abuse-addresses'><value>mailto:abuse@montague.example</value></field></x>",
    )
  })

  it('lists the domains of the service', async () => {
    const text = await ask('get', items())
    expect(text).toContain("<item jid='conference.example'/>")
    expect(text).toContain(`<item jid='echo.${here}'/>`)
  })

  it('knows no nodes by itself, and takes no set', async () => {
    expect(await ask('get', info('nothing'))).toBe('item-not-found')
    expect(await ask('get', items('nothing'))).toBe('item-not-found')
    expect(await ask('set', info())).toBe('not-allowed')
  })

  it('answers for nodes that a module knows', async () => {
    const undo = host.hooks.add('disco_local_features', here, (list, { node }) =>
      node === 'known' ? [...list, 'urn:f'] : undefined,
    )
    expect(await ask('get', info('known'))).toBe(
      "<query xmlns='http://jabber.org/protocol/disco#info' node='known'><feature var='urn:f'/></query>",
    )
    undo()
  })

  it('tells of an account only to those who may see it', async () => {
    const account = `romeo@${here}`
    const tybalt = await host.login(`tybalt@${here}/street`)
    expect(await ask('get', info(), account)).toContain("<identity category='account' type='registered'/>")
    expect(await ask('get', items(), account)).toContain(`<item jid='${romeo.jid.text}'/>`)
    expect(await ask('get', info(), account, tybalt)).toBe('service-unavailable')
    const nobody = await ask('get', info(), `nobody@${here}`, tybalt)
    expect(nobody).toBe('service-unavailable')
    await host.storage.rosters.update('romeo', here, `tybalt@${here}`, () => ({
      jid: `tybalt@${here}`,
      name: '',
      subscription: 'from',
      pendingOut: false,
      pendingIn: undefined,
      approved: false,
      groups: [],
      listed: true,
    }))
    expect(await ask('get', info(), account, tybalt)).toContain('account')
    expect(await ask('get', items(), account, tybalt)).toContain(romeo.jid.text)
    await host.logout(tybalt)
  })

  it('says that it could not find out when it could not', async () => {
    const tybalt = await host.login(`tybalt2@${here}/street`)
    const undo = host.hooks.add('roster_get_jid_info', here, (known) => ({ ...known, failed: true }), 10)
    expect(await ask('get', info(), `romeo@${here}`, tybalt)).toBe('internal-server-error')
    undo()
  })
})

it('leaves other domains alone', async () => {
  host.take()
  await host.send(`<message from='${romeo.jid.text}' to='x@${elsewhere}'/>`)
  expect(host.take()).toHaveLength(1)
})
