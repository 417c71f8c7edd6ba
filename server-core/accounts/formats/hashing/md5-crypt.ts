/** md5-crypt, Poul-Henning Kamp's `$1$` of FreeBSD, and Apache's `$apr1$`, which differs in that text only. */
import { hash } from 'node:crypto'
import { crypt64 } from './crypt64.ts'

export interface Md5CryptInput {
  readonly magic: '$1$' | '$apr1$'
  readonly password: Uint8Array
  readonly salt: string
}

const rounds = 1000
const order = [12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11]

/** The last field of the value. */
export function md5Crypt({ magic, password, salt: saltText }: Md5CryptInput): string {
  const salt = Buffer.from(saltText)
  const of = (...parts: readonly Uint8Array[]) => hash('md5', Buffer.concat(parts), 'buffer')

  const alternate = of(password, salt, password)
  const bits: Uint8Array[] = []
  // A set bit adds a zero byte and a clear one the password's first byte: the original's slip, and thus the algorithm.
  for (let left = password.length; left > 0; left >>= 1) {
    bits.push(left & 1 ? Buffer.alloc(1) : password.subarray(0, 1))
  }
  let last = of(password, Buffer.from(magic), salt, Buffer.alloc(password.length, alternate), ...bits)
  for (let round = 0; round < rounds; round++) {
    const middle = [...(round % 3 ? [salt] : []), ...(round % 7 ? [password] : [])]
    last = round % 2 ? of(password, ...middle, last) : of(last, ...middle, password)
  }
  return crypt64(Buffer.from(order.map((at) => last[at] ?? 0)))
}
