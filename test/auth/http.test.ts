import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { type AuthBackend, BackendUnavailable } from '../../server-core/auth/backend.ts'
import { httpBackend, httpOptions } from '../../server-core/auth/http.ts'
import { temporaryFolder } from '../harness/folder.ts'

type Answer = (
  request: Record<string, unknown>,
  response: ServerResponse,
  headers: IncomingMessage['headers'],
) => void

const servers: Server[] = []
const backends: AuthBackend[] = []

afterEach(async () => {
  for (const backend of backends.splice(0)) await backend.close?.()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** A web application of somebody's, and our backend for it. */
async function application(answer: Answer, options: Record<string, unknown> = {}): Promise<AuthBackend> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      answer(
        JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
        response,
        request.headers,
      )
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth`
  const backend = httpBackend(z.strictObject(httpOptions).parse({ url, ...options }))
  backends.push(backend)
  return backend
}

const json = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}
const soon = () => AbortSignal.timeout(10_000)

describe('a web application', () => {
  test('is posted one object a request, with the token of the file', async () => {
    const folder = temporaryFolder('http')
    onTestFinished(folder.remove)
    const file = folder.file('token')
    await writeFile(file, 'first\n')
    const seen: unknown[] = []
    const backend = await application(
      (request, response, headers) => {
        seen.push(request, headers.authorization)
        json(response, { result: true })
      },
      { token_file: file },
    )
    expect(await backend.checkPassword('alice', 'example.org', Buffer.from('s:€'), soon())).toEqual({
      ok: true,
    })
    await writeFile(file, 'second')
    await backend.checkPassword('alice', 'example.org', Buffer.from([0xff]), soon())
    expect(seen).toEqual([
      { op: 'auth', user: 'alice', host: 'example.org', password: 's:€' },
      'Bearer first',
      { op: 'auth', user: 'alice', host: 'example.org', password_base64: '/w==' },
      'Bearer second',
    ])
  })

  test('that closes a kept connection just then is asked again; a change is sent once, on a new connection', async () => {
    const seen: string[] = []
    const used = new Set<unknown>()
    const backend = await application((request, response) => {
      const isKept = used.has(response.socket)
      used.add(response.socket)
      seen.push(`${request['op']} on a ${isKept ? 'kept' : 'new'} connection`)
      if (isKept) response.socket?.destroy()
      else json(response, { result: true })
    })
    const password = Buffer.from('secret')
    expect(await backend.checkPassword('alice', 'example.org', password, soon())).toEqual({ ok: true })
    expect(await backend.checkPassword('alice', 'example.org', password, soon())).toEqual({ ok: true })
    expect(await backend.accountExists('alice', 'example.org', soon())).toBe(true)
    expect(await backend.setPassword?.('alice', 'example.org', password, soon())).toEqual({ ok: true })
    expect(seen).toEqual([
      'auth on a new connection',
      'auth on a kept connection',
      'auth on a new connection',
      'isuser on a new connection',
      'isuser on a kept connection',
      'isuser on a new connection',
      'setpass on a new connection',
    ])
  })

  test('that always hangs up is an outage', async () => {
    let asked = 0
    const backend = await application((_, response) => {
      asked++
      response.socket?.destroy()
    })
    await expect(backend.accountExists('alice', 'example.org', soon())).rejects.toThrow(BackendUnavailable)
    expect(asked).toBe(1)
  })

  test('says no, with or without a reason', async () => {
    const backend = await application((request, response) =>
      json(response, {
        result: false,
        ...(request['user'] === 'gone' && { reason: 'disabled' }),
        ...(request['user'] === 'odd' && { reason: 'of no known kind' }),
      }),
    )
    const ask = (user: string) => backend.checkPassword(user, 'example.org', Buffer.from('x'), soon())
    expect(await ask('gone')).toEqual({ ok: false, reason: 'disabled', maybeUnknown: true })
    expect(await ask('odd')).toMatchObject({ ok: false, reason: 'wrong' })
    expect(await ask('alice')).toMatchObject({ ok: false, reason: 'wrong' })
  })

  const failures: Readonly<Record<string, Answer>> = {
    'status 500': (_, response) => json(response, { result: true }, 500),
    'status 401': (_, response) => json(response, { result: false }, 401),
    'a redirect': (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'no JSON': (_, response) => void response.end('true'),
    'no result': (_, response) => json(response, { ok: true }),
    'a result that is no boolean': (_, response) => json(response, { result: 'true' }),
    'an answer without end': (_, response) => {
      response.write('{"result": true')
      for (let i = 0; i < 5; i++) response.write(' '.repeat(20_000))
    },
    'an answer that breaks off': (_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{"result": true}', () => response.destroy())
    },
    'a closed connection': (_, response) => void response.destroy(),
  }

  test.each(Object.entries(failures))('cannot be understood: %s is neither yes nor no', async (_, answer) => {
    const backend = await application(answer)
    const asked = backend.checkPassword('alice', 'example.org', Buffer.from('x'), soon())
    await expect(asked).rejects.toThrow(BackendUnavailable)
  })

  test('that does not answer in time is an outage', async () => {
    const backend = await application(() => undefined)
    const asked = backend.accountExists('alice', 'example.org', AbortSignal.timeout(50))
    await expect(asked).rejects.toThrow(BackendUnavailable)
  })

  test('that is not there is an outage, and is asked again when it is', async () => {
    const backend = httpBackend(z.strictObject(httpOptions).parse({ url: 'http://127.0.0.1:1/' }))
    backends.push(backend)
    await expect(backend.accountExists('alice', 'example.org', soon())).rejects.toThrow(/cannot be reached/)
  })
})
