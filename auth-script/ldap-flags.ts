/** A directory as the command line says it. */
import { resolve } from 'node:path'
import { z } from 'zod'
import { ldapBackend, ldapFields } from '../server-core/auth/ldap.ts'
import { findings, optionName } from '../server-core/config/complaint.ts'
import type { Logger } from '../server-core/log.ts'
import type { LdapFlags } from './options.ts'
import type { PlannedBackend } from './plan.ts'

const schema = z.strictObject(ldapFields)

/** Throws an Error with a line for each flag that is wrong. */
export function ldapOfFlags(flags: LdapFlags, log: Logger): PlannedBackend {
  const parsed = schema.safeParse(flags)
  if (parsed.success) {
    const { ldap_password_file, ldap_tls_cacertfile } = parsed.data
    const paths = [ldap_password_file, ldap_tls_cacertfile].flatMap((path) =>
      path === undefined ? [] : resolve(path),
    )
    return { name: 'ldap', type: 'ldap', paths, backend: ldapBackend(parsed.data, log) }
  }
  const flagOf = (option: string) =>
    option === 'ldap_servers' ? '--ldap' : `--${option.replaceAll('_', '-')}`
  const lines = findings(parsed.error, schema, flags).map(({ path, message }) => {
    return `${flagOf(optionName(path.slice(0, 1)))}: ${message}`
  })
  throw new Error(lines.join('\n'))
}
