/** How long a refusal takes does not tell whether the user is there; nothing is sent for that. Only lower bounds are measured. */

import { writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { temporaryFolder } from '../../harness/folder.ts'
import { type TestBackend, testBackend } from './backend.ts'
import { entry, type FakeLdap, fakeLdap, polite, result, type Script } from './fake-ldap.ts'

const dn = 'uid=alice,dc=example,dc=org'
const slow = 300
/** Timers may be early by less than this. */
const slack = 5

const ended: (() => Promise<unknown> | undefined)[] = []
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
})

/** Only alice is there; what `isSlow` says is answered after a while. */
function aliceAlone(isSlow: (dn: string) => boolean): Script {
  const otherwise = polite()
  return async (request, peer) => {
    if (request.name === 'search' && !request.bytes.includes('alice')) {
      peer.send(result(request, 0))
      return
    }
    if (request.name === 'bind' && isSlow(request.dn)) await delay(slow)
    otherwise(request, peer)
  }
}

async function directory(
  script: Script,
  options: Readonly<Record<string, unknown>> = {},
): Promise<{ server: FakeLdap; ldap: TestBackend }> {
  const server = await fakeLdap(script)
  const ldap = testBackend({ ldap_servers: [server.url], ldap_base: 'dc=example,dc=org', ...options })
  ended.push(
    () => ldap.close(),
    () => server.stop(),
  )
  return { server, ldap }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

describe('a user who is not there', () => {
  it('is refused no sooner than a known one with a wrong password, and without a bind', async () => {
    const { server, ldap } = await directory(aliceAlone((name) => name === dn))
    await ldap.login('alice', 'wrong')
    const binds = server.requests.filter(({ name }) => name === 'bind').length
    const ms = await timed(async () => {
      expect(await ldap.login('nobody', 'wrong')).toEqual({ ok: false, reason: 'unknown' })
    })
    expect(ms).toBeGreaterThan(slow - slack)
    expect(server.requests.filter(({ name }) => name === 'bind')).toHaveLength(binds)
  })

  it('is refused like that before anybody was, by the time of our own bind', async () => {
    const folder = temporaryFolder('refusals')
    ended.push(async () => folder.remove())
    writeFileSync(folder.file('password'), 'secret\n')
    const { ldap } = await directory(
      aliceAlone(() => true),
      { ldap_rootdn: 'cn=xmpp', ldap_password_file: folder.file('password') },
    )
    // The connection is there from now on.
    await ldap.exists('alice')
    expect(await timed(() => ldap.login('nobody', 'wrong'))).toBeGreaterThan(slow - slack)
  })

  it('is not waited for longer than the caller waits', async () => {
    const { ldap } = await directory(aliceAlone((name) => name === dn))
    await ldap.login('alice', 'wrong')
    const signal = AbortSignal.timeout(50)
    await expect(ldap.login('nobody', 'wrong', signal)).rejects.toBeDefined()
    expect(signal.aborted).toBe(true)
  })
})

describe('a user who may not come in, whatever the password', () => {
  it.each([
    ['as two entries match', aliceAlone],
    ['as the second filter finds nothing', aliceAlone],
  ])('%s, is refused no sooner either', async (why, script) => {
    const otherwise = script((name) => name === dn)
    const { ldap } = await directory(
      (request, peer) => {
        if (request.name === 'search' && request.bytes.includes('twice')) {
          peer.send(entry(request, 'cn=1', {}), entry(request, 'cn=2', {}), result(request, 0))
        } else if (request.name === 'search' && request.bytes.includes('chat')) {
          peer.send(
            ...(request.bytes.includes('outside') ? [] : [entry(request, 'cn=chat', {})]),
            result(request, 0),
          )
        } else if (request.name === 'search' && request.bytes.includes('outside')) {
          peer.send(entry(request, 'uid=outside', { uid: ['outside'] }), result(request, 0))
        } else otherwise(request, peer)
      },
      { ldap_dn_filter: '(&(cn=chat)(member=%D))' },
    )
    await ldap.login('alice', 'wrong')
    const user = why.includes('two') ? 'twice' : 'outside'
    const ms = await timed(async () => {
      expect(await ldap.login(user, 'right')).toEqual({ ok: false, reason: 'refused' })
    })
    expect(ms).toBeGreaterThan(slow - slack)
  })
})
