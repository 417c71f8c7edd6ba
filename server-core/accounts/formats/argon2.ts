/**
 * Argon2 (RFC 9106) as the Password Hashing Competition spells it: `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH`, also
 * `$argon2i$` and `$argon2d$`; without `v=` it is version 16.
 */
import type { Options } from '@node-rs/argon2'
import { derive } from '../derivations.ts'
import { equalSecrets } from './compare.ts'
import { readBareBase64, readCost, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

/** In KiB, 256 MiB. Three checks at once must fit into a small server's memory; the usual is 4 to 100 MiB. */
const maxMemory = 256 * 1024
/** KiB times passes, 1 GiB in all: some one to two seconds. */
const maxWork = 1024 * 1024
const maxLanes = 64

const pattern =
  /^\$argon2(id|i|d)(?:\$v=(16|19))?\$m=(\d+),t=(\d+),p=(\d+)((?:,(?:keyid|data)=[A-Za-z0-9+/]*)*)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

/** The library's numbers for them. */
const algorithms = { d: 0, i: 1, id: 2 } as const
const versions = { 16: 0, 19: 1 } as const

export const argon2: PasswordFormat = {
  name: 'argon2',
  prefixes: ['$argon2id$', '$argon2i$', '$argon2d$'],
  of: 'bytes',
  async verify(value, password, signal) {
    const { hash, options } = parse(value)
    // The library's own `verify` takes UTF-8 only.
    const { hashRaw } = await import('@node-rs/argon2')
    const made = await derive(signal, () => hashRaw(password, options))
    return equalSecrets(made, hash)
  },
}

function parse(value: string): { hash: Buffer; options: Options } {
  const [, kind, version = '16', memory, passes, lanes, extra, salt, hashText] = pattern.exec(value) ?? []
  const parallelism = readCost(lanes, 'lanes of Argon2', 1, maxLanes)
  const memoryCost = readCost(memory, 'KiB of Argon2', 8 * parallelism, maxMemory)
  const timeCost = readCost(passes, 'passes of Argon2', 1, Math.floor(maxWork / memoryCost))
  if (extra !== '') throw new UnusableCredential('Argon2 with a key or data of its own is not accepted')
  const hash = requireLength(readBareBase64(hashText), 16, 64)
  const options = {
    algorithm: algorithms[kind as keyof typeof algorithms],
    version: versions[Number(version) as keyof typeof versions],
    memoryCost,
    timeCost,
    parallelism,
    salt: requireLength(readBareBase64(salt), 8, 48),
    outputLen: hash.length,
  }
  return { hash, options }
}
