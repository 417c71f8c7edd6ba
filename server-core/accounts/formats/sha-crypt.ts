/** SHA-crypt, the `$5$` and `$6$` of /etc/shadow: `$6$rounds=N$SALT$HASH`, 5000 rounds where none are named. */
import { equalSecrets } from './compare.ts'
import { readCost } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { hashInThread } from './hashing/pool.ts'

const defaultRounds = 5000
const minRounds = 1000
/** Some two seconds; passlib's default is 656,000. The specification's own limit of 999,999,999 is half an hour. */
const maxRounds = 1_000_000
/** In bytes. libxcrypt takes no more, and the work grows with the length. */
const longest = 512

function shaCrypt(digest: 'sha256' | 'sha512', prefix: string, pattern: RegExp): PasswordFormat {
  const name = `${digest}-crypt`
  return {
    name,
    prefixes: [prefix],
    of: 'bytes',
    async verify(value, password, signal) {
      const [, roundsText, salt, hash] = pattern.exec(value) ?? []
      if (salt === undefined || hash === undefined) throw new UnusableCredential(`not a ${name} value`)
      const rounds = readCost(roundsText ?? String(defaultRounds), 'rounds', minRounds, maxRounds)
      if (password.length > longest) return false
      const made = await hashInThread(signal, 'shaCrypt', { digest, password, salt, rounds })
      return equalSecrets(Buffer.from(made), Buffer.from(hash))
    },
  }
}

export const sha256Crypt = shaCrypt(
  'sha256',
  '$5$',
  /^\$5\$(?:rounds=(\d+)\$)?([^$:\x00-\x20\x7f-\uffff]{0,16})\$([./A-Za-z0-9]{43})$/,
)
export const sha512Crypt = shaCrypt(
  'sha512',
  '$6$',
  /^\$6\$(?:rounds=(\d+)\$)?([^$:\x00-\x20\x7f-\uffff]{0,16})\$([./A-Za-z0-9]{86})$/,
)
