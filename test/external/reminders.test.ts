/** A module of somebody else's with a hook, an IQ handler, a route, options, a command, a timer and a store, from first to last. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { root } from '../harness/paths.ts'
import { at, child, type Stanza } from '../harness/stanza.ts'
import { type Place, place } from './in-a-folder.ts'

let here: Place | undefined
afterEach(() => here?.stop())

const usual = { mod_ping: {}, mod_disco: {}, mod_roster: {} }
const source = readFileSync(`${root}/fixtures/modules/mod-remind.js`, 'utf8')
const condition = (one: Stanza) => at(one, 'error')?.children[0]?.name
const reminders = "<reminders xmlns='urn:example:remind'/>"

test('is loaded, gets other options and goes, and there is no trace of it', async () => {
  here = await place({ 'm/mod-remind.js': source }, { modules: usual })
  const { server } = here
  await server.must('register', 'alice', 'localhost', 'pw')
  const alice = await TestClient.login({ port: server.port, user: 'alice', password: 'pw' })
  const heard = async (to: string, text: string) => {
    alice.message(to, text)
    const answer = await alice.waitFor('message')
    return condition(answer) ?? at(answer, 'body')?.text
  }
  const traces = async () => ({
    help: (await server.ctl(['help', 'all'])).stdout,
    items: child(
      await alice.iq('get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", 'localhost'),
      'query',
    ),
    info: child(await alice.iq('get', "<query xmlns='http://jabber.org/protocol/disco#info'/>"), 'query'),
    asked: condition(await alice.iq('get', reminders)),
    route: await heard('remind.localhost', 'in 1 ms nothing'),
    message: await heard(alice.jid, 'hello'),
    memory: (await server.must('memory')).split('\n').map((line) => line.split('\t')[0]),
  })
  const before = await traces()
  expect(before).toMatchObject({ asked: 'service-unavailable', message: 'hello' })

  here.configure({
    external_modules: { mod_remind: 'm/mod-remind.js' },
    modules: { ...usual, mod_remind: { every: '100 ms' } },
  })
  await server.must('reload_config')
  // the first comes by itself, when it is time
  expect(await heard('remind.localhost', 'in 100 ms tea')).toBe('tea')
  expect(await heard('remind.localhost', 'nonsense')).toBe('bad-request')
  expect(condition(await alice.iq('get', reminders, 'remind.localhost'))).toBe('feature-not-implemented')
  alice.message('remind.localhost', 'in 600000 ms much later')
  const listed = await alice.iq('get', reminders)
  expect(at(listed, 'reminders')?.children.map(({ text }) => text)).toEqual(['much later'])
  expect(await server.must('reminders', 'alice', 'localhost')).toBe('much later')
  expect((await server.ctl(['reminders', 'bob', 'localhost'])).stderr).toBe('Error: "there is no bob"\n')
  expect(await traces()).not.toEqual(before)

  await server.must('reload_module', 'localhost', 'mod_remind', '{max: 1, signature: " -- A."}')
  expect(await heard(alice.jid, 'hello')).toBe('hello -- A.')
  // what it kept is still there, and counts
  expect(await heard('remind.localhost', 'in 600000 ms one more')).toBe('bad-request')
  await server.must('reload_module', 'localhost', 'mod_remind', '{max: 1}')
  expect(await heard('remind.localhost', 'in 600000 ms one more')).toBe('resource-constraint')
  expect((await server.ctl(['reload_module', 'localhost', 'mod_remind', '{max: 0}'])).stderr).toContain(
    'mod_remind, option max: must be at least 1, not 0',
  )
  expect(await heard('remind.localhost', 'in 600000 ms one more')).toBe('resource-constraint')

  here.configure({ external_modules: {}, modules: usual })
  await server.must('reload_config')
  expect(await server.must('--yes', 'remove_module_data', 'localhost', 'mod_remind')).toBe('1')
  expect(await traces()).toEqual(before)
  // refusals of a route are answers, not faults
  expect(server.log()).not.toContain('"level":"error"')
  alice.destroy()
})
