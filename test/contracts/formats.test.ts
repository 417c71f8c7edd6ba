/** Every password format verifies its vectors (fixtures/passwords), refuses everything else, and verifies what it makes. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { UnusableCredential } from '../../server-core/accounts/formats/format.ts'
import { formats, recogniseFormat } from '../../server-core/accounts/formats/index.ts'
import { verifyCredential } from '../../server-core/accounts/password.ts'
import { root } from '../harness/paths.ts'

interface Vectors {
  readonly right: readonly { source: string; password?: string; passwordHex?: string; value: string }[]
  /** Values that look like this format and can never be verified. */
  readonly unusable: readonly string[]
}

const folder = `${root}/fixtures/passwords`
const signal = new AbortController().signal

function vectorsOf(name: string): Vectors {
  return JSON.parse(readFileSync(`${folder}/${name}.json`, 'utf8')) as Vectors
}

test('there are vectors for every format, and no others; the table is in order', () => {
  const names = formats.map((format) => format.name)
  expect(readdirSync(folder).toSorted()).toEqual(names.map((name) => `${name}.json`))
  expect(names).toEqual(names.toSorted())
})

describe.each(formats.map((format) => [format.name, format] as const))('%s', (name, format) => {
  const { right, unusable } = vectorsOf(name)

  test.each(right)('verifies: $source', async ({ password, passwordHex, value }) => {
    const bytes = passwordHex === undefined ? Buffer.from(password ?? '') : Buffer.from(passwordHex, 'hex')
    expect(await verifyCredential({ format: name, value }, bytes, signal)).toBe(true)
    const others = [Buffer.alloc(0), bytes.subarray(0, bytes.length - 1).subarray(0, 71), Buffer.from(value)]
    for (const other of others.filter((one) => !one.equals(bytes))) {
      expect(await verifyCredential({ format: name, value }, other, signal), other.toString()).toBe(false)
    }
    expect(recogniseFormat(value)?.name).toBe(name)
  })

  test.each(unusable)('says that it cannot use %s', async (value) => {
    const verifying = verifyCredential({ format: name, value }, Buffer.from('password'), signal)
    await expect(verifying).rejects.toThrow(UnusableCredential)
    if (value !== '') await expect(verifying).rejects.not.toThrow(value)
  })

  test('gives up when nobody waits any more', async () => {
    const value = right[0]?.value
    const late = AbortSignal.abort(new Error('too late'))
    if (name === 'plain' || value === undefined) return
    await expect(verifyCredential({ format: name, value }, Buffer.from('x'), late)).rejects.toThrow(
      'too late',
    )
  })

  test('verifies what it makes', { timeout: 30_000 }, async () => {
    if (format.make === undefined) return
    for (const password of ['x', 'cr\u00eape', 'y'.repeat(71), 'z'.repeat(72), `${'z'.repeat(72)}!`]) {
      const value = await format.make(Buffer.from(password), signal)
      expect(recogniseFormat(value)?.name).toBe(name)
      expect(format.isCurrent?.(value) ?? true).toBe(true)
      expect(await verifyCredential({ format: name, value }, Buffer.from(password), signal)).toBe(true)
      expect(await verifyCredential({ format: name, value }, Buffer.from(`${password}?`), signal)).toBe(false)
    }
  })
})

test('a format that nobody knows verifies nothing', async () => {
  const verifying = verifyCredential({ format: 'md6', value: 'password' }, Buffer.from('password'), signal)
  await expect(verifying).rejects.toThrow(UnusableCredential)
  expect(recogniseFormat('password')).toBeUndefined()
})
