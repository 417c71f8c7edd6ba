/** md5-crypt of old /etc/shadow files, `$1$SALT$HASH`, and Apache's of .htpasswd files, `$apr1$SALT$HASH`; always 1000 rounds. */
import { equalSecrets } from './compare.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'
import { hashInThread } from './hashing/pool.ts'

/** In bytes, libxcrypt's: the work grows with the length. */
const longest = 512

const pattern = /^(\$1\$|\$apr1\$)([^$:\x00-\x20\x7f-\uffff]{0,8})\$([./A-Za-z0-9]{22})$/

export const md5Crypt: PasswordFormat = {
  name: 'md5-crypt',
  prefixes: ['$1$', '$apr1$'],
  of: 'bytes',
  async verify(value, password, signal) {
    const [, magic, salt, hash] = pattern.exec(value) ?? []
    if (magic === undefined || salt === undefined || hash === undefined) {
      throw new UnusableCredential('not an md5-crypt value')
    }
    if (password.length > longest) return false
    const made = await hashInThread(signal, 'md5Crypt', { magic: magic as '$1$' | '$apr1$', password, salt })
    return equalSecrets(Buffer.from(made), Buffer.from(hash))
  },
}
