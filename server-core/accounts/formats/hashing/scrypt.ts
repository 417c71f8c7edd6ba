import { type BinaryLike, scrypt as nodeScrypt } from 'node:crypto'
import { derive } from '../../derivations.ts'
import { UnusableCredential } from '../format.ts'

export interface ScryptCost {
  /** N, a power of two. */
  readonly rounds: number
  readonly blockSize: number
  readonly parallelism: number
}

/** In bytes. Three checks at once must fit into a small server's memory; the usual are 16 to 128 MiB. */
const maxMemory = 256 * 1024 * 1024
/** Bytes written over all lanes: some three seconds. */
const maxWork = 1024 * 1024 * 1024

/** scrypt (RFC 7914) on libuv's threads, when there is a place; UnusableCredential for a cost that is too high or none. */
export function scrypt(
  signal: AbortSignal,
  password: Buffer,
  salt: BinaryLike,
  { rounds, blockSize, parallelism }: ScryptCost,
  length: number,
): Promise<Buffer> {
  const memory = 128 * blockSize * (rounds + parallelism)
  if (!Number.isInteger(Math.log2(rounds)) || rounds < 2 || Math.log2(rounds) >= 16 * blockSize) {
    throw new UnusableCredential('the rounds of scrypt are no power of two, or too many for the block size')
  }
  if (memory > maxMemory || 128 * blockSize * rounds * parallelism > maxWork) {
    throw new UnusableCredential(
      `scrypt with ${Math.ceil(memory / 1024)} KiB and ${parallelism} lanes is not accepted`,
    )
  }
  const options = { N: rounds, r: blockSize, p: parallelism, maxmem: 2 * maxMemory }
  return derive(
    signal,
    () =>
      new Promise<Buffer>((resolve, reject) => {
        nodeScrypt(password, salt, length, options, (error, key) => (error ? reject(error) : resolve(key)))
      }),
  )
}
