/**
 * What SCRAM (RFC 5802 §3) keeps of a password, as text: `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, base64
 * (RFC 5803's form). Whoever reads it can check a password and serve a SCRAM login, but cannot log in.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { derive } from '../derivations.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

export interface ScramKeys {
  readonly hash: ScramHash
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

export type ScramHash = 'SHA-1' | 'SHA-256' | 'SHA-512'

/** node:crypto's names, and the lengths in bytes. */
const digests = {
  'SHA-1': { name: 'sha1', length: 20 },
  'SHA-256': { name: 'sha256', length: 32 },
  'SHA-512': { name: 'sha512', length: 64 },
} as const satisfies Record<ScramHash, { name: string; length: number }>

export const scramHashes = Object.keys(digests) as ScramHash[]

/** Iterations of new keys. */
export const scramIterations: Readonly<Record<ScramHash, number>> = {
  'SHA-1': 4096,
  'SHA-256': 10_000,
  'SHA-512': 10_000,
}

/** Some three seconds of work; a value that demands more is an attack or a mistake. */
const maxIterations = 5_000_000
const saltLength = 16
const pbkdf2Async = promisify(pbkdf2)

/** The name in the table of formats, and of credentials that hold keys for this hash. */
export function scramFormatName(hash: ScramHash): string {
  return `scram-${hash.toLowerCase()}`
}

/** Whether who keeps a password in these formats can use SCRAM with that hash: keys can be made of a plain one. */
export function servesScram(formats: readonly string[], hash: ScramHash): boolean {
  return formats.includes('plain') || formats.includes(scramFormatName(hash))
}

/** Derives the keys of a password, which has been SASLprep'd. */
export async function deriveScramKeys(
  hash: ScramHash,
  password: Buffer,
  salt: Buffer,
  iterations: number,
  signal: AbortSignal,
): Promise<ScramKeys> {
  const { name, length } = digests[hash]
  const salted = await derive(signal, () => pbkdf2Async(password, salt, iterations, length, name))
  const storedKey = scramDigest(hash, scramHmac(hash, salted, 'Client Key'))
  return { hash, iterations, salt, storedKey, serverKey: scramHmac(hash, salted, 'Server Key') }
}

export function scramHmac(hash: ScramHash, key: Buffer, data: string | Buffer): Buffer {
  return createHmac(digests[hash].name, key).update(data).digest()
}

export function scramDigest(hash: ScramHash, data: Buffer): Buffer {
  return createHash(digests[hash].name).update(data).digest()
}

export function scramKeyLength(hash: ScramHash): number {
  return digests[hash].length
}

export function formatScramKeys(keys: ScramKeys): string {
  const text = (bytes: Buffer) => bytes.toString('base64')
  return `SCRAM-${keys.hash}$${keys.iterations}:${text(keys.salt)}$${text(keys.storedKey)}:${text(keys.serverKey)}`
}

export function parseScramKeys(value: string): ScramKeys {
  const pattern =
    /^SCRAM-(SHA-1|SHA-256|SHA-512)\$(\d{1,10}):([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*):([A-Za-z0-9+/]+=*)$/
  const [, hash, iterations, salt, storedKey, serverKey] = pattern.exec(value) ?? []
  if (hash === undefined || salt === undefined || storedKey === undefined || serverKey === undefined) {
    throw new UnusableCredential('not a SCRAM value')
  }
  const keys: ScramKeys = {
    hash: hash as ScramHash,
    iterations: Number(iterations),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(storedKey, 'base64'),
    serverKey: Buffer.from(serverKey, 'base64'),
  }
  const { length } = digests[keys.hash]
  if (keys.storedKey.length !== length || keys.serverKey.length !== length) {
    throw new UnusableCredential(`keys of another length than SCRAM-${hash} has`)
  }
  if (keys.iterations < 1 || keys.iterations > maxIterations) {
    throw new UnusableCredential(`${keys.iterations} iterations are not accepted (1 to ${maxIterations})`)
  }
  return keys
}

function scram(hash: ScramHash): PasswordFormat {
  const name = scramFormatName(hash)
  return {
    name,
    prefixes: [`SCRAM-${hash}$`],
    of: 'prepared',
    async verify(value, password, signal) {
      const keys = parseScramKeys(value)
      if (keys.hash !== hash) throw new UnusableCredential(`keys of SCRAM-${keys.hash} are kept as ${name}`)
      const derived = await deriveScramKeys(hash, password, keys.salt, keys.iterations, signal)
      return timingSafeEqual(derived.storedKey, keys.storedKey)
    },
    async make(password, signal) {
      const salt = randomBytes(saltLength)
      return formatScramKeys(await deriveScramKeys(hash, password, salt, scramIterations[hash], signal))
    },
    isCurrent(value) {
      return parseScramKeys(value).iterations >= scramIterations[hash]
    },
  }
}

export const scramSha1 = scram('SHA-1')
export const scramSha256 = scram('SHA-256')
export const scramSha512 = scram('SHA-512')
