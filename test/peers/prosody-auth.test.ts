/** Debian's Prosody authenticates with gatehouse-extauth by docs/examples/prosody/mod_auth_gatehouse.lua; slixmpp logs in. */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Daemon, lineClient, startDaemon } from '../harness/daemon.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Prosody, startProsody } from '../harness/prosody.ts'
import { type PythonClient, startPython } from '../harness/python.ts'

describePeer(['prosody', 'slixmpp'], 'Prosody with mod_auth_gatehouse', () => {
  let folder: Folder
  let socket: string
  let daemon: Daemon
  let prosody: Prosody
  const clients: PythonClient[] = []

  beforeAll(async () => {
    folder = temporaryFolder('pros')
    socket = folder.file('l')
    writeFileSync(
      folder.file('extauth.yml'),
      'backends: {main: {type: sqlite, file: a.sqlite}}\ndaemon: {line_path: l}\n',
    )
    daemon = await startDaemon(['--config', folder.file('extauth.yml')])
    prosody = await startProsody(
      'localhost',
      `plugin_paths = { "${root}/docs/examples/prosody" }; authentication = "gatehouse"
gatehouse_socket = "${socket}"; gatehouse_timeout = 5`,
    )
  })

  afterAll(async () => {
    for (const client of clients) await client.stop()
    await prosody?.stop()
    await daemon?.stop()
    folder?.remove()
  })

  function connect(user: string, password: string): PythonClient {
    const client = startPython(
      'slixmpp_client.py',
      [`${user}@localhost/test`, '127.0.0.1', String(prosody.port)],
      password,
    )
    clients.push(client)
    return client
  }

  async function ask(request: string): Promise<string> {
    const { socket: connection, write, line } = await lineClient(socket)
    write(`1 ${request}\n`)
    const answer = await line()
    connection.destroy()
    return answer
  }

  test('prosodyctl makes an account, changes its password, and removes it', async () => {
    expect(await prosody.ctl(['adduser', 'bob@localhost'], 'first: word\nfirst: word\n')).toMatchObject({
      code: 0,
    })
    expect(await ask('auth:bob:localhost:first: word')).toBe('1 1')
    const changed = await prosody.ctl(['passwd', 'bob@localhost'], 'second €\nsecond €\n')
    expect(changed).toMatchObject({ code: 0 })
    expect(await ask('auth:bob:localhost:second €')).toBe('1 1')
    expect(await prosody.ctl(['deluser', 'bob@localhost'])).toMatchObject({ code: 0 })
    expect(await ask('isuser:bob:localhost')).toBe('1 0')
  }, 60_000)

  test('logs in with PLAIN, and refuses a wrong password', async () => {
    expect(await ask('tryregister:ann:localhost:pässword: 1')).toBe('1 1')
    expect(await connect('ann', 'pässword: 1').event('session')).toMatchObject({ mechanism: 'PLAIN' })
    expect(await connect('ann', 'wrong').event('failed-auth')).toMatchObject({ condition: 'not-authorized' })
    expect(await connect('nobody', 'wrong').event('failed-auth')).toMatchObject({
      condition: 'not-authorized',
    })
  }, 60_000)

  test('knows who has an account: what is for others comes back', async () => {
    await ask('tryregister:eve:localhost:secret')
    const ann = connect('ann', 'pässword: 1')
    await ann.event('session')
    ann.command({ do: 'message', to: 'eve@localhost', body: 'for later' })
    const eve = connect('eve', 'secret')
    await eve.event('session')
    expect(await eve.event('message')).toMatchObject({ body: 'for later' })
    ann.command({ do: 'message', to: 'ghost@localhost', body: 'for nobody' })
    await until('the question about the other one', () => {
      daemon.child.kill('SIGUSR2')
      return /"isuser deny":[1-9]/.test(daemon.log())
    })
  }, 60_000)

  test('while the daemon is away logins fail for now, and work again with the next daemon', async () => {
    const quiet = connect('ann', 'pässword: 1')
    await quiet.event('session')
    await daemon.stop()
    expect(await connect('ann', 'pässword: 1').event('failed-auth')).toMatchObject({
      condition: 'temporary-auth-failure',
    })
    daemon = await startDaemon(['--config', folder.file('extauth.yml')])
    expect(await connect('ann', 'pässword: 1').event('session')).toMatchObject({ mechanism: 'PLAIN' })
    expect(await connect('ann', 'wrong').event('failed-auth')).toMatchObject({ condition: 'not-authorized' })
  }, 60_000)

  test('a daemon that hangs delays nobody else, and its logins end in time', async () => {
    const online = connect('ann', 'pässword: 1')
    await online.event('session')
    daemon.child.kill('SIGSTOP')
    try {
      const waiting = connect('eve', 'secret')
      online.command({ do: 'message', to: 'ann@localhost/test', body: 'to myself' })
      expect(await online.event('message')).toMatchObject({ body: 'to myself' })
      expect(await waiting.event('failed-auth')).toMatchObject({ condition: 'temporary-auth-failure' })
    } finally {
      daemon.child.kill('SIGCONT')
    }
    await connect('eve', 'secret').event('session')
  }, 60_000)
})
