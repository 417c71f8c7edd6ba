/** A scheme's name before a value that says itself what it is: OpenLDAP's `{CRYPT}$6$…`, Dovecot's `{BLF-CRYPT}$2y$…`. */
import { argon2 } from './argon2.ts'
import { bcrypt } from './bcrypt.ts'
import { readBase64, readHex, readScheme, schemePrefixes } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { md5Crypt } from './md5-crypt.ts'
import { sha256Crypt, sha512Crypt } from './sha-crypt.ts'
import { yescrypt } from './yescrypt.ts'

/** What may follow a scheme. `{CRYPT}` is whatever crypt(3) knows, of which DES, thirteen characters without a mark, is not here. */
const schemes: Readonly<Record<string, readonly { prefix: string; format: PasswordFormat }[]>> = {
  ARGON2: of(argon2),
  ARGON2D: of(argon2, '$argon2d$'),
  ARGON2I: of(argon2, '$argon2i$'),
  ARGON2ID: of(argon2, '$argon2id$'),
  BCRYPT: of(bcrypt, '$2'),
  'BLF-CRYPT': of(bcrypt, '$2'),
  CRYPT: [
    ...of(bcrypt, '$2'),
    ...of(md5Crypt, '$1$'),
    ...of(sha256Crypt),
    ...of(sha512Crypt),
    ...of(yescrypt),
  ],
  'MD5-CRYPT': of(md5Crypt, '$1$'),
  'SHA256-CRYPT': of(sha256Crypt),
  'SHA512-CRYPT': of(sha512Crypt),
}

export const cryptScheme: PasswordFormat = {
  name: 'crypt-scheme',
  prefixes: schemePrefixes(Object.keys(schemes)),
  of: 'bytes',
  async verify(value, password, signal) {
    const { scheme, encoding, rest } = readScheme(value)
    const inner =
      encoding === undefined ? rest : textOf(encoding === 'HEX' ? readHex(rest) : readBase64(rest))
    const format = schemes[scheme]?.find(({ prefix }) => inner.startsWith(prefix))?.format
    if (format === undefined)
      throw new UnusableCredential('a scheme with a value of another kind, or of DES crypt')
    return format.verify(inner, password, signal)
  },
}

function of(
  format: PasswordFormat,
  ...prefixes: readonly string[]
): { prefix: string; format: PasswordFormat }[] {
  return (prefixes.length > 0 ? prefixes : format.prefixes).map((prefix) => ({ prefix, format }))
}

function textOf(bytes: Buffer): string {
  return bytes.toString('latin1')
}
