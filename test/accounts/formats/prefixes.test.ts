/** Which format a value has is decided by how it begins, and by that alone. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { formats, recogniseFormat } from '../../../server-core/accounts/formats/index.ts'
import { root } from '../../harness/paths.ts'

test('no value can begin as two formats do', () => {
  const all = formats.flatMap(({ name, prefixes }) => prefixes.map((prefix) => ({ name, prefix })))
  for (const one of all) {
    const same = all.filter((other) => one !== other && other.prefix.startsWith(one.prefix))
    expect(same, `${one.name}: ${one.prefix}`).toEqual([])
  }
})

test('every format has a beginning, and schemes in braces are written in capitals', () => {
  for (const { name, prefixes } of formats) {
    expect(prefixes.length, name).toBeGreaterThan(0)
    for (const prefix of prefixes) {
      expect(prefix, name).not.toBe('')
      if (prefix.startsWith('{')) expect(prefix).toBe(prefix.toUpperCase())
    }
  }
})

test('the case of a scheme in braces does not matter, nor that of what follows is lost', () => {
  expect(recogniseFormat('{ssha}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr')?.name).toBe('ldap-digest')
  expect(recogniseFormat('{Sha512-Crypt}$6$salt$')?.name).toBe('crypt-scheme')
  expect(recogniseFormat('{blf-crypt.b64}JDI=')?.name).toBe('crypt-scheme')
})

test.each([
  '',
  'password',
  'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d',
  '5d41402abc4b2a76b9719d911017c592',
  '$9$salt$hash',
  '$sha1$40000$salt$hash',
  '{UNKNOWN}value',
  '{SHA',
  'SHA}value',
  ' {SHA}value',
  '*',
  'x',
  '$$',
  'ab1Hv2Lg7ltQo',
  '$2b$'.slice(1),
])('nobody knows %j', (value) => {
  expect(recogniseFormat(value)).toBeUndefined()
})

test('the manual names every format', () => {
  const manual = readFileSync(`${root}/docs/password-formats.md`, 'utf8')
  for (const { name } of formats) expect(manual).toContain(`\`${name}\``)
})
