/** The portable hash of phpass: a digest of salt and password, hashed with the password again and again. */
import { hash } from 'node:crypto'
import { crypt64 } from './crypt64.ts'

export interface PhpassInput {
  readonly digest: 'md5' | 'sha512'
  readonly password: Uint8Array
  readonly salt: string
  readonly rounds: number
}

/** The last field of the value, uncut. */
export function phpass({ digest, password, salt, rounds }: PhpassInput): string {
  let last = hash(digest, Buffer.concat([Buffer.from(salt), password]), 'buffer')
  const input = Buffer.concat([last, password])
  for (let round = 0; round < rounds; round++) {
    input.set(last, 0)
    last = hash(digest, input, 'buffer')
  }
  return crypt64(last)
}
