/**
 * Bare digests in hexadecimal, as home-grown databases have them. Nothing in them tells what they are, so the name of the digest
 * is written before them: `hex-sha1:aaf4c61d…`. Whoever reads them can try billions of passwords a second.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readHex, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const lengths = { md5: 16, sha1: 20, sha256: 32, sha512: 64 } as const

export type BareDigest = keyof typeof lengths

export const hexDigest: PasswordFormat = {
  name: 'hex-digest',
  prefixes: Object.keys(lengths).map((digest) => `hex-${digest}:`),
  of: 'bytes',
  async verify(value, password, signal) {
    signal.throwIfAborted()
    const [, digest, hex] = /^hex-(md5|sha1|sha256|sha512):(.*)$/s.exec(value) ?? []
    if (digest === undefined) throw new UnusableCredential('a bare digest without its name')
    const hash = requireLength(readHex(hex), lengths[digest as BareDigest])
    return timingSafeEqual(createHash(digest).update(password).digest(), hash)
  },
}

/** A column that holds a bare digest in hexadecimal, as a value of this format. */
export function hexDigestValue(digest: BareDigest, hex: string): string {
  return `hex-${digest}:${hex.trim()}`
}
