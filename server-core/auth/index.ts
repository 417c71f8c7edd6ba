/**
 * The table of what a host's `auth_method` can name, and how the chain of a host is made. To add a backend: a file in this
 * folder and a line in the table.
 */
import { Accounts } from '../accounts/accounts.ts'
import type { NewPasswordFormat } from '../accounts/password.ts'
import { ExtauthPool } from '../extauth/pool.ts'
import type { Logger } from '../log.ts'
import type { Storage } from '../storage/storage.ts'
import { AnonymousBackend, type AnonymousOptions } from './anonymous.ts'
import { Authenticator } from './authenticator.ts'
import type { AuthBackend } from './backend.ts'
import { ExternalBackend } from './external.ts'
import { InternalBackend } from './internal.ts'
import { type LdapOptionsSaid, ldapBackend, ldapOptions } from './ldap.ts'

/** What a host's configuration says (config/schema.ts has the options' meaning and defaults). */
export interface AuthOptions extends LdapOptionsSaid {
  readonly auth_method: readonly string[]
  readonly auth_password_format: NewPasswordFormat
  readonly extauth_program?: string | undefined
  readonly extauth_pool_size: number
  /** In milliseconds. */
  readonly extauth_timeout: number
  readonly anonymous_protocol: AnonymousOptions['anonymous_protocol']
  readonly allow_multiple_connections: boolean
}

export interface AuthContext {
  readonly options: AuthOptions
  readonly storage: Storage
  readonly log: Logger
  /** Lasts; never leaves the server. */
  readonly secret: Buffer
  /** Whether somebody without an account is connected under that name. */
  isAnonymous(user: string, host: string): boolean
}

/** Throws an Error with a sentence for the administrator when the options do not suffice. */
type OpenBackend = (context: AuthContext) => AuthBackend

const backends: Readonly<Record<string, OpenBackend>> = {
  anonymous: ({ options, isAnonymous }) => new AnonymousBackend({ ...options, isConnected: isAnonymous }),
  external: ({ options, log }) => {
    if (options.extauth_program === undefined) {
      throw new Error('auth_method has external, so extauth_program must name the program')
    }
    return new ExternalBackend(
      new ExtauthPool({
        program: options.extauth_program,
        size: options.extauth_pool_size,
        timeout: options.extauth_timeout,
        log,
      }),
    )
  },
  internal: ({ options, storage, log, secret }) =>
    new InternalBackend(
      new Accounts({ storage, log, secret, passwordFormat: options.auth_password_format, rehash: true }),
    ),
  ldap: ({ options, log }) => ldapBackend(ldapOptions(options), log),
}

export const backendNames = Object.keys(backends)

/** The authenticator of a host; `close` it at the end. */
export function openAuthenticator(host: string, context: AuthContext): Authenticator {
  const names = [...new Set(context.options.auth_method)]
  // strangers come last: their names are what is left
  names.sort((one, other) => Number(one === 'anonymous') - Number(other === 'anonymous'))
  const chain = names.map((name) => {
    const open = backends[name]
    if (open === undefined) {
      throw new Error(`auth_method ${name} of ${host} is not known, it can be: ${backendNames.join(', ')}`)
    }
    return { name, backend: open(context) }
  })
  return new Authenticator(host, chain, context.log)
}
