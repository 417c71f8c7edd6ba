/**
 * PBKDF2 (RFC 8018 §5.2) in the spellings of passlib (`$pbkdf2-sha256$ITERATIONS$SALT$HASH`), OpenLDAP's pw-pbkdf2
 * (`{PBKDF2-SHA256}ITERATIONS$SALT$HASH`), Dovecot (`{PBKDF2}$1$SALT$ITERATIONS$HASH`, SHA-1) and Discourse, whose three columns
 * become `$pbkdf2-sha256$i=ITERATIONS,l=LENGTH$SALT$HASH`.
 */
import { equalSecrets } from './compare.ts'
import { readCost, readDottedBase64, readHex, readScheme, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { pbkdf2 as derivePbkdf2, maxPbkdf2Iterations } from './hashing/pbkdf2.ts'

const lengths = { sha1: 20, sha256: 32, sha512: 64 } as const

type Digest = keyof typeof lengths

interface Parsed {
  readonly digest: Digest
  readonly iterations: number
  readonly salt: Buffer
  readonly hash: Buffer
}

/** passlib and OpenLDAP leave the name out for SHA-1. */
const digests: Readonly<Record<string, Digest>> = {
  '': 'sha1',
  '-sha1': 'sha1',
  '-sha256': 'sha256',
  '-sha512': 'sha512',
}

export const pbkdf2: PasswordFormat = {
  name: 'pbkdf2',
  prefixes: Object.keys(digests).flatMap((name) => [`$pbkdf2${name}$`, `{PBKDF2${name.toUpperCase()}}`]),
  of: 'bytes',
  async verify(value, password, signal) {
    const { digest, iterations, salt, hash } = parse(value)
    const made = await derivePbkdf2(signal, digest, password, salt, iterations, hash.length)
    return equalSecrets(made, hash)
  },
}

/** A row of Discourse's `user_passwords`; `password_algorithm` is `$pbkdf2-sha256$i=600000,l=32$`. */
export interface DiscoursePassword {
  readonly password_hash: string
  readonly password_salt: string
  readonly password_algorithm: string
}

export function discourseValue(row: DiscoursePassword): string {
  const value = `${row.password_algorithm}${row.password_salt}$${row.password_hash}`
  parseDiscourse(value)
  return value
}

function parse(value: string): Parsed {
  if (value.startsWith('{')) return parseScheme(value)
  if (/^\$pbkdf2-sha\d+\$i=/.test(value)) return parseDiscourse(value)
  const [, name = '', rest] = /^\$pbkdf2(-sha1|-sha256|-sha512)?\$(.*)$/s.exec(value) ?? []
  return parseFields(name, rest)
}

function parseScheme(value: string): Parsed {
  const { scheme, rest } = readScheme(value)
  const [, name] = /^PBKDF2(|-SHA1|-SHA256|-SHA512)$/.exec(scheme) ?? []
  const [, salt, iterations, hash] = /^\$1\$([^$]{1,128})\$(\d+)\$([0-9a-fA-F]+)$/.exec(rest) ?? []
  if (name !== '' || salt === undefined) return parseFields(name?.toLowerCase(), rest)
  return parsed('sha1', iterations, Buffer.from(salt), readHex(hash), lengths.sha1)
}

function parseFields(name: string | undefined, rest: string | undefined): Parsed {
  const digest = digests[name ?? 'none']
  const fields = rest?.split('$') ?? []
  if (digest === undefined || fields.length !== 3) throw new UnusableCredential('not a PBKDF2 value')
  const [iterations, salt, hash] = fields
  return parsed(digest, iterations, readDottedBase64(salt), readDottedBase64(hash), lengths[digest])
}

/** The salt is hexadecimal, but used as the text that it is. */
function parseDiscourse(value: string): Parsed {
  const pattern = /^\$pbkdf2-(sha256|sha512)\$i=(\d+),l=(\d+)\$([^$\s]{1,128})\$([0-9a-f]+)$/
  const [, digest, iterations, length, salt = '', hash] = pattern.exec(value) ?? []
  if (digest !== 'sha256' && digest !== 'sha512') throw new UnusableCredential('not a password of Discourse')
  const bytes = readCost(length, 'bytes of a hash', 16, lengths[digest])
  return parsed(digest, iterations, Buffer.from(salt), readHex(hash), bytes)
}

function parsed(
  digest: Digest,
  iterations: string | undefined,
  salt: Buffer,
  hash: Buffer,
  length: number,
): Parsed {
  requireLength(hash, length)
  requireLength(salt, 0, 1024)
  return { digest, iterations: readCost(iterations, 'iterations', 1, maxPbkdf2Iterations), salt, hash }
}
