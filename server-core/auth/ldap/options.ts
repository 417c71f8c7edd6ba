/** The options of the LDAP backend: ejabberd's names where ejabberd has the option. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { count, duration, listOf } from '../../config/fields.ts'
import { isAttributeName, parseFilter } from './filter.ts'
import { parseTemplate } from './template.ts'
import { parseUids } from './uids.ts'

export interface ServerAddress {
  readonly host: string
  /** Undefined: the usual one. */
  readonly port: number | undefined
  readonly isLdaps: boolean
}

/** Writes, by ejabberd's names of the operations. */
const writes = ['setpass', 'tryregister', 'removeuser'] as const

/** A schema whose meaning is a function of the text; what that function throws is the complaint. */
function parsed<T, I extends z.ZodType<unknown>>(
  input: I,
  parse: (value: z.output<I>) => T,
): z.ZodType<T, z.input<I>> {
  return input.transform((value, context) => {
    try {
      return parse(value)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
      return z.NEVER
    }
  }) as unknown as z.ZodType<T, z.input<I>>
}

const attributeName = z.string().refine(isAttributeName, 'must be the name of an attribute, such as uid')

const uidSchema = listOf(z.union([z.string(), z.record(z.string(), z.string())]))

const dnFilterSchema = z.union([
  z.string(),
  z.record(z.string(), listOf(attributeName)).refine((value) => Object.keys(value).length === 1, {
    message: 'must be one filter, or one filter with the list of attributes for its %s',
  }),
])

const newEntryAttributes = z.record(attributeName, listOf(z.string()))

export const ldapFields = {
  ldap_servers: listOf(parsed(z.string(), parseServer))
    .refine((list) => list.length > 0, {
      message: 'must name a server at least',
    })
    .describe('servers in order of preference: ldap://HOST, ldaps://HOST, or HOST'),
  ldap_base: z.string().describe('name of the entry below which the users are'),
  ldap_rootdn: z.string().default('').describe('who we are when we search; anonymous when absent'),
  ldap_password_file: z.string().optional().describe('file with the password of ldap_rootdn'),
  ldap_uids: parsed(uidSchema, parseUids)
    .default(parseUids(['uid']))
    .describe('attributes that hold the user name, each with a form of the value where it is not %u alone'),
  ldap_filter: parsed(z.string(), (text) => parseFilter(text, 'ud'))
    .optional()
    .describe('what else a user has to match; who does not is unknown'),
  ldap_dn_filter: parsed(dnFilterSchema, parseDnFilter)
    .optional()
    .describe('a second search that has to find something; who fails it is refused'),
  ldap_deref_aliases: z
    .enum(['never', 'searching', 'finding', 'always'])
    .default('never')
    .describe('when aliases are followed'),
  ldap_encrypt: z
    .enum(['none', 'starttls', 'tls'])
    .optional()
    .describe('tls for ldaps:// and starttls for ldap:// when absent; none only for ldap:// on this machine'),
  ldap_tls_cacertfile: z
    .string()
    .optional()
    .describe('PEM file with the authorities to trust; those of Node when absent'),
  ldap_tls_certfile: z.string().optional().describe('PEM file with our own certificate and its key'),
  ldap_tls_verify: z
    .union([z.enum(['hard', 'soft', 'false']), z.literal(false)])
    .transform((value) => (value === false || value === 'false' ? 'none' : value))
    .default('hard')
    .describe('soft: go on without a valid certificate, with a warning; false: do not look at it'),
  ldap_tls_servername: z
    .string()
    .optional()
    .describe('name that the certificate has to have; the host of the URL when absent'),
  ldap_bind_dn_template: parsed(z.string(), (text) => parseBindTemplate(text))
    .optional()
    .describe('name to log in with, made of %u and %d: no search is needed then'),
  ldap_writes: listOf(z.enum(writes)).default([]).describe('what may be changed in the directory'),
  ldap_password_method: z
    .enum(['auto', 'exop', 'modify', 'unicodePwd'])
    .default('auto')
    .describe('how a password is changed; auto: exop, and modify where the server does not know that'),
  ldap_new_entries: z.string().optional().describe('name of the entry below which new users are added'),
  ldap_new_entry_attributes: parsed(newEntryAttributes, parseAttributes)
    .default(parseAttributes({ objectClass: ['inetOrgPerson'], cn: ['%u'], sn: ['%u'] }))
    .describe('attributes of new users besides the name and the password'),
  ldap_timeout: duration({ min: 100 }).default(7_000).describe('how long a whole request may take'),
  ldap_operation_timeout: duration({ min: 50 })
    .default(3_000)
    .describe('how long a server may take for one answer, before another one is asked'),
  ldap_connect_timeout: duration({ min: 50 })
    .default(3_000)
    .describe('how long a connection may take, TLS included'),
  ldap_idle_timeout: duration({ min: 1_000 })
    .default(120_000)
    .describe('when a connection is closed that nobody uses'),
  ldap_search_connections: count(1, 256).default(4).describe('connections to a server for searches'),
  ldap_bind_connections: count(1, 256).default(8).describe('connections to a server for logins'),
  ldap_max_waiting: count(0, 100_000).default(1_000).describe('requests that may wait for a connection'),
} as const

