/** Two slixmpp clients use the server as people do: contacts, presence, messages, away and back, thrown out. */
import { beforeAll, expect, test } from 'vitest'
import { describePeer } from '../harness/peers.ts'
import { type PythonClient, type PythonEvent, startPython } from '../harness/python.ts'
import { type Server, startServer } from '../harness/server.ts'

const password = 'pässword: 1'

describePeer('slixmpp', 'slixmpp against gatehouse', () => {
  let server: Server

  beforeAll(async () => {
    server = await startServer()
    for (const user of ['alice', 'bob', 'carol']) {
      await server.must('register_identified', user, 'localhost', password)
    }
    return async () => {
      expect(await server.stop()).toBe(0)
    }
  })

  function connect(jid: string, ...more: string[]): PythonClient {
    return startPython('slixmpp_client.py', [jid, '127.0.0.1', String(server.port), ...more], password)
  }

  const from = (jid: string, type?: string) => (event: PythonEvent) =>
    event['from'] === jid && (type === undefined || event['type'] === type)
  const item = (jid: string, subscription: string) => (event: PythonEvent) =>
    event['jid'] === jid && event['subscription'] === subscription

  test('two accounts become contacts, talk, and find what was said while they were away', async () => {
    const alice = connect('alice@localhost/phone')
    let bob = connect('bob@localhost/desk')
    try {
      // Left to itself, slixmpp takes the strongest mechanism that is offered.
      expect(await alice.event('session')).toHaveProperty('mechanism', expect.stringMatching(/^SCRAM-/))
      await bob.event('session')

      alice.command({ do: 'presence', to: 'bob@localhost', type: 'subscribe' })
      await bob.event('presence', from('alice@localhost', 'subscribe'))
      bob.command({ do: 'presence', to: 'alice@localhost', type: 'subscribed' })
      bob.command({ do: 'presence', to: 'alice@localhost', type: 'subscribe' })
      await alice.event('presence', from('bob@localhost', 'subscribed'))
      await alice.event('presence', from('bob@localhost', 'subscribe'))
      alice.command({ do: 'presence', to: 'bob@localhost', type: 'subscribed' })
      await alice.event('roster', item('bob@localhost', 'both'))
      await bob.event('roster', item('alice@localhost', 'both'))
      await alice.event('presence', from('bob@localhost/desk', 'available'))
      await bob.event('presence', from('alice@localhost/phone', 'available'))

      alice.command({ do: 'message', to: 'bob@localhost', body: 'Grüße & <3' })
      expect(await bob.event('message')).toMatchObject({
        from: 'alice@localhost/phone',
        body: 'Grüße & <3',
        delayed: false,
      })
      bob.command({ do: 'message', to: 'alice@localhost/phone', body: 'und zurück' })
      expect(await alice.event('message')).toMatchObject({ from: 'bob@localhost/desk', body: 'und zurück' })

      await bob.stop()
      await alice.event('presence', from('bob@localhost/desk', 'unavailable'))
      alice.command({ do: 'message', to: 'bob@localhost', body: 'first, for later' })
      alice.command({ do: 'message', to: 'bob@localhost', body: 'second, for later' })
      bob = connect('bob@localhost/desk')
      expect(await bob.event('message')).toMatchObject({ body: 'first, for later', delayed: true })
      expect(await bob.event('message')).toMatchObject({ body: 'second, for later', delayed: true })
      await alice.event('presence', from('bob@localhost/desk', 'available'))

      expect(await server.must('stats', 'onlineusers')).toBe('2')
      expect(await server.must('get_roster', 'alice', 'localhost')).toBe('bob@localhost\t\tboth\tnone\t')
      expect(await server.must('user_resources', 'bob', 'localhost')).toBe('desk')

      expect(await server.ctl(['kick_session', 'bob', 'localhost', 'desk', 'go home'])).toEqual({
        code: 0,
        stdout: '',
        stderr: '',
      })
      expect(await bob.event('stream-error')).toMatchObject({ condition: 'conflict', text: 'go home' })
      await alice.event('presence', from('bob@localhost/desk', 'unavailable'))
      expect(await server.must('stats', 'onlineusers')).toBe('1')
    } finally {
      await alice.stop()
      await bob.stop()
    }
  }, 60_000)
})
