/** Several servers, servers that go and come back, and what happens to requests meanwhile. */
import { writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { BackendUnavailable } from '../../../server-core/auth/backend.ts'
import { before, until } from '../../harness/deadline.ts'
import { temporaryFolder } from '../../harness/folder.ts'
import { freePorts } from '../../harness/ports.ts'
import { type TestBackend, testBackend } from './backend.ts'
import { type FakeLdap, fakeLdap, polite, result, type Script } from './fake-ldap.ts'

const ended: (() => Promise<unknown> | undefined)[] = []
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
})

async function fake(script?: Script, options?: Parameters<typeof fakeLdap>[1]): Promise<FakeLdap> {
  const server = await fakeLdap(script, options)
  ended.push(() => server.stop())
  return server
}

function backend(urls: readonly string[], options: Readonly<Record<string, unknown>> = {}): TestBackend {
  const made = testBackend({
    ldap_servers: urls,
    ldap_base: 'dc=example,dc=org',
    ldap_timeout: '10 s',
    ...options,
  })
  ended.push(() => made.close?.())
  return made
}

/** Takes connections and never says anything: a server that hangs. */
async function deafServer(): Promise<{ url: string; open(): number }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.resume()
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ended.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return {
    url: `ldap://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    open: () => sockets.size,
  }
}

describe('several servers', () => {
  it('are asked in the order of the list', async () => {
    const [first, second] = [await fake(), await fake()]
    const ldap = backend([first.url, second.url])
    for (let n = 0; n < 3; n++) expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(second.connections).toBe(0)
  })

  it('step in for each other, and the first one is preferred again within 4 s of its return', async () => {
    const [port = 0] = await freePorts(1)
    const second = await fake()
    const ldap = backend([`ldap://127.0.0.1:${port}`, second.url])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(second.requests.length).toBeGreaterThan(0)
    const first = await fake(polite(), { port })
    await until(
      'the first server to be asked again',
      async () => {
        expect(await ldap.login('alice', 'wrong')).toEqual({ ok: false, reason: 'wrong' })
        return first.requests.some(({ password }) => password === 'wrong')
      },
      4_000,
    )
    await first.stop()
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(ldap.log.map(({ msg }) => msg)).toContain('the directory answers again')
  })

  it('are all out: that is an outage and no answer, and it ends by itself', async () => {
    const [one = 0, two = 0] = await freePorts(2)
    const ldap = backend([`ldap://127.0.0.1:${one}`, `ldap://127.0.0.1:${two}`])
    const error: unknown = await ldap.login('alice', 'right').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(BackendUnavailable)
    expect(String(error)).toMatch(/connection refused.*connection refused/)
    await expect(ldap.exists('alice')).rejects.toBeInstanceOf(BackendUnavailable)
    await fake(polite(), { port: two })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
  })

  it('of which one hangs: nobody waits for it twice', async () => {
    const deaf = await deafServer()
    const ldap = backend([deaf.url, (await fake()).url], { ldap_operation_timeout: '1500 ms' })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    const waiting = deaf.open()
    expect(await ldap.login('alice', 'wrong')).toEqual({ ok: false, reason: 'wrong' })
    expect(deaf.open()).toBeLessThanOrEqual(waiting)
    expect(ldap.log.filter(({ msg }) => msg === 'a directory is out')).toHaveLength(1)
  })

  it('of which one refuses us: the other one is asked', async () => {
    const strict = await fake((request, { send }) => send(result(request, 49)))
    const folder = passwordFile('secret')
    const ldap = backend([strict.url, (await fake()).url], {
      ldap_rootdn: 'cn=reader',
      ldap_password_file: folder,
    })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    const alone = backend([strict.url], { ldap_rootdn: 'cn=reader', ldap_password_file: folder })
    await expect(alone.login('alice', 'right')).rejects.toThrow(/refuses ldap_rootdn/)
  })
})

