/** People without an account (RFC 4505, XEP-0175): let in where that is configured, and nothing of them stays. */
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child } from '../harness/stanza.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let server: Server
beforeAll(async () => {
  server = await startServer({
    config: {
      hosts: ['localhost', 'guests.example', 'names.example', 'shared.example', 'down.example'],
      auth_password_format: 'plain',
      host_config: {
        localhost: { auth_method: ['anonymous', 'internal'] },
        'guests.example': { auth_method: 'anonymous' },
        'names.example': { auth_method: ['anonymous', 'internal'], anonymous_protocol: 'login_anon' },
        'shared.example': {
          auth_method: 'anonymous',
          anonymous_protocol: 'both',
          allow_multiple_connections: true,
        },
        'down.example': {
          auth_method: ['external', 'anonymous'],
          anonymous_protocol: 'both',
          extauth_program: '/bin/false',
        },
      },
    },
  })
  await server.must('register_identified', 'alice', 'localhost', 'pw')
  await server.must('register_identified', 'alice', 'names.example', 'pw')
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

async function open(domain: string): Promise<TestClient> {
  const client = await TestClient.connect({ port: server.port, domain })
  await client.open()
  await client.startTls()
  return client
}

async function answer(client: TestClient, mechanism: string, text: string): Promise<string> {
  client.send(`<auth xmlns='${sasl}' mechanism='${mechanism}'>${text}</auth>`)
  const got = await client.waitFor(({ xmlns }) => xmlns === sasl)
  return got.name === 'failure' ? (got.children[0]?.name ?? '') : got.name
}

/** A client who has come in by ANONYMOUS and bound. */
async function join(domain: string): Promise<TestClient> {
  const client = await open(domain)
  expect(await answer(client, 'ANONYMOUS', '=')).toBe('success')
  await client.open()
  await client.bind('visit')
  return client
}

async function named(domain: string, user: string, password = 'x'): Promise<TestClient | string> {
  const client = await open(domain)
  const outcome = await answer(client, 'PLAIN', Buffer.from(`\0${user}\0${password}`).toString('base64'))
  if (outcome !== 'success') return outcome
  await client.open()
  await client.bind()
  return client
}

/** Rows of any kind that are kept for a user. */
function kept(user: string): number {
  return keptIn(server, user)
}

function keptIn({ dataDir }: Server, user: string): number {
  const database = new Database(`${dataDir}/gatehouse.sqlite`, { readonly: true })
  try {
    const tables = database
      .prepare(
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'user' WHERE m.type = 'table'",
      )
      .pluck()
      .all() as string[]
    expect(tables.length).toBeGreaterThan(4)
    const count = (table: string) =>
      database.prepare(`SELECT count(*) FROM "${table}" WHERE user = ?`).pluck().get(user) as number
    return tables.reduce((sum, table) => sum + count(table), 0)
  } finally {
    database.close()
  }
}

describe('ANONYMOUS', () => {
  it('stands behind what accounts log in with, and alone where there are none', async () => {
    const beside = (await open('localhost')).mechanisms
    expect(beside).toContain('SCRAM-SHA-256-PLUS')
    expect(beside.at(-1)).toBe('ANONYMOUS')
    expect((await open('guests.example')).mechanisms).toEqual(['ANONYMOUS'])
    expect((await open('names.example')).mechanisms).toEqual(['PLAIN'])
    expect((await open('shared.example')).mechanisms).toEqual(['PLAIN', 'ANONYMOUS'])
  })

  it('gives a name of our own, another one each time', async () => {
    const [one, two] = [await join('guests.example'), await join('guests.example')]
    const names = [one, two].map(({ jid }) => /^(.+)@guests\.example\/visit$/.exec(jid)?.[1] ?? '')
    for (const name of names) expect(name).toMatch(uuid)
    expect(names[0]).not.toBe(names[1])
    one.message(two.jid, 'hello')
    expect(at(await two.waitFor('message'), 'body')?.text).toBe('hello')
    await one.close()
    await two.close()
  })

  it.each([
    ['nothing at first', '', 'challenge'],
    ['a word about itself', Buffer.from('sirhc').toString('base64'), 'success'],
    ['255 characters', Buffer.from('ü'.repeat(255)).toString('base64'), 'success'],
    ['more of them', Buffer.from('ü'.repeat(256)).toString('base64'), 'malformed-request'],
    ['no UTF-8', Buffer.from([0xff]).toString('base64'), 'malformed-request'],
  ])('takes %s', async (_what, text, expected) => {
    expect(await answer(await open('guests.example'), 'ANONYMOUS', text)).toBe(expected)
  })

  it('is not accepted where it is not offered', async () => {
    expect(await answer(await open('names.example'), 'ANONYMOUS', '=')).toBe('invalid-mechanism')
    expect(await answer(await open('guests.example'), 'PLAIN', 'AGEAYg==')).toBe('invalid-mechanism')
  })

  it('leaves accounts beside it as they are', async () => {
    const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
    expect(alice.jid).toMatch(/^alice@localhost\//)
    await alice.close()
  })
})

describe('somebody without an account', () => {
  it('has everything that accounts have while connected, and nothing afterwards, not even in the rosters of others', async () => {
    const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
    const guest = await join('localhost')
    await guest.available()
    const [user = ''] = guest.jid.split('@')
    const bare = `${user}@localhost`
    await alice.iq('get', "<query xmlns='jabber:iq:roster'/>")
    guest.send("<presence to='alice@localhost' type='subscribe'/>")
    await alice.waitFor(({ name, attrs }) => name === 'presence' && attrs['type'] === 'subscribe')
    alice.send(`<presence to='${bare}' type='subscribed'/><presence to='${bare}' type='subscribe'/>`)
    await guest.waitFor(({ attrs }) => attrs['type'] === 'subscribe')
    guest.send("<presence to='alice@localhost' type='subscribed'/>")
    await guest.iq('set', "<vCard xmlns='vcard-temp'><FN>Guest</FN></vCard>")
    await guest.iq('set', "<query xmlns='jabber:iq:private'><x xmlns='mine'/></query>")
    await guest.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='foe@localhost'/></block>")
    await until('the roster of both', async () =>
      (await server.must('get_roster', 'alice', 'localhost')).includes(`${bare}\t\tboth`),
    )
    expect(kept(user)).toBeGreaterThan(3)
    await guest.close()
    await until('nothing to be left', () => kept(user) === 0)
    await until('the contact to be told', async () =>
      (await server.must('get_roster', 'alice', 'localhost')).includes(`${bare}\t\tnone`),
    )
    await alice.close()
  })

  it('gets nothing that was sent while away, and its sender is told', async () => {
    const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
    const guest = await join('localhost')
    const bare = guest.jid.replace(/\/.*/, '')
    // connected, and not available
    alice.message(bare, 'for later')
    const error = await alice.waitFor(({ attrs }) => attrs['type'] === 'error')
    expect(child(child(error, 'error'), 'service-unavailable')).toBeDefined()
    await guest.close()
    alice.message(bare, 'for never')
    await alice.waitFor(({ attrs }) => attrs['type'] === 'error')
    expect(kept(bare.split('@')[0] ?? '')).toBe(0)
    await alice.close()
  })

  it('reaches nobody on other servers', async () => {
    const guest = await join('localhost')
    guest.message('somebody@elsewhere.example', 'hello')
    expect((await guest.waitFor('message')).attrs['type']).toBe('error')
    await guest.close()
  })

  it('is no account for administrators', async () => {
    const guest = await join('guests.example')
    const [user = ''] = guest.jid.split('@')
    expect(await server.must('registered_users', 'guests.example')).toBe('')
    expect((await server.ctl(['change_password', user, 'guests.example', 'secret'])).code).toBe(1)
    expect((await server.ctl(['register_identified', 'new', 'guests.example', 'secret'])).code).toBe(1)
    await guest.close()
  })

  it('cannot come back to a session whose connection was lost', async () => {
    const guest = await join('guests.example')
    guest.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    const enabled = await guest.waitFor('enabled')
    guest.destroy()
    const again = await open('guests.example')
    expect(await answer(again, 'ANONYMOUS', '=')).toBe('success')
    await again.open()
    // it is somebody else now: nobody can prove to have been that one
    again.send(`<resume xmlns='urn:xmpp:sm:3' h='0' previd='${enabled.attrs['id']}'/>`)
    expect((await again.waitFor('failed')).children[0]?.name).toBe('item-not-found')
    await again.close()
  })
})

it('what they leave when the server is killed is gone when it has started again, and nothing else', async () => {
  const folder = temporaryFolder('killed')
  const config = {
    hosts: ['localhost'],
    auth_password_format: 'plain',
    host_config: { localhost: { auth_method: ['anonymous', 'internal'], anonymous_protocol: 'both' } },
  }
  let killed = await startServer({ folder, config })
  try {
    await killed.must('register', 'alice', 'localhost', 'pw')
    const clients = await Promise.all([
      TestClient.login({ port: killed.port, user: 'alice', password: 'pw' }),
      ...['gabe', 'anna'].map((user) =>
        TestClient.login({ port: killed.port, user, password: 'any', mechanism: 'PLAIN' }),
      ),
    ])
    for (const client of clients) {
      await client.iq('set', "<vCard xmlns='vcard-temp'><FN>Somebody</FN></vCard>")
      await client.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='foe@localhost'/></block>")
    }
    await killed.kill()
    // meanwhile one of the names has become an account's
    const database = new Database(`${killed.dataDir}/gatehouse.sqlite`)
    database.exec("INSERT INTO accounts (user, host, created) VALUES ('anna', 'localhost', 1)")
    database.close()
    expect(['gabe', 'anna', 'alice'].map((user) => keptIn(killed, user))).toEqual([3, 4, 4])
    killed = await startServer({ folder, config })
    expect(['gabe', 'anna', 'alice'].map((user) => keptIn(killed, user))).toEqual([0, 3, 4])
    expect(killed.log()).toContain('removed what people without an account had left')
  } finally {
    await killed.stop()
    folder.remove()
  }
})

describe('names of their own choice (login_anon)', () => {
  it('are let in with any password, if the name is nobody else’s', async () => {
    const zoe = await named('names.example', 'zoe')
    expect(zoe).toHaveProperty('jid', expect.stringMatching(/^zoe@names\.example\//))
    expect(await named('names.example', 'Zoe', 'other')).toBe('not-authorized')
    expect(await named('names.example', 'alice', 'x')).toBe('not-authorized')
    const alice = await named('names.example', 'alice', 'pw')
    expect(alice).toHaveProperty('jid')
    await (zoe as TestClient).close()
    expect(await named('names.example', 'zoe')).toHaveProperty('jid')
  })

  it('belong to the first of two who try at once', async () => {
    const clients = await Promise.all([0, 1].map(() => open('names.example')))
    const plain = Buffer.from('\0max\0x').toString('base64')
    expect(await Promise.all(clients.map((client) => answer(client, 'PLAIN', plain)))).toEqual([
      'success',
      'success',
    ])
    for (const client of clients) await client.open()
    const bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    const types = await Promise.all(
      clients.map(async (client) => (await client.iq('set', bind)).attrs['type']),
    )
    expect(types.sort()).toEqual(['error', 'result'])
  })

  it('are taken again where allow_multiple_connections says so', async () => {
    const [one, two] = [await named('shared.example', 'zoe'), await named('shared.example', 'zoe')]
    expect(one).toHaveProperty('jid')
    expect(two).toHaveProperty('jid')
  })

  it('are given to nobody while it cannot be found out whose they are', async () => {
    expect(await named('down.example', 'alice')).toBe('temporary-auth-failure')
  })
})
