/** Logins that fail: one line in the log for each, which fail2ban can read; and who guesses has to wait. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { Rig } from '../c2s/rig.ts'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { findProgram } from '../harness/find.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { run } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
const filter = `${root}/docs/examples/fail2ban/filter.d/gatehouse.conf`
const auth = (user: string, password: string) =>
  `<auth xmlns='${sasl}' mechanism='PLAIN'>${Buffer.from(`\0${user}\0${password}`).toString('base64')}</auth>`

/** What a client may call itself so that the log says something else. */
const liars = [
  'al"ice',
  'x","address":"198.51.100.1","msg":"login failed"}',
  'x","condition":"x","address":"198.51.100.1","msg":"login failed"}\n{"user":"y',
  '\\',
  'x\\","address":"198.51.100.1","msg":"login failed"}',
]

describe('each failed login', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer({
      listener: { allow_unencrypted_plain_auth: true },
      config: {
        auth_attempts: 100,
        hosts: ['localhost', 'guests.example'],
        host_config: { 'guests.example': { auth_method: 'anonymous' } },
      },
    })
    await server.must('register_identified', 'alice', 'localhost', 'pw')
  })
  afterAll(async () => {
    expect(await server.stop()).toBe(0)
  })

  /** Lines behind this moment, and what the filter finds in them. */
  function watch() {
    const before = server.log().length
    const expression = /^failregex = (.*)$/m.exec(readFileSync(filter, 'utf8'))?.[1] ?? ''
    const failregex = new RegExp(expression.replace('<HOST>', '(?<host>[0-9a-f.:]+)'))
    const found = () => {
      const lines = server.log().slice(before).split('\n')
      return lines.flatMap((line) => {
        const host = failregex.exec(line)?.groups?.['host']
        if (host === undefined) return []
        const { user, condition, mechanism, host: domain } = JSON.parse(line) as Record<string, string>
        return [{ host, user, condition, mechanism, domain }]
      })
    }
    /** As many as are wanted, or more: the log comes a moment behind the answer. */
    return async (wanted: number) => {
      await until(`${wanted} lines`, () => found().length >= wanted)
      return found()
    }
  }

  async function connect(): Promise<TestClient> {
    const client = await TestClient.connect({ port: server.port })
    await client.open()
    return client
  }

  it.each<[string, string, string, string]>([
    ['a wrong password', auth('alice', 'no'), 'not-authorized', 'alice'],
    ['nobody', auth('nobody', 'no'), 'not-authorized', 'nobody'],
    ['a user that none can have', auth('a@b@c', 'no'), 'malformed-request', ''],
    ['an unknown mechanism', `<auth xmlns='${sasl}' mechanism='X'>AA==</auth>`, 'invalid-mechanism', ''],
    ['bad base64', `<auth xmlns='${sasl}' mechanism='PLAIN'>!</auth>`, 'incorrect-encoding', ''],
  ])('%s is one line that the filter finds', async (_what, text, condition, user) => {
    const found = watch()
    const client = await connect()
    client.send(text)
    await client.waitFor('failure')
    expect(await found(1)).toEqual([
      expect.objectContaining({ host: '127.0.0.1', user, condition, domain: 'localhost' }),
    ])
  })

  it('with SCRAM names the user too', async () => {
    const found = watch()
    const client = await connect()
    await client.authenticate('alice', 'wrong', 'SCRAM-SHA-256').catch(() => undefined)
    expect(await found(1)).toEqual([
      expect.objectContaining({ user: 'alice', mechanism: 'SCRAM-SHA-256', condition: 'not-authorized' }),
    ])
  })

  it('cannot name another address, whatever the client calls itself', async () => {
    const found = watch()
    const client = await connect()
    for (const user of liars) {
      client.send(auth(user, 'no'))
      await client.waitFor('failure')
    }
    expect((await found(liars.length)).map(({ host }) => host)).toEqual(liars.map(() => '127.0.0.1'))
  })

  it('is no line when the login succeeds', async () => {
    const found = watch()
    const client = await connect()
    await client.authenticate('alice', 'pw')
    client.send(auth('alice', 'pw'))
    await client.streamError()
    const other = await connect()
    other.send(auth('alice', 'no'))
    await other.waitFor('failure')
    // only the other one's
    expect(await found(1)).toHaveLength(1)
  })

  describePeer('fail2ban', 'fail2ban itself', () => {
    test('finds the address and the time of each', async () => {
      const folder = temporaryFolder('fail2ban')
      const client = await connect()
      for (const user of ['alice', ...liars]) {
        client.send(auth(user, 'no'))
        await client.waitFor('failure')
      }
      await until('the last line', () => server.log().endsWith('login failed"}'))
      const lines = server
        .log()
        .split('\n')
        .filter((line) => line.startsWith('{'))
      // what the address of a client looks like on a listener for IPv6 as well
      const mapped = lines.map((line) =>
        line.replace(/"127\.0\.0\.1"(?=[^"]*"msg":"login failed"}$)/, '"::ffff:192.0.2.7"'),
      )
      writeFileSync(folder.file('log'), `${[...lines, ...mapped].join('\n')}\n`)
      const regex = findProgram('fail2ban-regex') ?? ''
      const { stdout, stderr, code } = await run(regex, ['--out', 'ip', folder.file('log'), filter])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      const failed = lines.filter((line) => line.endsWith('"msg":"login failed"}')).length
      expect(failed).toBeGreaterThanOrEqual(6)
      const count = (ip: string) => stdout.split('\n').filter((line) => line.trim() === ip).length
      expect(new Set(stdout.trim().split('\n'))).toEqual(new Set(['127.0.0.1', '192.0.2.7']))
      expect(count('127.0.0.1') + count('192.0.2.7')).toBe(2 * failed)
      const { stdout: report } = await run(regex, [folder.file('log'), filter])
      expect(report).toMatch(/Date template hits:\n\|- \[# of hits\] date format\n\|\s+\[\d+\] "time":/)
      folder.remove()
    })
  })
})

describe('somebody who guesses', () => {
  const rigs: Rig[] = []
  afterEach(() => {
    for (const rig of rigs.splice(0)) rig.close()
  })
  let out = false

  async function start(options: Record<string, unknown> = {}): Promise<Rig> {
    out = false
    const rig = await Rig.start({ failed_login_delay: '1 hour', ...options }, undefined, {
      checkPassword: async (_user, _host, password) => {
        if (out) throw new BackendUnavailable('the directory does not answer')
        return password.toString() === 'right' ? { ok: true } : { ok: false, reason: 'wrong' }
      },
    })
    rigs.push(rig)
    return rig
  }

  async function connect(rig: Rig): Promise<TestClient> {
    const client = await TestClient.connect({ port: rig.port, tls: 'none' })
    await client.open()
    return client
  }
  const guess = (rig: Rig, user: string, times: number) => {
    for (let n = 0; n < times; n++) rig.throttle.wrong(user, 'localhost')
  }

  it('is answered at once ten times, then late; who knows the password is let in meanwhile, and ends that', async () => {
    const rig = await start()
    guess(rig, 'alice', 9)
    const [eve, alice] = [await connect(rig), await connect(rig)]
    eve.send(auth('alice', 'tenth'))
    await eve.waitFor('failure')
    guess(rig, 'alice', 20)
    eve.send(auth('alice', 'a later one') + auth('alice', 'the next'))
    alice.send(auth('alice', 'right'))
    await alice.waitFor('success')
    // others are not held, and hear nothing of it
    const bob = await connect(rig)
    bob.send(auth('bob', 'wrong'))
    await bob.waitFor('failure')
    expect(eve.inbox).toEqual([])
    const again = await connect(rig)
    again.send(auth('alice', 'wrong'))
    await again.waitFor('failure')
  })

  it('waits for names that nobody has as well', async () => {
    const rig = await start()
    guess(rig, 'nobody', 30)
    const [eve, bob] = [await connect(rig), await connect(rig)]
    eve.send(auth('nobody', 'x'))
    bob.send(auth('bob', 'x'))
    await bob.waitFor('failure')
    expect(eve.inbox).toEqual([])
  })

  it('costs nothing when the connection ends, and no outage counts', async () => {
    const rig = await start()
    guess(rig, 'alice', 30)
    const eve = await connect(rig)
    eve.send(auth('alice', 'x'))
    eve.destroy()
    while (rig.connected.length > 0) await rig.connected[0]?.over
    out = true
    const bob = await connect(rig)
    bob.send(auth('alice', 'x'))
    expect((await bob.waitFor('failure')).children[0]?.name).toBe('temporary-auth-failure')
  })

  it('is not held where that is switched off', async () => {
    const rig = await start({ failed_login_delay: 0 })
    guess(rig, 'alice', 30)
    const eve = await connect(rig)
    eve.send(auth('alice', 'x'))
    await eve.waitFor('failure')
  })
})
