/** The relay between an XMPP server's pipe and the daemon's socket, with a daemon that the test plays. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

const yes = Buffer.from([0, 2, 0, 1])
const no = Buffer.from([0, 2, 0, 0])
const outage = Buffer.from([0, 2, 0, 2])

const built = temporaryFolder('relay')
const relay = built.file('relay')

beforeAll(() => {
  execFileSync('cc', [
    '-Wall',
    '-Wextra',
    '-Werror',
    '-O2',
    '-o',
    relay,
    join(import.meta.dirname, '../../auth-script/relay/relay.c'),
  ])
})
afterAll(() => built.remove())

let folder: Folder
let socket: string
let daemon: Server | undefined
const started: ExtauthProgram[] = []
const connections = new Set<Socket>()

beforeEach(() => {
  folder = temporaryFolder('relay')
  socket = folder.file('daemon.sock')
})

afterEach(async () => {
  for (const program of started.splice(0)) program.child.kill('SIGKILL')
  await stopDaemon()
  folder.remove()
})

/** A daemon that is asked `op:user:…` and answers with these bytes; undefined = says nothing. */
function startDaemon(answer: (request: string, connection: Socket) => Buffer | undefined): Promise<void> {
  rmSync(socket, { force: true })
  const server = createServer((connection) => {
    connections.add(connection)
    connection.on('error', () => undefined)
    let rest = Buffer.alloc(0)
    connection.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const size = 2 + rest.readUInt16BE(0)
        const said = answer(rest.subarray(2, size).toString(), connection)
        rest = rest.subarray(size)
        if (said) connection.write(said)
      }
    })
  })
  daemon = server
  return new Promise((resolve) => server.listen(socket, resolve))
}

async function stopDaemon(): Promise<void> {
  const server = daemon
  daemon = undefined
  for (const connection of connections) connection.destroy()
  connections.clear()
  await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
}

function start(...options: string[]): ExtauthProgram {
  const program = startExtauth([socket, ...options], relay)
  started.push(program)
  return program
}

const byName = (request: string): Buffer | undefined =>
  request.includes(':alice:') ? yes : request.includes(':nobody:') ? no : outage

describe('the relay', () => {
  it('hands on requests and answers, in order and however they are cut', async () => {
    await startDaemon(byName)
    const program = start('--failure-reply', 'error-frame')
    expect(await program.ask('auth:alice:example.org:a:b')).toBe('yes')
    expect(await program.ask('isuser:nobody:example.org')).toBe('no')
    expect(await program.ask('isuser:bob:example.org')).toBe('0002')
    const bytes = Buffer.concat([frame('isuser:alice:x'), frame('isuser:nobody:x'), frame('isuser:alice:x')])
    for (const byte of bytes) program.write(Buffer.from([byte]))
    expect([await program.answer(), await program.answer(), await program.answer()]).toEqual([
      'yes',
      'no',
      'yes',
    ])
    expect(await program.ask(Buffer.concat([Buffer.from('auth:alice:x:'), Buffer.alloc(65_000, 'p')]))).toBe(
      'yes',
    )
    expect(await program.close()).toBe(0)
  })

  it('says "no" where it may not say "failure", and is none the worse', async () => {
    await startDaemon(() => outage)
    expect(await start().ask('auth:alice:x:p')).toBe('no')
  })

  it('outlives a daemon that is down, and finds the next one', async () => {
    const program = start('--deadline', '300')
    expect(await program.ask('auth:alice:x:p')).toBe('no')
    await startDaemon(byName)
    expect(await program.ask('auth:alice:x:p')).toBe('yes')
    await stopDaemon()
    expect(await program.ask('auth:alice:x:p')).toBe('no')
    await startDaemon(byName)
    expect(await program.ask('auth:alice:x:p')).toBe('yes')
    expect(program.child.exitCode).toBeNull()
  })

  it('makes a change with the daemon that is there now, when the one before it has ended', async () => {
    await startDaemon(byName)
    const program = start('--failure-reply', 'error-frame')
    expect(await program.ask('setpass:alice:x:p')).toBe('yes')
    await stopDaemon()
    await startDaemon(byName)
    expect(await program.ask('setpass:alice:x:p')).toBe('yes')
  })

  it('waits for a daemon that is being started', async () => {
    const program = start()
    const asked = program.ask('auth:alice:x:p')
    await startDaemon(byName)
    expect(await asked).toBe('yes')
  })

  it('asks a question again when the daemon goes away over it, a change never', async () => {
    const seen: string[] = []
    await startDaemon((request, connection) => {
      seen.push(request)
      if (seen.filter((other) => other === request).length > 1) return yes
      connection.destroy()
      return undefined
    })
    const program = start('--failure-reply', 'error-frame')
    expect(await program.ask('auth:alice:x:p')).toBe('yes')
    expect(await program.ask('setpass:alice:x:p')).toBe('0002')
    expect(seen.filter((request) => request.startsWith('setpass'))).toHaveLength(1)
    expect(await program.ask('isuser:alice:x')).toBe('yes')
  })

  it('takes no answer that is late for that of the next request', async () => {
    await startDaemon((request, connection) => {
      if (!request.includes('slow')) return no
      setTimeout(() => connection.write(yes), 300)
      return undefined
    })
    const program = start('--deadline', '100', '--failure-reply', 'error-frame')
    expect(await program.ask('auth:slow:x:p')).toBe('0002')
    for (let i = 0; i < 5; i++) expect(await program.ask('auth:bob:x:p', 2_000)).toBe('no')
  })

  it.each([
    ['a length that is none of an answer', Buffer.from([0, 9, 0, 1])],
    ['a payload that is none', Buffer.from([0, 2, 1, 1])],
    ['text', Buffer.from('yes\n')],
  ])('takes %s for no answer', async (_, bytes) => {
    await startDaemon(() => bytes)
    expect(await start('--failure-reply', 'error-frame').ask('setpass:alice:x:p')).toBe('0002')
  })

  it('leaves the daemon when the server has closed, so that nothing is changed for nobody', async () => {
    let left: () => void = () => undefined
    const gone = new Promise<void>((resolve) => {
      left = resolve
    })
    await startDaemon((_, connection) => {
      connection.once('close', left)
      return undefined
    })
    const program = start()
    program.write(frame('setpass:alice:x:p'))
    await expect.poll(() => connections.size).toBe(1)
    program.child.stdin?.end()
    await gone
    await program.end
  })

  it('ends with 1 when the input ends inside a request, and when nobody reads', async () => {
    await startDaemon(byName)
    const cut = start()
    cut.write(frame('auth:alice:x:p').subarray(0, 5))
    expect(await cut.close()).toBe(1)
    const deaf = start()
    deaf.child.stdout?.destroy()
    deaf.write(frame('auth:alice:x:p'))
    deaf.write(frame('auth:alice:x:p'))
    expect(await deaf.end).toBe(1)
  })

  it('says how it is used, and is slow to end when a server starts it wrongly', async () => {
    const program = startExtauth(['--nonsense'], relay)
    started.push(program)
    await expect.poll(() => program.log()).toMatch(/usage: gatehouse-extauth relay SOCKET/)
    expect(program.child.exitCode).toBeNull()
  })
})
