/** WordPress 6.8 and later: `$wp$2y$…`, bcrypt over base64 of a keyed digest, as bcrypt takes 72 bytes only. */
import { createHmac } from 'node:crypto'
import { bcrypt } from './bcrypt.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const prefix = '$wp$2y$'

export const wordpress: PasswordFormat = {
  name: 'wordpress',
  prefixes: [prefix],
  of: 'bytes',
  async verify(value, password, signal) {
    if (!value.startsWith(prefix)) throw new UnusableCredential('not a value of WordPress')
    const key = createHmac('sha384', 'wp-sha384').update(password).digest('base64')
    return bcrypt.verify(value.slice('$wp'.length), Buffer.from(key), signal)
  },
}
