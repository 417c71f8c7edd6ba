/** Rosters fetched again only as far as they have changed (RFC 6121 §2.6), with deletions, from any version on. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'

let server: ServerInPlace
let romeo: TestClient
let n = 0

beforeAll(async () => {
  server = await serverInPlace({
    auth_password_format: 'plain',
    listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none', allow_unencrypted_plain_auth: true }],
  })
})
afterAll(() => server.stop())
beforeEach(async () => {
  await server.ctl(['register_identified', `romeo${++n}`, 'localhost', 'pw'])
  romeo = await login()
  await get('')
})

function login(): Promise<TestClient> {
  const { port } = server
  const user = `romeo${n}`
  return TestClient.login({ port, tls: 'none', user, password: 'pw', mechanism: 'PLAIN' })
}

const query = (attributes: string, items = '') =>
  `<query xmlns='jabber:iq:roster'${attributes}>${items}</query>`

async function set(item: string): Promise<void> {
  const answer = await romeo.iq('set', query('', item))
  expect(answer.attrs['type']).toBe('result')
}

interface Answer {
  /** Undefined: nothing but the pushes. */
  readonly roster: readonly string[] | undefined
  readonly ver: string | undefined
  /** 'to a@x 7' of each push behind it, in order. */
  readonly pushes: readonly string[]
}

const brief = (item: Stanza) =>
  [item.attrs['subscription'], item.attrs['jid'], item.attrs['name']].filter(Boolean).join(' ')

/** @param ver the attribute; undefined: none */
async function get(ver: string | undefined, client = romeo): Promise<Answer> {
  const answer = await client.iq('get', query(ver === undefined ? '' : ` ver='${ver}'`))
  expect(answer.attrs['type']).toBe('result')
  const roster = child(answer, 'query')
  return { roster: roster?.children.map(brief), ver: roster?.attrs['ver'], pushes: await pushes(client) }
}

async function pushes(client: TestClient): Promise<string[]> {
  return (await client.settled())
    .filter(({ name, attrs }) => name === 'iq' && attrs['type'] === 'set')
    .map((push) => {
      expect(push.attrs['to']).toBe(client.jid)
      expect([undefined, client.jid.split('/')[0]]).toContain(push.attrs['from'])
      const item = at(push, 'query', 'item') ?? expect.fail('no item')
      return `${brief(item)} ${at(push, 'query')?.attrs['ver']}`
    })
}

const words = (push: string) => push.slice(0, push.lastIndexOf(' '))
const version = (push: string) => push.slice(push.lastIndexOf(' ') + 1)

describe('a roster', () => {
  it('comes whole, with its version, to whoever has none that is known', async () => {
    await set("<item jid='a@x' name='A'/>")
    for (const ver of [undefined, '', 'unheard-of', '1', '999999999999999', '-1']) {
      const answer = await get(ver)
      expect([ver, answer.roster]).toEqual([ver, ['none a@x A']])
      expect(answer.ver).toMatch(/./)
    }
  })

  it('does not come to whoever has it', async () => {
    await set("<item jid='a@x'/>")
    await romeo.settled()
    const { ver } = await get('')
    expect(await get(ver)).toEqual({ roster: undefined, ver: undefined, pushes: [] })
  })

  it('comes as one push for each contact that has changed since, in order, from any version on', async () => {
    for (const jid of ['a@x', 'b@x', 'c@x']) await set(`<item jid='${jid}'/>`)
    await romeo.settled()
    const { ver } = await get('')
    await set("<item jid='b@x' name='B'/>")
    await set("<item jid='a@x' subscription='remove'/>")
    await set("<item jid='d@x'/>")
    await set("<item jid='c@x' name='one'/>")
    await set("<item jid='c@x' name='two'/>")
    romeo.send("<presence to='d@x' type='subscribe'/>")
    const seen = await pushes(romeo)
    expect(seen.map(words)).toEqual([
      'none b@x B',
      'remove a@x',
      'none d@x',
      'none c@x one',
      'none c@x two',
      'none d@x',
    ])
    const client = await login()
    const answer = await get(ver, client)
    expect(answer.roster).toBeUndefined()
    // only what each contact is now, at its latest version
    expect(answer.pushes).toEqual([seen[0], seen[1], seen[4], seen[5]])
    // from the version of each push on, what came behind it
    for (const [index, push] of answer.pushes.entries()) {
      expect((await get(version(push), client)).pushes).toEqual(answer.pushes.slice(index + 1))
    }
    await client.close()
  })

  it('forgets nothing by a contact that goes and comes back', async () => {
    await set("<item jid='a@x'/>")
    await romeo.settled()
    const { ver } = await get('')
    await set("<item jid='a@x' subscription='remove'/>")
    const [gone] = await pushes(romeo)
    await set("<item jid='a@x' name='again'/>")
    const [back] = await pushes(romeo)
    expect((await get(ver)).pushes).toEqual([back])
    expect((await get(version(gone ?? ''))).pushes).toEqual([back])
  })

  it('comes whole to whoever has a version from before more deletions than are remembered', async () => {
    await set("<item jid='stays@x'/>")
    await romeo.settled()
    const { ver } = await get('')
    for (let i = 0; i <= 200; i++) {
      romeo.send(`<iq type='set' id='a${i}'>${query('', `<item jid='c${i}@x'/>`)}</iq>`)
      romeo.send(`<iq type='set' id='b${i}'>${query('', `<item jid='c${i}@x' subscription='remove'/>`)}</iq>`)
    }
    await romeo.settled()
    const answer = await get(ver)
    expect([answer.roster, answer.pushes]).toEqual([['none stays@x'], []])
    expect((await get(answer.ver)).roster).toBeUndefined()
  })

  it('shows nothing of who has asked and has not been answered', async () => {
    await server.ctl(['register_identified', `asker${n}`, 'localhost', 'pw'])
    const { ver } = await get('')
    const { port } = server
    const user = `asker${n}`
    const asker = await TestClient.login({ port, tls: 'none', user, password: 'pw', mechanism: 'PLAIN' })
    asker.send(`<presence to='romeo${n}@localhost' type='subscribe'/>`)
    await romeo.waitFor(({ attrs }) => attrs['type'] === 'subscribe')
    expect(await get(ver)).toEqual({ roster: undefined, ver: undefined, pushes: [] })
    expect((await get('')).roster).toEqual([])
    await asker.close()
  })
})
