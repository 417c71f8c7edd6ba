import { type BinaryLike, pbkdf2 as nodePbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { derive } from '../../derivations.ts'

/** Some three seconds of work; a value that demands more is an attack or a mistake. The usual is 4,096 to 1,000,000. */
export const maxPbkdf2Iterations = 5_000_000

const pbkdf2Async = promisify(nodePbkdf2)

/** PBKDF2 (RFC 8018 §5.2) on libuv's threads, when there is a place. */
export function pbkdf2(
  signal: AbortSignal,
  digest: 'sha1' | 'sha256' | 'sha512',
  password: Buffer,
  salt: BinaryLike,
  iterations: number,
  length: number,
): Promise<Buffer> {
  return derive(signal, () => pbkdf2Async(password, salt, iterations, length, digest))
}
