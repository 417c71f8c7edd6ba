/** Options of a backend of type sqlite. */
import { z } from 'zod'
import { passwordFormats } from '../server-core/accounts/password.ts'

const formats = Object.keys(passwordFormats) as (keyof typeof passwordFormats)[]

export const sqliteOptions = {
  file: z.string().describe('the accounts; it is made when its folder exists'),
  password_format: z.enum(formats).default('bcrypt').describe('how new passwords are kept'),
  rehash: z
    .boolean()
    .default(false)
    .describe('keep a password so, too, once its owner has logged in with it'),
}
