/**
 * Every hook runs where the manual says, with what it says: a module of somebody else's watches a whole server while people do
 * what people do.
 */
import { writeFileSync } from 'node:fs'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hookNames } from '../../server-core/extend/hooks.ts'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Place, place } from './in-a-folder.ts'

/** Writes every run of every hook to the log, values as texts. */
const watcher = `import { defineModule, Element, Stanza, elementToString, stop } from 'gatehouse-xmpp/module'
const shown = (value) => {
  if (value instanceof Stanza) return elementToString(value.element)
  if (value instanceof Element) return elementToString(value)
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== 'object' || value === null) return value
  if ('deliver' in value) return 'session ' + value.jid.text
  if ('bareText' in value) return value.text
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one)]))
}
export default defineModule({
  name: 'mod_watch', doc: 'Writes down what happens', options: {},
  start(host) {
    host.traceHooks({
      before(hook, at, acc, info) { host.log.warn({ hook, at, acc: shown(acc) ?? 'nothing', in: shown(info) }, 'hook') },
    })
    host.hook('c2s_authenticated_packet', (_, { element }) => element.name === 'active' ? stop() : undefined)
  },
})`

interface Run {
  readonly hook: string
  readonly at: string
  readonly acc: unknown
  readonly in: Readonly<Record<string, unknown>>
}

const shop = 'shop.example'
const roster = 'jabber:iq:roster'
let here: Place
let runs: Run[] = []

/** All that was written down so far. */
function seen(): Run[] {
  return here.server
    .log()
    .split('\n')
    .filter((line) => line.includes('"msg":"hook"'))
    .map((line) => JSON.parse(line) as Run)
}

const happened = (hook: string, ms?: number) =>
  until(`the hook ${hook}`, () => seen().some((run) => run.hook === hook), ms)

function login(user: string, resource: string, available = true): Promise<TestClient> {
  const { port } = here.server
  return TestClient.login({ port, user, password: 'pw', resource, available })
}

const discover = (client: TestClient, what: string, to: string) =>
  client.iq('get', `<query xmlns='http://jabber.org/protocol/disco#${what}'/>`, to)

beforeAll(async () => {
  here = await place(
    { 'watch.js': watcher },
    {
      external_modules: { mod_watch: 'watch.js' },
      host_config: { localhost: { modules: { mod_watch: {}, mod_vcard_xupdate: {} } } },
    },
  )
  const { server, folder } = here
  const { must } = server
  for (const user of ['alice', 'bob', 'carol', 'dora']) await must('register', user, 'localhost', 'pw')

  // somebody who only asks before login
  const stranger = await TestClient.connect({ port: server.port })
  await stranger.open()
  await stranger.startTls()
  stranger.send("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")
  await stranger.closed()

  // messages that wait, a request that waits
  const alice = await login('alice', 'a')
  alice.message('bob@localhost', 'for later')
  alice.send("<presence to='bob@localhost' type='subscribe'/>")
  await alice.iq('set', `<query xmlns='${roster}'><item jid='carol@localhost' name='Carol'/></query>`)
  alice.message('nobody@localhost', 'to nobody')
  alice.message('localhost', 'to the host')
  await alice.settled()

  // bob comes, with contacts, and looks around
  const bob = await login('bob', 'b')
  await bob.iq('get', `<query xmlns='${roster}'/>`)
  bob.send("<presence to='alice@localhost' type='subscribed'/>")
  await bob.settled()
  alice.send("<presence to='bob@localhost' type='probe'/>")
  for (const to of ['localhost', 'bob@localhost']) {
    for (const what of ['info', 'items']) await discover(alice, what, to)
  }
  await discover(bob, 'info', 'bob@localhost')
  await discover(bob, 'items', 'bob@localhost')
  await bob.iq('set', "<vCard xmlns='vcard-temp'><FN>Bob</FN></vCard>")
  await bob.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='mallory@localhost'/></block>")
  bob.send("<active xmlns='urn:xmpp:csi:0'/>")
  await bob.settled()
  bob.send("<presence type='unavailable'><status>tired</status></presence>")
  await bob.settled()

  // carol loses her connection, and comes back
  const carol = await login('carol', 'c')
  carol.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
  const previd = (await carol.waitFor('enabled')).attrs['id'] ?? ''
  carol.destroy()
  await happened('c2s_session_pending')
  const back = await TestClient.connect({ port: server.port })
  await back.open()
  await back.startTls()
  await back.authenticate('carol', 'pw')
  back.send(`<resume xmlns='urn:xmpp:sm:3' h='0' previd='${previd}'/>`)
  await back.waitFor('resumed')
  // and then never acknowledges what she gets
  alice.message('carol@localhost/c', 'well?')
  await happened('c2s_ack_overdue', 20_000)

  // administrators
  await must('change_password', 'dora', 'localhost', 'new')
  await must('kick_user', 'alice', 'localhost')
  await must('unregister', 'dora', 'localhost')
  await must('memory')
  await server.ctl(['abracadabra', 'now'])
  await must('insert_domain', shop)
  const notAfterDate = new Date(Date.now() + 5 * 86_400_000)
  const made = await generate([{ name: 'commonName', value: shop }], { notAfterDate, algorithm: 'sha256' })
  writeFileSync(folder.file('shop.pem'), `${made.cert}\n${made.private}`)
  const options = { certfiles: folder.file('shop.pem'), modules: { mod_watch: {} } }
  await must('configure_domain', shop, JSON.stringify({ ...options, auth_method: 'anonymous' }))
  const guest = await TestClient.connect({ port: server.port, domain: shop })
  await guest.open()
  await guest.startTls()
  guest.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>")
  await guest.waitFor('success')
  await guest.open()
  await guest.bind()
  await guest.close()
  await happened('anonymous_purge_hook')
  await happened('cert_expiring', 20_000)
  await must('delete_domain', shop)

  // somebody says nothing, and does not answer when asked
  here.configure({ ping_interval: 1, ping_timeout: 1, log_file: folder.file('log') })
  here.configure({ log_file: undefined })
  await must('reload_config')
  await login('bob', 'silent')
  await happened('user_ping_timeout', 20_000)
  await server.ctl(['reopen_log'])
  await server.stop()
  runs = seen()
  for (const client of [alice, bob, back, stranger, guest]) client.destroy()
}, 120_000)
afterAll(async () => {
  await here.stop()
})

