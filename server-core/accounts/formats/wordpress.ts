/** WordPress 6.8 and later: `$wp$2y$…`, bcrypt over base64 of a keyed digest, as bcrypt takes 72 bytes only. */
import { createHmac } from 'node:crypto'
import { bcrypt } from './bcrypt.ts'
import type { PasswordFormat } from './format.ts'

export const wordpress: PasswordFormat = {
  name: 'wordpress',
  prefixes: ['$wp$2y$'],
  of: 'bytes',
  async verify(value, password, signal) {
    const key = createHmac('sha384', 'wp-sha384').update(password).digest('base64')
    return bcrypt.verify(value.replace(/^\$wp(?=\$2y\$)/, ''), Buffer.from(key), signal)
  },
}
