/**
 * userPassword of directories (RFC 2307 §5.3 and its successors) and of Dovecot's databases: `{SHA}…`, `{SSHA}…`, … base64 of the
 * digest, salted ones with the salt behind it. Dovecot also writes hexadecimal: `{SSHA512.HEX}…`, and unsalted ones of
 * fitting length without saying so.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readBase64, readHex, readScheme, requireLength, schemePrefixes } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { md5Crypt } from './md5-crypt.ts'

const lengths = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const

interface Scheme {
  readonly digest: keyof typeof lengths
  readonly isSalted: boolean
}

const schemes: Readonly<Record<string, Scheme>> = {
  'LDAP-MD5': { digest: 'md5', isSalted: false },
  MD5: { digest: 'md5', isSalted: false },
  'PLAIN-MD5': { digest: 'md5', isSalted: false },
  SHA: { digest: 'sha1', isSalted: false },
  SHA1: { digest: 'sha1', isSalted: false },
  SHA256: { digest: 'sha256', isSalted: false },
  SHA384: { digest: 'sha384', isSalted: false },
  SHA512: { digest: 'sha512', isSalted: false },
  SMD5: { digest: 'md5', isSalted: true },
  SSHA: { digest: 'sha1', isSalted: true },
  SSHA256: { digest: 'sha256', isSalted: true },
  SSHA384: { digest: 'sha384', isSalted: true },
  SSHA512: { digest: 'sha512', isSalted: true },
}

/** In bytes; the usual are 4 to 16. */
const longestSalt = 1024

export const ldapDigest: PasswordFormat = {
  name: 'ldap-digest',
  prefixes: schemePrefixes(Object.keys(schemes)),
  of: 'bytes',
  async verify(value, password, signal) {
    signal.throwIfAborted()
    const { scheme, encoding, rest } = readScheme(value)
    const known = schemes[scheme]
    if (known === undefined) throw new UnusableCredential('not a digest of a directory')
    // Dovecot's {MD5} is md5-crypt, unless the value is a digest.
    if (scheme === 'MD5' && rest.startsWith('$1$')) return md5Crypt.verify(rest, password, signal)
    const { digest, isSalted } = known
    const length = lengths[digest]
    const isHex = encoding === 'HEX' || (encoding === undefined && !isSalted && rest.length === 2 * length)
    const bytes = isHex ? readHex(rest) : readBase64(rest)
    requireLength(bytes, isSalted ? length + 1 : length, isSalted ? length + longestSalt : length)
    const made = createHash(digest).update(password).update(bytes.subarray(length)).digest()
    return timingSafeEqual(made, bytes.subarray(0, length))
  },
}