/** Where a hook runs, with which accumulator at first, with which info: of one run at least. */
const expected: Readonly<Record<string, readonly [at: string, acc: unknown, info: unknown]>> = (() => {
  const nothing = 'nothing'
  const host = 'localhost'
  const bob = { user: 'bob', host }
  const session = 'session bob@localhost/b'
  const discovery = { host, from: 'alice@localhost/a', node: '', lang: expect.any(String) }
  const ofHost = [host, expect.any(Array), { ...discovery, to: host }] as const
  const ofAccount = [
    host,
    expect.any(Array),
    { ...discovery, from: 'bob@localhost/b', to: 'bob@localhost' },
  ] as const
  const registered = {
    sid: expect.any(String),
    jid: 'bob@localhost/b',
    info: expect.objectContaining({ ip: '127.0.0.1' }),
  }
  const carol = { session: 'session carol@localhost/c' }
  const text = expect.any(String)
  return {
    filter_packet: ['', expect.stringContaining('for later'), {}],
    route_registered: ['', nothing, { domain: shop }],
    route_unregistered: ['', nothing, { domain: shop }],
    local_send_to_resource_hook: [host, nothing, { stanza: expect.stringContaining('to the host') }],
    sm_receive_packet: [host, expect.stringContaining('for later'), {}],
    bounce_sm_packet: [host, expect.stringContaining('to nobody'), {}],
    offline_message_hook: [host, nothing, { stanza: expect.stringContaining('for later') }],
    host_up: ['', nothing, { host: shop }],
    host_down: ['', nothing, { host: shop }],
    config_reloaded: ['', nothing, {}],
    server_started: ['', nothing, {}],
    server_stopping: ['', nothing, {}],
    check_bl_c2s: ['', false, { address: '127.0.0.1' }],
    c2s_init: ['', nothing, { sid: text, address: '127.0.0.1' }],
    c2s_stream_features: [
      host,
      expect.arrayContaining([expect.stringContaining('<bind')]),
      { host, authenticated: true },
    ],
    c2s_unauthenticated_iq: [
      host,
      nothing,
      { host, iq: expect.stringContaining('jabber:iq:register'), address: '127.0.0.1' },
    ],
    c2s_auth_result: [
      host,
      nothing,
      { result: 'ok', user: 'bob', mechanism: 'SCRAM-SHA-256', backend: 'internal', address: '127.0.0.1' },
    ],
    c2s_handle_bind: [host, { resource: 'b' }, { sid: text, ...bob, asked: 'b' }],
    forbidden_session_hook: [host, nothing, { jid: 'bob@localhost/b' }],
    sm_register_connection_hook: [host, nothing, registered],
    sm_remove_connection_hook: [host, nothing, { ...registered, jid: 'alice@localhost/a' }],
    c2s_session_opened: [host, nothing, { session }],
    c2s_session_pending: [host, nothing, { ...carol, reason: text }],
    c2s_session_resumed: [host, nothing, carol],
    c2s_closed: [host, nothing, { ...carol, reason: text }],
    c2s_terminated: [
      host,
      nothing,
      { session: 'session alice@localhost/a', reason: expect.stringMatching(/^conflict/) },
    ],
    c2s_authenticated_packet: [
      host,
      nothing,
      { session, element: expect.stringContaining('urn:xmpp:csi:0') },
    ],
    c2s_ack_overdue: [host, nothing, carol],
    user_send_packet: [host, expect.stringContaining('for later'), { session: 'session alice@localhost/a' }],
    user_receive_packet: [host, expect.stringContaining('for later'), { session }],
    c2s_filter_send: [host, expect.stringContaining('for later'), { session }],
    privacy_check_packet: [
      host,
      'allow',
      { ...bob, stanza: expect.stringContaining('for later'), direction: 'in' },
    ],
    privacy_get_user_list: [host, { jids: [] }, bob],
    privacy_updated_list: [host, nothing, { ...bob, before: [], after: ['mallory@localhost'] }],
    c2s_presence_in: [host, nothing, { session, stanza: expect.stringContaining('<presence') }],
    c2s_update_presence: [host, expect.stringContaining('<presence'), { session }],
    c2s_broadcast_recipients: [host, [], { session, presence: expect.stringContaining('<presence') }],
    user_available_hook: [host, nothing, { jid: 'bob@localhost/b' }],
    set_presence_hook: [host, nothing, { session, presence: expect.stringContaining('<presence') }],
    unset_presence_hook: [host, nothing, { jid: 'bob@localhost/b', status: 'tired' }],
    presence_probe_hook: [host, nothing, { from: 'alice@localhost/a', to: 'bob@localhost' }],
    roster_get: [host, expect.any(Array), bob],
    roster_get_subscription_lists: [host, { from: [], to: [] }, bob],
    roster_get_jid_info: [
      host,
      { subscription: 'none', groups: [] },
      { ...bob, jid: expect.stringMatching(/^alice@localhost/) },
    ],
    roster_in_subscription: [host, false, { ...bob, stanza: expect.stringContaining("type='subscribe'") }],
    roster_out_subscription: [
      host,
      nothing,
      { user: 'alice', host, stanza: expect.stringContaining("type='subscribe'") },
    ],
    roster_process_item: [
      host,
      expect.objectContaining({ jid: 'carol@localhost', name: 'Carol' }),
      { user: 'alice', host },
    ],
    roster_get_versioning_feature: [host, [], { host }],
    resend_subscription_requests_hook: [host, [], bob],
    resend_offline_messages_hook: [host, [], { ...bob, session }],
    disco_local_identity: ofHost,
    disco_local_features: ofHost,
    disco_local_items: ofHost,
    disco_sm_identity: ofAccount,
    disco_sm_features: ofAccount,
    disco_sm_items: ofAccount,
    disco_info: [host, [], expect.objectContaining({ host, node: '', lang: text })],
    register_user: [host, nothing, bob],
    remove_user: [host, nothing, { user: 'dora', host }],
    anonymous_purge_hook: [shop, nothing, { user: text, host: shop }],
    set_password: [host, nothing, { user: 'dora', host }],
    sm_kick_user: [host, nothing, { user: 'alice', host }],
    vcard_set: [host, nothing, { ...bob, vcard: expect.stringContaining('<FN>Bob</FN>') }],
    // whoever of those who are there was asked first
    user_ping_timeout: [
      host,
      nothing,
      { jid: expect.stringMatching(/^(bob|carol)@localhost\/(b|c|silent)$/) },
    ],
    api_call: ['', nothing, expect.objectContaining({ command: 'kick_user', result: 'ok' })],
    cert_expiring: [
      '',
      nothing,
      { host: shop, files: [expect.stringContaining('shop.pem')], days: expect.any(Number) },
    ],
    reopen_log_hook: ['', nothing, {}],
    ejabberd_ctl_process: ['', '', { words: ['abracadabra', 'now'], caller: text }],
    memory_holders: [host, expect.any(Array), {}],
  }
})()

describe('each hook', () => {
  test('is looked at here', () => {
    expect(Object.keys(expected).sort()).toEqual([...hookNames].sort())
  })

  test.each(Object.entries(expected))('%s', (hook, [at, acc, info]) => {
    const all = runs
      .filter((run) => run.hook === hook)
      .map((run) => ({ at: run.at, acc: run.acc, in: run.in }))
    expect(all).toContainEqual({ at, acc, in: info })
  })
})
