/** The password itself, marked as such. Any mechanism can be served from it, and whoever reads the database has it. */
import { equalSecrets } from './compare.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const prefix = '{PLAIN}'

export const plain: PasswordFormat = {
  name: 'plain',
  prefixes: [prefix],
  of: 'prepared',
  async verify(value, password) {
    return equalSecrets(Buffer.from(plainText(value)), password)
  },
  async make(password) {
    return prefix + password.toString('utf8')
  },
}

/** The password in a value of this format. */
export function plainText(value: string): string {
  if (!value.startsWith(prefix)) throw new UnusableCredential('a plain password is not marked as one')
  return value.slice(prefix.length)
}
