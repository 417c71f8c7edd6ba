/**
 * Django's `auth_user.password`: `ALGORITHM$…`, and `!…` for accounts that have no password. Salts are text; the digests of salt
 * and password are hexadecimal, the derived keys base64.
 */
import { createHash } from 'node:crypto'
import { argon2 } from './argon2.ts'
import { bcrypt } from './bcrypt.ts'
import { equalSecrets } from './compare.ts'
import { readBase64, readCost, readHex, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { maxPbkdf2Iterations, pbkdf2 } from './hashing/pbkdf2.ts'
import { scrypt } from './hashing/scrypt.ts'

type Verify = (rest: string, password: Buffer, signal: AbortSignal) => Promise<boolean>

const algorithms: Readonly<Record<string, Verify>> = {
  argon2: (rest, password, signal) => argon2.verify(`$${rest}`, password, signal),
  bcrypt: verifyBcrypt,
  bcrypt_sha256: (rest, password, signal) =>
    verifyBcrypt(rest, Buffer.from(createHash('sha256').update(password).digest('hex')), signal),
  md5: verifyDigest('md5', 16),
  pbkdf2_sha1: verifyPbkdf2('sha1', 20),
  pbkdf2_sha256: verifyPbkdf2('sha256', 32),
  scrypt: verifyScrypt,
  sha1: verifyDigest('sha1', 20),
}

export const django: PasswordFormat = {
  name: 'django',
  prefixes: ['!', ...Object.keys(algorithms).map((name) => `${name}$`)],
  of: 'bytes',
  async verify(value, password, signal) {
    if (value.startsWith('!')) throw new UnusableCredential('the account is marked as having no password')
    const [, name = '', rest = ''] = /^([a-z0-9_]+)\$(.*)$/s.exec(value) ?? []
    const verify = Object.hasOwn(algorithms, name) ? algorithms[name] : undefined
    if (verify === undefined) throw new UnusableCredential('not an algorithm of Django')
    return verify(rest, password, signal)
  },
}

/** After `bcrypt$` comes a dollar of bcrypt's own: `bcrypt$$2b$…`. */
async function verifyBcrypt(rest: string, key: Buffer, signal: AbortSignal): Promise<boolean> {
  if (!rest.startsWith('$2')) throw new UnusableCredential('not a bcrypt value of Django')
  return bcrypt.verify(rest, key, signal)
}

function verifyDigest(digest: 'md5' | 'sha1', length: number): Verify {
  return async (rest, password, signal) => {
    signal.throwIfAborted()
    const [salt = '', hashText] = fields(rest, 2)
    const hash = requireLength(readHex(hashText), length)
    return equalSecrets(createHash(digest).update(salt).update(password).digest(), hash)
  }
}

function verifyPbkdf2(digest: 'sha1' | 'sha256', length: number): Verify {
  return async (rest, password, signal) => {
    const [iterationsText, salt = '', hashText] = fields(rest, 3)
    const iterations = readCost(iterationsText, 'iterations', 1, maxPbkdf2Iterations)
    const hash = requireLength(readBase64(hashText), length)
    return equalSecrets(await pbkdf2(signal, digest, password, salt, iterations, length), hash)
  }
}

async function verifyScrypt(rest: string, password: Buffer, signal: AbortSignal): Promise<boolean> {
  const [rounds, salt = '', blockSize, parallelism, hashText] = fields(rest, 5)
  const cost = {
    rounds: readCost(rounds, 'rounds of scrypt', 2, 2 ** 31),
    blockSize: readCost(blockSize, 'blocks of scrypt', 1, 1024),
    parallelism: readCost(parallelism, 'lanes of scrypt', 1, 1024),
  }
  const hash = requireLength(readBase64(hashText), 64)
  return equalSecrets(await scrypt(signal, password, salt, cost, hash.length), hash)
}

function fields(rest: string, count: number): string[] {
  const all = rest.split('$')
  if (all.length !== count) throw new UnusableCredential(`${all.length} fields, where Django has ${count}`)
  return all
}
