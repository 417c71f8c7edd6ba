/**
 * phpass's portable hashes: `$P$` and phpBB's `$H$` with MD5, then Drupal's `$S$` with SHA-512, cut to 55 characters. After the
 * prefix come one digit for the logarithm of the rounds, eight characters of salt, the hash.
 */
import { createHash } from 'node:crypto'
import { equalSecrets } from './compare.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { crypt64Digit } from './hashing/crypt64.ts'
import { hashInThread } from './hashing/pool.ts'

const minLogRounds = 7
/** Some one to two seconds; the usual is 8 to 16. */
const maxLogRounds = 20

const md5Pattern = /^\$[PH]\$([./A-Za-z0-9])([./A-Za-z0-9]{8})([./A-Za-z0-9]{22})$/
const sha512Pattern = /^\$S\$([./A-Za-z0-9])([./A-Za-z0-9]{8})([./A-Za-z0-9]{43})$/

export const phpass: PasswordFormat = {
  name: 'phpass',
  prefixes: ['$P$', '$H$'],
  of: 'bytes',
  verify(value, password, signal) {
    return matches('md5', md5Pattern.exec(value), password, signal)
  },
}

/** In bytes; Drupal refuses longer ones. */
const longestOfDrupal = 512

export const drupal: PasswordFormat = {
  name: 'drupal',
  prefixes: ['$S$', 'U$S$', 'U$P$', 'U$H$'],
  of: 'bytes',
  async verify(value, password, signal) {
    // `U` marks hashes that were made of Drupal 6's, which were the MD5 of the password in hexadecimal.
    const isOfMd5 = value.startsWith('U')
    const bare = isOfMd5 ? value.slice(1) : value
    const key = isOfMd5 ? Buffer.from(createHash('md5').update(password).digest('hex')) : password
    const sha512 = sha512Pattern.exec(bare)
    const md5 = isOfMd5 ? md5Pattern.exec(bare) : null
    if (password.length > longestOfDrupal && (sha512 || md5)) return false
    return md5 ? matches('md5', md5, key, signal) : matches('sha512', sha512, key, signal)
  },
}

async function matches(
  digest: 'md5' | 'sha512',
  match: RegExpExecArray | null,
  password: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  const [, digit, salt, hash] = match ?? []
  if (digit === undefined || salt === undefined || hash === undefined) {
    throw new UnusableCredential('not a portable hash of phpass or Drupal')
  }
  const logRounds = crypt64Digit(digit)
  if (logRounds < minLogRounds || logRounds > maxLogRounds) {
    throw new UnusableCredential(
      `2^${logRounds} rounds are not accepted (2^${minLogRounds} to 2^${maxLogRounds})`,
    )
  }
  const made = await hashInThread(signal, 'phpass', { digest, password, salt, rounds: 2 ** logRounds })
  return equalSecrets(Buffer.from(made.slice(0, hash.length)), Buffer.from(hash))
}
