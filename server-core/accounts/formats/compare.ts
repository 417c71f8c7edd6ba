/** Comparing secrets in a time that tells nothing about them. */
import { timingSafeEqual } from 'node:crypto'

/** In bytes; nearly all secrets are shorter. */
const usual = 1024

/** Also of different lengths: both are filled up to one that does not depend on them, or on the longer one only. */
export function equalSecrets(one: Buffer, other: Buffer): boolean {
  const length = Math.max(usual, one.length, other.length)
  const filled = (secret: Buffer) => Buffer.concat([secret], length)
  return timingSafeEqual(filled(one), filled(other)) && one.length === other.length
}
