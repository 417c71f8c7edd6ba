/**
 * SCRAM keys in the texts of other servers: MongooseIM's `pass_details`, Dovecot's `{SCRAM-SHA-256}…`. They are the same keys as
 * scram.ts has, so migrations had better store what `mongooseimKeys` and `dovecotKeys` return: then SCRAM logins work too.
 */
import { readBase64, readCost } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import {
  formatScramKeys,
  parseScramKeys,
  type ScramHash,
  type ScramKeys,
  scramSha1,
  scramSha256,
  scramSha512,
} from './scram.ts'

const verifiers = { 'SHA-1': scramSha1, 'SHA-256': scramSha256, 'SHA-512': scramSha512 } as const

export const mongooseimScram: PasswordFormat = {
  name: 'mongooseim-scram',
  prefixes: ['==SCRAM==,', '==MULTI_SCRAM==,'],
  of: 'prepared',
  async verify(value, password, signal) {
    return verifyBest(mongooseimKeys(value), password, signal)
  },
}

export const dovecotScram: PasswordFormat = {
  name: 'dovecot-scram',
  prefixes: ['{SCRAM-SHA-1}', '{SCRAM-SHA-256}'],
  of: 'prepared',
  async verify(value, password, signal) {
    return verifyBest([dovecotKeys(value)], password, signal)
  },
}

/**
 * All keys that can be used, one per hash. `==SCRAM==,STORED,SERVER,SALT,ITERATIONS` until 3.6; then
 * `==MULTI_SCRAM==,SALT,ITERATIONS,===SHA1===STORED|SERVER,==SHA256==…`; then `==MULTI_SCRAM==,ITERATIONS,===SHA1===SALT|STORED|SERVER,…`.
 */
export function mongooseimKeys(passDetails: string): ScramKeys[] {
  const [mark, ...fields] = passDetails.split(',')
  if (mark === '==SCRAM==') {
    const [storedKey, serverKey, salt, iterations] = fields
    if (fields.length !== 4) throw new UnusableCredential('not a SCRAM value of MongooseIM')
    return [scramKeys('SHA-1', iterations, salt, storedKey, serverKey)]
  }
  const lists = fields.filter((field) => field.startsWith('=='))
  const [iterations, commonSalt] = fields.slice(0, fields.length - lists.length).reverse()
  if (mark !== '==MULTI_SCRAM==' || lists.length === 0 || fields.length - lists.length > 2) {
    throw new UnusableCredential('not a SCRAM value of MongooseIM')
  }
  const keys = lists.flatMap((list) => multiKeys(list, iterations, commonSalt))
  if (keys.length === 0) throw new UnusableCredential('SCRAM keys of SHA-224 or SHA-384 only')
  return keys
}

const multiHashes: Readonly<Record<string, ScramHash | undefined>> = {
  '===SHA1===': 'SHA-1',
  '==SHA224==': undefined,
  '==SHA256==': 'SHA-256',
  '==SHA384==': undefined,
  '==SHA512==': 'SHA-512',
}

function multiKeys(
  list: string,
  iterations: string | undefined,
  commonSalt: string | undefined,
): ScramKeys[] {
  const tag = list.slice(0, 10)
  if (!Object.hasOwn(multiHashes, tag)) throw new UnusableCredential('SCRAM keys of an unknown hash')
  const hash = multiHashes[tag]
  const fields = list.slice(10).split('|')
  const [storedKey, serverKey] = fields.slice(-2)
  if (fields.length !== (commonSalt === undefined ? 3 : 2)) {
    throw new UnusableCredential('not a SCRAM value of MongooseIM')
  }
  return hash ? [scramKeys(hash, iterations, commonSalt ?? fields[0], storedKey, serverKey)] : []
}

/** `{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER`. */
export function dovecotKeys(value: string): ScramKeys {
  const [, hash, rest] = /^\{SCRAM-(SHA-1|SHA-256)\}(.*)$/is.exec(value) ?? []
  const [iterations, salt, storedKey, serverKey, ...more] = rest?.split(',') ?? []
  if (hash === undefined || more.length > 0) throw new UnusableCredential('not a SCRAM value of Dovecot')
  return scramKeys(hash.toUpperCase() as ScramHash, iterations, salt, storedKey, serverKey)
}

/** From fields in base64; checked as any value of scram.ts is. */
export function scramKeys(
  hash: ScramHash,
  iterations: string | undefined,
  salt: string | undefined,
  storedKey: string | undefined,
  serverKey: string | undefined,
): ScramKeys {
  return checkedKeys({
    hash,
    iterations: readCost(iterations, 'iterations', 1, 9_999_999_999),
    salt: readBase64(salt),
    storedKey: readBase64(storedKey),
    serverKey: readBase64(serverKey),
  })
}

/** Lengths and limits are those of scram.ts. */
export function checkedKeys(keys: ScramKeys): ScramKeys {
  return parseScramKeys(formatScramKeys(keys))
}

/** SHA-512 costs the most for the same password, and SHA-1 needs no more iterations than the others have. */
async function verifyBest(
  keys: readonly ScramKeys[],
  password: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  const best = (['SHA-256', 'SHA-512', 'SHA-1'] as const).flatMap((hash) =>
    keys.filter((one) => one.hash === hash),
  )[0]
  if (best === undefined) throw new UnusableCredential('no SCRAM keys')
  return verifiers[best.hash].verify(formatScramKeys(best), password, signal)
}