const schema = z.strictObject(ldapFields)
export type LdapOptions = Readonly<z.output<typeof schema>>

type Said<F> = { readonly [K in keyof F]: z.ZodType<z.output<F[K]> | undefined> }

/** The same options where they may be said in several places: what is absent is undefined, defaults come with `ldapOptions`. */
export const ldapFieldsSaid = Object.fromEntries(
  Object.entries(ldapFields).map(([name, field]) => {
    const inner = field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field
    return [name, inner.optional().describe(field.description ?? '')]
  }),
) as unknown as Said<typeof ldapFields>

export type LdapOptionsSaid = { readonly [K in keyof LdapOptions]?: LdapOptions[K] | undefined }

/** Options with their defaults; ldap_servers and ldap_base must be there. */
export function ldapOptions(said: LdapOptionsSaid): LdapOptions {
  const names = Object.keys(ldapFields) as (keyof LdapOptions)[]
  return Object.fromEntries(
    names.map((name) => [name, said[name] ?? ldapFields[name].parse(undefined)]),
  ) as unknown as LdapOptions
}

/** What one option alone does not show; sentences that begin with the option's name. */
export function ldapComplaints(options: LdapOptions): string[] {
  const complaints: string[] = []
  const methods = options.ldap_password_method
  if (options.ldap_rootdn !== '' && options.ldap_password_file === undefined) {
    complaints.push('ldap_password_file is missing: the file with the password of ldap_rootdn')
  }
  if (options.ldap_rootdn === '' && options.ldap_password_file !== undefined) {
    complaints.push('ldap_rootdn is missing: whose password ldap_password_file has')
  }
  for (const server of options.ldap_servers) {
    if (server.isLdaps && options.ldap_encrypt !== undefined && options.ldap_encrypt !== 'tls') {
      complaints.push(`ldap_encrypt is ${options.ldap_encrypt}, but ldaps://${server.host} means tls`)
    }
    if (methods === 'unicodePwd' && encryptionOf(server, options) === 'none') {
      complaints.push('ldap_password_method unicodePwd needs TLS: set ldap_encrypt to starttls or tls')
    }
  }
  const template = options.ldap_bind_dn_template
  if (template !== undefined && !template.isDn) {
    if (options.ldap_filter !== undefined || options.ldap_dn_filter !== undefined) {
      complaints.push(
        'ldap_bind_dn_template is not the name of an entry, so ldap_filter and ldap_dn_filter cannot be asked for it',
      )
    }
  }
  if (options.ldap_writes.includes('tryregister') && options.ldap_new_entries === undefined) {
    complaints.push('ldap_new_entries is missing: where tryregister adds users')
  }
  if (options.ldap_writes.length > 0 && options.ldap_rootdn === '') {
    complaints.push('ldap_rootdn is missing: who makes the changes of ldap_writes')
  }
  return complaints
}

export type Encryption = 'none' | 'starttls' | 'tls'

/** Passwords cross the network in the clear only when somebody said so. */
export function encryptionOf(server: ServerAddress, options: LdapOptions): Encryption {
  if (server.isLdaps) return 'tls'
  return options.ldap_encrypt ?? (isHere(server.host) ? 'none' : 'starttls')
}

export function isHere(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function parseServer(text: string): ServerAddress {
  const wrong = new Error(`'${text}' is not a server: it looks like ldap://HOST, ldaps://HOST:PORT or HOST`)
  const whole = /^[a-z]+:\/\//i.test(text) ? text : `ldap://${isIP(text) === 6 ? `[${text}]` : text}`
  if (!URL.canParse(whole)) throw wrong
  const url = new URL(whole)
  if (!['ldap:', 'ldaps:'].includes(url.protocol) || url.hostname === '') throw wrong
  const hasMore = !['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== ''
  if (url.username !== '' || url.password !== '') {
    throw new Error(
      'a server cannot have a user or a password in its URL: they are ldap_rootdn and ldap_password_file',
    )
  }
  if (hasMore) throw wrong
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? undefined : Number(url.port),
    isLdaps: url.protocol === 'ldaps:',
  }
}

function parseDnFilter(value: z.output<typeof dnFilterSchema>) {
  const [text, attributes] = typeof value === 'string' ? [value, []] : (Object.entries(value)[0] ?? ['', []])
  return { template: parseFilter(text, 'udDs'), attributes }
}

function parseBindTemplate(text: string) {
  const template = parseTemplate(text, 'ud')
  if (!template.some((segment) => 'place' in segment && segment.place === '%u')) {
    throw new Error(`'${text}' has no %u, so all users would be the same one`)
  }
  // A name of an entry (RFC 4514) has attribute=value; Active Directory also takes user@domain.
  return { template, isDn: text.includes('=') }
}

function parseAttributes(value: Readonly<Record<string, readonly string[]>>) {
  return Object.entries(value).map(([name, values]) => ({
    name,
    values: values.map((text) => parseTemplate(text, 'ud')),
  }))
}