describe('a server that restarts', () => {
  it('is asked on new connections at once', async () => {
    const [port = 0] = await freePorts(1)
    const first = await fakeLdap(polite(), { port })
    const ldap = backend([`ldap://127.0.0.1:${port}`])
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    await first.stop()
    await fake(polite(), { port })
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
    expect(await ldap.login('alice', 'wrong')).toEqual({ ok: false, reason: 'wrong' })
  })

  it('that forgot a connection is asked on a new one', async () => {
    let isFirst = true
    const server = await fake((request, peer) => {
      if (request.name === 'search' && isFirst) {
        isFirst = false
        peer.socket.destroy()
      } else polite()(request, peer)
    })
    expect(await backend([server.url]).login('alice', 'right')).toEqual({ ok: true })
  })

  it('that forgot all connections is not asked on another old one', async () => {
    const old = new Set<unknown>()
    let isForgetful = false
    const server = await fake((request, peer) => {
      if (!isForgetful) old.add(peer.socket)
      if (!isForgetful || !old.has(peer.socket)) polite()(request, peer)
    })
    const ldap = backend([server.url], { ldap_operation_timeout: '1500 ms' })
    const logins = await Promise.all([1, 2, 3].map(() => ldap.login('alice', 'right')))
    expect(logins.every(({ ok }) => ok)).toBe(true)
    isForgetful = true
    expect(await ldap.login('alice', 'right')).toEqual({ ok: true })
  })

  it('that always hangs up is asked twice and no more', async () => {
    const server = await fake((_, { socket }) => socket.destroy())
    await expect(backend([server.url]).login('alice', 'right')).rejects.toBeInstanceOf(BackendUnavailable)
    expect(server.requests).toHaveLength(2)
  })
})

describe('a change', () => {
  const password = Buffer.from('a new one')
  const never = new AbortController().signal

  function writer(server: FakeLdap, options: Readonly<Record<string, unknown>> = {}) {
    return backend([server.url], {
      ldap_rootdn: 'cn=admin',
      ldap_password_file: passwordFile('secret'),
      ldap_writes: ['setpass', 'tryregister', 'removeuser'],
      ldap_new_entries: 'ou=new,dc=example,dc=org',
      ...options,
    })
  }

  it('is not offered unless it is switched on', async () => {
    const reader = backend([(await fake()).url])
    expect([reader.setPassword, reader.register, reader.remove]).toEqual([undefined, undefined, undefined])
  })

  it('is sent once, whatever happens to its answer', async () => {
    const server = await fake((request, peer) => {
      if (request.name === 'extended' || request.name === 'delete') peer.socket.destroy()
      else polite()(request, peer)
    })
    const ldap = writer(server)
    await expect(ldap.setPassword?.('alice', 'example.org', password, never)).rejects.toThrow(
      BackendUnavailable,
    )
    await expect(ldap.remove?.('alice', 'example.org', never)).rejects.toThrow(BackendUnavailable)
    const changes = server.requests.filter(({ name }) => name === 'extended' || name === 'delete')
    expect(changes).toHaveLength(2)
  })

  it('is not sent when whoever asked has gone meanwhile', async () => {
    const gone = new AbortController()
    const server = await fake((request, peer) => {
      polite()(request, peer)
      if (request.name === 'search') gone.abort(new Error('gone'))
    })
    const ldap = writer(server)
    await expect(ldap.remove?.('alice', 'example.org', gone.signal)).rejects.toThrow('gone')
    expect(server.requests.some(({ name }) => name === 'delete')).toBe(false)
    const searches = () => server.requests.filter(({ name }) => name === 'search').length
    expect(await ldap.exists('alice')).toBe(true) // so that there is a connection to send it on
    const before = searches()
    await expect(ldap.remove?.('alice', 'example.org', gone.signal)).rejects.toThrow('gone')
    await expect(ldap.setPassword?.('alice', 'example.org', password, gone.signal)).rejects.toThrow('gone')
    expect(await ldap.exists('alice')).toBe(true)
    expect(searches()).toBe(before + 1)
  })

  it('of a new user is taken back when the password is refused', async () => {
    const server = await fake((request, peer) => {
      if (request.name === 'search') peer.send(result(request, 0))
      else if (request.name === 'extended') peer.send(result(request, 19, { diagnostic: 'too short' }))
      else polite()(request, peer)
    })
    const ldap = writer(server)
    const verdict = await ldap.register?.('carol', 'example.org', password, never)
    expect(verdict).toEqual({ ok: false, reason: 'refused' })
    const names = server.requests.map(({ name }) => name)
    expect(names.slice(-3)).toEqual(['add', 'extended', 'delete'])
  })
})

it('can be closed while a connection is being made', async () => {
  const deaf = await deafServer()
  const ldap = backend([deaf.url.replace('ldap:', 'ldaps:')], {
    ldap_connect_timeout: '60 s',
    ldap_timeout: '60 s',
  })
  const controller = new AbortController()
  const login = ldap.login('alice', 'right', controller.signal)
  await until('a connection', () => deaf.open() > 0)
  controller.abort(new Error('enough'))
  await expect(before(5_000, 'an end', login)).rejects.toThrow('enough')
  await until('the connection to be closed', () => deaf.open() === 0)
})

function passwordFile(password: string): string {
  const folder = temporaryFolder('ldap')
  ended.push(async () => folder.remove())
  writeFileSync(folder.file('password'), `${password}\n`)
  return folder.file('password')
}
