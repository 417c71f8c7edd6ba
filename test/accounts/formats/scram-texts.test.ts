/** SCRAM keys in the texts of MongooseIM and Dovecot. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { UnusableCredential } from '../../../server-core/accounts/formats/format.ts'
import { dovecotKeys, mongooseimKeys } from '../../../server-core/accounts/formats/scram-texts.ts'
import { verifyCredential } from '../../../server-core/accounts/password.ts'
import { root } from '../../harness/paths.ts'

const signal = new AbortController().signal

function valuesOf(name: string): { password: string; value: string }[] {
  const text = readFileSync(`${root}/fixtures/passwords/${name}.json`, 'utf8')
  return (JSON.parse(text) as { right: { password: string; value: string }[] }).right
}

test("MongooseIM's keys are those of each hash that SCRAM has here", () => {
  const [old, shared, own] = valuesOf('mongooseim-scram').map(({ value }) => mongooseimKeys(value))
  expect(old?.map(({ hash, iterations }) => [hash, iterations])).toEqual([['SHA-1', 4096]])
  for (const keys of [shared, own]) {
    expect(keys?.map(({ hash }) => hash)).toEqual(['SHA-1', 'SHA-256', 'SHA-512'])
  }
  expect(new Set(shared?.map(({ salt }) => salt.toString('base64'))).size).toBe(1)
  expect(new Set(own?.map(({ salt }) => salt.toString('base64'))).size).toBe(3)
})

test('a scheme of Dovecot in either case has the same keys', () => {
  const value = valuesOf('dovecot-scram')[0]?.value ?? ''
  expect(dovecotKeys(value.replace('SCRAM-SHA', 'scram-sha'))).toEqual(dovecotKeys(value))
})

describe.each(['mongooseim-scram', 'dovecot-scram'])('%s', (format) => {
  test.each(valuesOf(format))('another stored key refuses: $value', async ({ password, value }) => {
    const keys = format === 'dovecot-scram' ? [dovecotKeys(value)] : mongooseimKeys(value)
    let changed = value
    for (const { storedKey } of keys) {
      const other = Buffer.from(storedKey)
      other.writeUInt8(other.readUInt8(7) ^ 1, 7)
      changed = changed.replace(storedKey.toString('base64'), other.toString('base64'))
    }
    expect(changed).not.toBe(value)
    expect(await verifyCredential({ format, value: changed }, Buffer.from(password), signal)).toBe(false)
  })
})

test('fields that are missing, surplus or of the other layout make a value unusable', () => {
  const own = valuesOf('mongooseim-scram')[2]?.value ?? ''
  for (const value of [
    own.replace('|', ''),
    own.replace(',4096,', ',c2FsdA==,4096,'),
    `${own}|x`,
    `${own},x`,
  ]) {
    expect(() => mongooseimKeys(value)).toThrow(UnusableCredential)
  }
})

test('keys of hashes that SCRAM does not have here are told from none', () => {
  expect(() => mongooseimKeys('==MULTI_SCRAM==,4096,==SHA224==c2FsdA==|c2FsdA==|c2FsdA==')).toThrow('SHA-224')
})
