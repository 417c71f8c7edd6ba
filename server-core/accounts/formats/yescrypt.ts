/**
 * yescrypt (`$y$`, the default of Debian's and Fedora's /etc/shadow), its GOST variant and crypt(3)'s scrypt: only libxcrypt
 * computes them. They are known here, so that the reason can be told.
 */
import { type PasswordFormat, UnusableCredential } from './format.ts'

export const yescrypt: PasswordFormat = {
  name: 'yescrypt',
  prefixes: ['$y$', '$gy$', '$7$'],
  of: 'bytes',
  async verify() {
    throw new UnusableCredential(
      'yescrypt and crypt(3) scrypt are not supported: give the account a new password',
    )
  },
}
