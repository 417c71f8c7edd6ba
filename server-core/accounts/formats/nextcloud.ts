/**
 * Nextcloud's and ownCloud's `oc_users.password`: the number of an algorithm, a bar, what PHP's password_hash returned. Older
 * values have no number and need the site's `passwordsalt` (config.php), which is to be written before them:
 * `nextcloud:SALT:VALUE`, bcrypt of the password and the salt, or of the password alone, or its SHA-1 in hexadecimal.
 */
import { createHash } from 'node:crypto'
import { argon2 } from './argon2.ts'
import { bcrypt } from './bcrypt.ts'
import { equalSecrets } from './compare.ts'
import { readHex, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const algorithms = [
  { prefix: '1|', begins: '$2', format: bcrypt },
  { prefix: '2|', begins: '$argon2i$', format: argon2 },
  { prefix: '3|', begins: '$argon2id$', format: argon2 },
] as const

const old = 'nextcloud:'

export const nextcloud: PasswordFormat = {
  name: 'nextcloud',
  prefixes: [...algorithms.map(({ prefix }) => prefix), old],
  of: 'bytes',
  async verify(value, password, signal) {
    if (value.startsWith(old)) return verifyOld(value.slice(old.length), password, signal)
    const algorithm = algorithms.find(({ prefix, begins }) => value.startsWith(prefix + begins))
    if (algorithm === undefined) throw new UnusableCredential('not a value of Nextcloud')
    return algorithm.format.verify(value.slice(algorithm.prefix.length), password, signal)
  },
}

async function verifyOld(rest: string, password: Buffer, signal: AbortSignal): Promise<boolean> {
  const [, salt, hash] = /^(.*):([^:]*)$/s.exec(rest) ?? []
  if (salt === undefined || hash === undefined)
    throw new UnusableCredential('no salt of a Nextcloud before the value')
  if (!hash.startsWith('$2')) {
    signal.throwIfAborted()
    return equalSecrets(createHash('sha1').update(password).digest(), requireLength(readHex(hash), 20))
  }
  const isSalted = await bcrypt.verify(hash, Buffer.concat([password, Buffer.from(salt)]), signal)
  return isSalted || (salt !== '' && (await bcrypt.verify(hash, password, signal)))
}
