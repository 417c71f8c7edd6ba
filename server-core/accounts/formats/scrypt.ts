/** scrypt (RFC 7914) as passlib spells it: `$scrypt$ln=16,r=8,p=1$SALT$HASH`, `ln` being the logarithm of N. */
import { equalSecrets } from './compare.ts'
import { readBareBase64, readCost, requireLength } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { scrypt as deriveScrypt } from './hashing/scrypt.ts'

const pattern = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]*)\$([A-Za-z0-9+/]+)$/

export const scrypt: PasswordFormat = {
  name: 'scrypt',
  prefixes: ['$scrypt$'],
  of: 'bytes',
  async verify(value, password, signal) {
    const [, logRounds, blockSize, parallelism, salt, hashText] = pattern.exec(value) ?? []
    if (hashText === undefined) throw new UnusableCredential('not an scrypt value')
    const cost = {
      rounds: 2 ** readCost(logRounds, 'doublings of scrypt', 1, 31),
      blockSize: readCost(blockSize, 'blocks of scrypt', 1, 1024),
      parallelism: readCost(parallelism, 'lanes of scrypt', 1, 1024),
    }
    // The first bytes of a longer key are the shorter key, so any length would let a cut value pass.
    const hash = readBareBase64(hashText)
    requireLength(hash, hash.length === 64 ? 64 : 32)
    const saltBytes = requireLength(readBareBase64(salt), 0, 1024)
    return equalSecrets(await deriveScrypt(signal, password, saltBytes, cost, hash.length), hash)
  },
}
