/** Nextcloud's and ownCloud's `oc_users.password`: the number of an algorithm, a bar, what PHP's password_hash returned. */
import { argon2 } from './argon2.ts'
import { bcrypt } from './bcrypt.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const algorithms = [
  { prefix: '1|', begins: '$2', format: bcrypt },
  { prefix: '2|', begins: '$argon2i$', format: argon2 },
  { prefix: '3|', begins: '$argon2id$', format: argon2 },
] as const

export const nextcloud: PasswordFormat = {
  name: 'nextcloud',
  prefixes: algorithms.map(({ prefix }) => prefix),
  of: 'bytes',
  async verify(value, password, signal) {
    const algorithm = algorithms.find(({ prefix, begins }) => value.startsWith(prefix + begins))
    if (algorithm === undefined) throw new UnusableCredential('not a value of Nextcloud')
    return algorithm.format.verify(value.slice(algorithm.prefix.length), password, signal)
  },
}
