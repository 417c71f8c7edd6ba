/** The table of formats that passwords can be kept in. To add one: a file in this folder and a line here. */
import { argon2 } from './argon2.ts'
import { bcrypt } from './bcrypt.ts'
import { cryptScheme } from './crypt-scheme.ts'
import { django } from './django.ts'
import type { PasswordFormat } from './format.ts'
import { hexDigest } from './hex-digest.ts'
import { ldapDigest } from './ldap-digest.ts'
import { md5Crypt } from './md5-crypt.ts'
import { nextcloud } from './nextcloud.ts'
import { pbkdf2 } from './pbkdf2.ts'
import { drupal, phpass } from './phpass.ts'
import { plain } from './plain.ts'
import { scramSha1, scramSha256, scramSha512 } from './scram.ts'
import { dovecotScram, mongooseimScram } from './scram-texts.ts'
import { scrypt } from './scrypt.ts'
import { sha256Crypt, sha512Crypt } from './sha-crypt.ts'
import { wordpress } from './wordpress.ts'
import { yescrypt } from './yescrypt.ts'

export const formats: readonly PasswordFormat[] = [
  argon2,
  bcrypt,
  cryptScheme,
  django,
  dovecotScram,
  drupal,
  hexDigest,
  ldapDigest,
  md5Crypt,
  mongooseimScram,
  nextcloud,
  pbkdf2,
  phpass,
  plain,
  scramSha1,
  scramSha256,
  scramSha512,
  scrypt,
  sha256Crypt,
  sha512Crypt,
  wordpress,
  yescrypt,
]

const byName = new Map(formats.map((format) => [format.name, format]))

export function formatByName(name: string): PasswordFormat | undefined {
  return byName.get(name)
}

/** The format of a value from elsewhere, by how it begins; undefined when nobody knows it: then it is nobody's password. */
export function recogniseFormat(value: string): PasswordFormat | undefined {
  // The names of schemes in braces are case-insensitive (RFC 2307 §5.3).
  const known = value.replace(/^\{[^}]*\}/, (scheme) => scheme.toUpperCase())
  return formats.find((format) => format.prefixes.some((prefix) => known.startsWith(prefix)))
}
