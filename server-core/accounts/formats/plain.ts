/** The password itself, marked as such. Any mechanism can be served from it, and whoever reads the database has it. */
import { equalSecrets } from './compare.ts'
import { readBase64, readHex, readScheme, schemePrefixes } from './fields.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const prefix = '{PLAIN}'
/** Dovecot has three names for it. */
const schemes = ['CLEAR', 'CLEARTEXT', 'PLAIN']

export const plain: PasswordFormat = {
  name: 'plain',
  prefixes: schemePrefixes(schemes),
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
  const { scheme, encoding, rest } = readScheme(value)
  if (!schemes.includes(scheme)) throw new UnusableCredential('a plain password is not marked as one')
  if (encoding === undefined) return rest
  return (encoding === 'HEX' ? readHex(rest) : readBase64(rest)).toString('utf8')
}
