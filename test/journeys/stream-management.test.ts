/** Stream management (XEP-0198): a connection is lost, and nothing that was said to its client. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at, child } from '../harness/stanza.ts'

const sm = 'urn:xmpp:sm:3'
let server: Server

beforeAll(async () => {
  server = await startServer({ config: { resume_timeout: 3 } })
  for (const user of ['alice', 'bob']) await server.must('register_identified', user, 'localhost', 'pw')
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

const login = (user: string, more = {}) =>
  TestClient.login({ port: server.port, user, password: 'pw', ...more })

/** A session that can be resumed, and its id. */
async function resumable(user: string, resource: string): Promise<{ client: TestClient; id: string }> {
  const client = await login(user, { resource, available: false })
  client.send(`<enable xmlns='${sm}' resume='true'/>`)
  const enabled = await client.waitFor('enabled')
  expect(enabled.attrs).toMatchObject({ resume: 'true', max: '3' })
  await client.available()
  return { client, id: enabled.attrs['id'] ?? '' }
}

/** A new connection of the account, logged in and not bound. */
async function loggedIn(user: string): Promise<TestClient> {
  const client = await TestClient.connect({ port: server.port })
  await client.open()
  await client.startTls()
  await client.authenticate(user, 'pw')
  return client
}

const body =
  (text: string) => (stanza: { name: string; children: readonly { name: string; text: string }[] }) =>
    stanza.name === 'message' && stanza.children.some((one) => one.name === 'body' && one.text === text)

describe('acknowledgements', () => {
  it('count stanzas both ways', async () => {
    const alice = await login('alice', { resource: 'count', available: false })
    expect(child(alice.features, 'sm', sm)).toBeDefined()
    alice.send(`<enable xmlns='${sm}'/>`)
    expect((await alice.waitFor('enabled')).attrs['id']).toBeUndefined()
    alice.send(`<r xmlns='${sm}'/>`)
    expect((await alice.waitFor('a')).attrs['h']).toBe('0')
    await alice.available()
    alice.message('alice@localhost/count', 'to myself')
    await alice.waitFor(body('to myself'))
    alice.send(`<r xmlns='${sm}'/>`)
    expect((await alice.waitFor('a')).attrs['h']).toBe('2')
    // asked within 2 s of the last stanza that it sent
    await alice.waitFor('r')
    alice.send(`<a xmlns='${sm}' h='2'/>`)
    expect(await alice.settled()).toEqual([])
    await alice.close()
  })

  it('of more than was sent end the stream', async () => {
    const { client } = await resumable('alice', 'too-many')
    client.send(`<a xmlns='${sm}' h='7'/>`)
    const error = await client.waitFor('error')
    expect(error.children.map(({ name }) => name)).toContain('handled-count-too-high')
    await client.closed()
  })

  it('are enabled after binding, and once', async () => {
    const early = await loggedIn('alice')
    early.send(`<enable xmlns='${sm}'/>`)
    expect(child(await early.waitFor('failed'), 'unexpected-request')).toBeDefined()
    early.destroy()
    const { client } = await resumable('alice', 'twice')
    client.send(`<enable xmlns='${sm}'/>`)
    expect((await client.streamError()).condition).toBe('policy-violation')
  })
})

describe('a lost connection', () => {
  it('is continued on another, with everything that was not acknowledged and everything since', async () => {
    const bob = await login('bob')
    const { client: alice, id } = await resumable('alice', 'phone')
    const jid = alice.jid
    bob.message(jid, 'acknowledged')
    await alice.waitFor(body('acknowledged'))
    // its own presence and that message
    alice.send(`<a xmlns='${sm}' h='2'/>`)
    bob.message(jid, 'lost 1')
    bob.message(jid, 'lost 2')
    await alice.waitFor(body('lost 2'))
    alice.destroy()
    bob.message(jid, 'meanwhile')
    await bob.settled()

    const again = await loggedIn('alice')
    again.send(`<resume xmlns='${sm}' previd='${id}' h='2'/>`)
    const resumed = await again.waitFor('resumed')
    expect(resumed.attrs).toMatchObject({ previd: id, h: '1' })
    const heard = []
    for (let i = 0; i < 3; i++) heard.push(at(await again.waitFor('message'), 'body')?.text)
    expect(heard).toEqual(['lost 1', 'lost 2', 'meanwhile'])
    again.jid = jid
    bob.message(jid, 'and now')
    await again.waitFor(body('and now'))
    again.message(bob.jid, 'it is me again')
    expect((await bob.waitFor(body('it is me again'))).attrs['from']).toBe(jid)
    // nobody was told that she had gone
    expect((await bob.settled()).filter(({ name }) => name === 'presence')).toEqual([])
    await again.close()
    await bob.close()
  })

  it('that the server has not noticed is replaced', async () => {
    const { client: alice, id } = await resumable('alice', 'roaming')
    const again = await loggedIn('alice')
    again.send(`<resume xmlns='${sm}' previd='${id}' h='1'/>`)
    await again.waitFor('resumed')
    expect((await alice.streamError()).condition).toBe('conflict')
    again.jid = alice.jid
    again.message(again.jid, 'still there')
    await again.waitFor(body('still there'))
    await again.close()
  })

  it('cannot be continued by another account, nor with an id of nobody', async () => {
    const { client: alice, id } = await resumable('alice', 'mine')
    const bob = await loggedIn('bob')
    for (const previd of [id, 'nobody']) {
      bob.send(`<resume xmlns='${sm}' previd='${previd}' h='0'/>`)
      expect(child(await bob.waitFor('failed'), 'item-not-found')).toBeDefined()
    }
    expect(await bob.bind()).toMatch(/^bob@/)
    alice.message(alice.jid, 'undisturbed')
    await alice.waitFor(body('undisturbed'))
    await bob.close()
    await alice.close()
  })

  it('whose time is over gives its messages back: to another resource, or to the offline store', async () => {
    const bob = await login('bob')
    const { client: alice, id } = await resumable('alice', 'gone')
    alice.destroy()
    bob.message('alice@localhost/gone', 'kept for later')
    await bob.settled()
    // 3 s later the session is over
    await expect
      .poll(() => server.ctl(['num_resources', 'alice', 'localhost']).then(({ stdout }) => stdout.trim()), {
        timeout: 10_000,
      })
      .toBe('0')
    const back = await login('alice', { resource: 'laptop' })
    const message = await back.waitFor(body('kept for later'))
    expect(child(message, 'delay')).toBeDefined()
    expect((await back.settled()).filter(body('kept for later'))).toEqual([])
    await back.close()
    // how far it had got is remembered
    const late = await loggedIn('alice')
    late.send(`<resume xmlns='${sm}' previd='${id}' h='0'/>`)
    expect((await late.waitFor('failed')).attrs['h']).toBe('1')
    late.destroy()
    await bob.close()
  })

  it('of a client that got offline messages and did not acknowledge them leaves them in the store', async () => {
    const bob = await login('bob')
    bob.message('alice@localhost', 'read me')
    await bob.settled()
    const { client: alice } = await resumable('alice', 'first')
    await alice.waitFor(body('read me'))
    alice.send('</stream:stream>')
    await alice.closed()
    const { client: again } = await resumable('alice', 'second')
    await again.waitFor(body('read me'))
    again.send(`<a xmlns='${sm}' h='2'/>`)
    await again.settled()
    await again.close()
    const last = await login('alice', { resource: 'third' })
    expect((await last.settled()).filter(body('read me'))).toEqual([])
    await last.close()
    await bob.close()
  })
})
