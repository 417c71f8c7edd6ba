/** Clients that people type into: go-sendxmpp in scripts, profanity in a terminal. */
import { writeFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { findProgram } from '../harness/find.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { describePeer } from '../harness/peers.ts'
import { run } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at } from '../harness/stanza.ts'
import { startTerminal } from '../harness/tmux.ts'

const password = 'secret of alice'

function serverOfThisSuite(): () => Server {
  let server: Server | undefined
  beforeAll(async () => {
    const started = await startServer()
    server = started
    for (const user of ['alice', 'bob']) {
      await started.must('register_identified', user, 'localhost', password)
    }
    return async () => {
      expect(await started.stop()).toBe(0)
    }
  })
  return () => {
    if (server === undefined) throw new Error('the server has not been started')
    return server
  }
}

describePeer('go-sendxmpp', 'go-sendxmpp against gatehouse', () => {
  const server = serverOfThisSuite()

  /** One message from bob to alice; over STARTTLS, or direct TLS with --tls. */
  async function send(text: string, secret: string, ...more: string[]) {
    const folder = temporaryFolder('gosendxmpp')
    const port = more.includes('--tls') ? server().tlsPort : server().port
    const rc = folder.file('rc')
    writeFileSync(rc, `username: bob@localhost\npassword: ${secret}\njserver: 127.0.0.1:${port}\n`, {
      mode: 0o600,
    })
    try {
      return await run(
        findProgram('go-sendxmpp') ?? '',
        ['--file', rc, '--no-tls-verify', ...more, 'alice@localhost'],
        { input: `${text}\n`, env: { HOME: folder.path } },
      )
    } finally {
      folder.remove()
    }
  }

  test.each([
    { how: 'STARTTLS', flags: [] },
    { how: 'direct TLS', flags: ['--tls'] },
  ])('a message from a script arrives over $how', async ({ flags }) => {
    const alice = await TestClient.login({ port: server().port, user: 'alice', password })
    expect(await send('backup done: 3 < 4 & ok', password, ...flags)).toMatchObject({ code: 0 })
    const message = await alice.waitFor('message')
    expect(at(message, 'body')?.text).toBe('backup done: 3 < 4 & ok')
    expect(message.attrs['from']).toMatch(/^bob@localhost\//)
    await alice.close()
  })

  test('a wrong password sends nothing', async () => {
    const alice = await TestClient.login({ port: server().port, user: 'alice', password })
    const result = await send('not to arrive', 'wrong')
    expect(result.code).not.toBe(0)
    expect((await alice.settled()).filter(({ name }) => name === 'message')).toEqual([])
    await alice.close()
  })
})

describePeer('profanity', 'profanity against gatehouse', () => {
  const server = serverOfThisSuite()

  test('a person logs in, talks, and reads why the session ended', async () => {
    const folder = temporaryFolder('profanity')
    const terminal = await startTerminal([findProgram('profanity') ?? ''], {
      HOME: folder.path,
      XDG_CONFIG_HOME: folder.file('config'),
      XDG_DATA_HOME: folder.file('share'),
    })
    const alice = await TestClient.login({ port: server().port, user: 'alice', password, resource: 'test' })
    const enter = async (text: string) => {
      await terminal.type(text)
      await terminal.press('Enter')
    }
    try {
      await terminal.shows('Profanity')
      await enter(`/connect bob@localhost server 127.0.0.1 port ${server().port} tls trust`)
      await terminal.shows(/Enter password/)
      await enter(password)
      await terminal.shows(/logged in successfully/)
      await enter('/msg alice@localhost hello from a terminal')
      const message = await alice.waitFor((stanza) => at(stanza, 'body') !== undefined)
      expect(at(message, 'body')?.text).toBe('hello from a terminal')
      alice.message(message.attrs['from'] ?? '', 'hello from a test')
      await terminal.shows('hello from a test')

      const [resource] = (await server().must('user_resources', 'bob', 'localhost')).split('\n')
      await server().must('kick_session', 'bob', 'localhost', resource ?? '', 'closing for tonight')
      await enter('/win 1')
      await terminal.shows(/Lost connection/i)
    } finally {
      await terminal.stop()
      await alice.close()
      folder.remove()
    }
  }, 60_000)
})
