import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { commandBackend, commandOptions } from '../../server-core/auth/command.ts'
import { silentLogger } from '../../server-core/log.ts'

const program = join(import.meta.dirname, '../../fixtures/auth-commands/contract.py')
const open: AuthBackend[] = []

function start(options: Record<string, unknown> = {}): AuthBackend {
  const checked = z.strictObject(commandOptions).parse({ command: `python3 '${program}'`, ...options })
  const backend = commandBackend(checked, silentLogger())
  open.push(backend)
  return backend
}

afterEach(async () => {
  for (const backend of open.splice(0)) await backend.close?.()
})

const soon = () => AbortSignal.timeout(10_000)
const host = 'example.org'

/** Asks until the program is there again. */
async function untilAnswered(backend: AuthBackend): Promise<boolean> {
  const end = soon()
  for (;;) {
    try {
      return await backend.accountExists('alice', host, end)
    } catch (error) {
      if (end.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe('a program of somebody else', () => {
  test('says who is who, takes passwords byte by byte, and changes accounts', async () => {
    const backend = start()
    expect(await backend.checkPassword('alice', host, Buffer.from('s:ecret'), soon())).toEqual({ ok: true })
    expect(await backend.checkPassword('alice', host, Buffer.from('wrong'), soon())).toMatchObject({
      ok: false,
      reason: 'wrong',
    })
    expect(await backend.checkPassword('nobody', host, Buffer.from('x'), soon())).toEqual({
      ok: false,
      reason: 'unknown',
    })
    expect(await backend.accountExists('alice', 'example.net', soon())).toBe(false)
    const bytes = Buffer.from([0xff, 0xfe, 0x20])
    expect(await backend.setPassword?.('alice', host, bytes, soon())).toEqual({ ok: true })
    expect(await backend.checkPassword('alice', host, bytes, soon())).toEqual({ ok: true })
    expect(await backend.setPassword?.('nobody', host, bytes, soon())).toEqual({
      ok: false,
      reason: 'unknown',
    })
    expect(await backend.register?.('alice', host, bytes, soon())).toEqual({ ok: false, reason: 'exists' })
    expect(await backend.register?.('bob', host, bytes, soon())).toEqual({ ok: true })
    expect(await backend.remove?.('bob', host, soon())).toEqual({ ok: true })
    expect(await backend.remove?.('bob', host, soon())).toEqual({ ok: false, reason: 'unknown' })
  })

  test('answers many at once, each its own', async () => {
    const backend = start({ in_flight: 4 })
    const users = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? 'alice' : `user${i}`))
    const answers = await Promise.all(users.map((user) => backend.accountExists(user, host, soon())))
    expect(answers).toEqual(users.map((user) => user === 'alice'))
  })

  test('is no "no" when it does not answer in time, and the next request is unharmed', async () => {
    const backend = start()
    expect(await backend.accountExists('alice', host, soon())).toBe(true)
    const late = backend.checkPassword('slow', host, Buffer.from('x'), AbortSignal.timeout(50))
    await expect(late).rejects.toThrow(BackendUnavailable)
    expect(await backend.accountExists('alice', host, soon())).toBe(true)
  })

  test.each(['die', 'garbage'])('is started again after it failed (%s)', async (user) => {
    const backend = start()
    const failed = backend.checkPassword(user, host, Buffer.from('x'), soon())
    await expect(failed).rejects.toThrow(BackendUnavailable)
    expect(await untilAnswered(backend)).toBe(true)
  })

  test('that cannot be started is an outage', async () => {
    const backend = start({ command: '/nonexistent/program' })
    await expect(backend.accountExists('alice', host, soon())).rejects.toThrow(BackendUnavailable)
  })
})
