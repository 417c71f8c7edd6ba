/** Whatever is stored: a check of a password ends with no, or with a value that cannot be used. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type PasswordFormat, UnusableCredential } from '../../../server-core/accounts/formats/format.ts'
import { formats } from '../../../server-core/accounts/formats/index.ts'
import { root } from '../../harness/paths.ts'

interface Vector {
  readonly source: string
  readonly password?: string
  readonly passwordHex?: string
  readonly value: string
}

const signal = new AbortController().signal
const timeout = 60_000

/** Values whose check takes a good part of a second: another one with less cost goes the same way. */
const costly =
  /m=\d{4,}|rounds=\d{5,}|\$(?:390000|600000|20000|16384)\$|i=600000|ln=16|\$2[aby]\$(?:0[7-9]|1\d)|r=12/

function vectorsOf(format: PasswordFormat): Vector[] {
  const text = readFileSync(`${root}/fixtures/passwords/${format.name}.json`, 'utf8')
  return (JSON.parse(text) as { right: Vector[] }).right
}

function passwordOf({ password, passwordHex }: Vector): Buffer {
  return passwordHex === undefined ? Buffer.from(password ?? '') : Buffer.from(passwordHex, 'hex')
}

async function outcome(format: PasswordFormat, value: string, password: Buffer): Promise<string> {
  try {
    return (await format.verify(value, password, signal)) ? 'right' : 'wrong'
  } catch (error) {
    expect(error).toBeInstanceOf(UnusableCredential)
    return 'unusable'
  }
}

/** What different spellings of the same value have in common. */
function canonical(format: PasswordFormat, value: string): string {
  const isHex =
    /^\{[^}]*\.HEX\}|^\{PBKDF2\}\$1\$|^\{(?:PLAIN-MD5|SHA256)\}[0-9a-f]{32}|^hex-|^(?:md5|sha1)\$/i
  const text = value
    .replace(/^\{[^}]*\}/, (scheme) => (format.name === 'crypt-scheme' ? '' : scheme.toUpperCase()))
    .replace(/^\{SHA1\}/, '{SHA}')
    .replace(/\$2[aby]\$/, '$2$')
    .replace(/^(U?)\$[PH]\$/, '$1$P$')
  return isHex.test(value) ? text.toLowerCase() : text
}

/** What is behind Nextcloud's salt. */
function hashOf(value: string): string {
  return value.replace(/^nextcloud:.*:/s, '')
}

const character = fc.oneof(
  fc.constantFrom(...'$,=:|./{}+-!*0189afAFzZ'),
  fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  fc.constantFrom('\0', '\n', '\u00e9', '\ud800', '\u{1f600}'),
)

interface Mutation {
  readonly at: number
  readonly kind: 'replace' | 'insert' | 'delete' | 'cut' | 'double' | 'flip'
  readonly character: string
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  kind: fc.constantFrom<Mutation['kind'][]>('replace', 'insert', 'delete', 'cut', 'double', 'flip'),
  character,
})

function mutate(value: string, { at, kind, character }: Mutation): string {
  const index = Math.floor(at * value.length)
  const [before, here, after] = [value.slice(0, index), value.charAt(index), value.slice(index + 1)]
  if (kind === 'replace') return before + character + after
  if (kind === 'insert') return before + character + here + after
  if (kind === 'delete') return before + after
  if (kind === 'cut') return before
  if (kind === 'double') return before + here + here + after
  return before + String.fromCharCode(here.charCodeAt(0) ^ 1) + after
}

const secret = formats.filter(({ name }) => name !== 'plain').map((format) => [format.name, format] as const)

test.each(secret)('%s: a value at random is never right', { timeout }, async (_, format) => {
  const body = fc.array(character, { maxLength: 120 }).map((characters) => characters.join(''))
  const digits = fc.stringMatching(/^[./0-9A-Za-z]{0,100}$/)
  const value = fc
    .tuple(fc.constantFrom('', ...format.prefixes), fc.oneof(body, digits))
    .map(([prefix, rest]) => prefix + rest)
  await fc.assert(
    fc.asyncProperty(value, fc.uint8Array({ maxLength: 100 }), async (stored, password) => {
      expect(await outcome(format, stored, Buffer.from(password))).not.toBe('right')
    }),
    { numRuns: 300 },
  )
})

/** Of SCRAM's keys a password proves one only, see scram-texts.test.ts; plain passwords are not derived from. */
const ofBytes = formats
  .filter(({ of }) => of === 'bytes')
  .map(
    (format) => [format.name, format, vectorsOf(format).filter(({ value }) => !costly.test(value))] as const,
  )
  .filter(([, , vectors]) => vectors.length > 0)

describe.each(ofBytes)('%s', (_, format, vectors) => {
  test('a value that was changed is no longer right', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...vectors), mutation, async (vector, change) => {
        const changed = mutate(vector.value, change)
        fc.pre(canonical(format, changed) !== canonical(format, vector.value))
        // A password that was hashed before its site had a salt is right whatever the salt is now.
        if (vector.source.includes('without a salt then')) fc.pre(hashOf(changed) !== hashOf(vector.value))
        expect(await outcome(format, changed, passwordOf(vector))).not.toBe('right')
      }),
      { numRuns: 300 },
    )
  })

  test('another password is wrong', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...vectors),
        fc.uint8Array({ maxLength: 600 }),
        async (vector, bytes) => {
          const other = Buffer.from(bytes)
          // bcrypt sees no more.
          fc.pre(!passwordOf(vector).subarray(0, 72).equals(other.subarray(0, 72)))
          expect(await outcome(format, vector.value, other)).toBe('wrong')
        },
      ),
      { numRuns: 40 },
    )
  })
})
