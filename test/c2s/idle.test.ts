import { afterEach, describe, expect, it } from 'vitest'
import { watchIdle } from '../../server-core/c2s/idle.ts'
import { Rig } from './rig.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

describe('a client that has been silent for very long', () => {
  it('is asked before it is given up: perhaps this machine has slept, and every client with it', async () => {
    const rig = await Rig.start()
    const alice = await rig.login('alice')
    const session = rig.session(alice)
    session.receiver.lastInput = Date.now() - 3_600_000
    ends.push(watchIdle(rig.sessions, { ack_timeout: 60_000, ping_interval: 300_000, ping_timeout: 60_000 }))
    ends.push(() => rig.close())
    const ping = await alice.waitFor('iq')
    expect(ping.children[0]?.xmlns).toBe('urn:xmpp:ping')
    expect(session.liveness.askedAt).toBeGreaterThan(0)
    alice.send(`<iq type='result' id='${ping.attrs['id']}' to='localhost'/>`)
    await alice.settled()
    expect(session.liveness.askedAt).toBeUndefined()
    expect(session.connection.closed).toBe(false)
  })
})
