/**
 * The server's own options, with ejabberd's names wherever ejabberd has the option. What a module or a service takes is
 * said beside that module or service, and checked with these.
 */
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { ldapFieldsSaid } from '../auth/ldap/options.ts'
import { type LogLevel, logLevels } from '../log.ts'
import { count, duration, fileMode, hostName, listOf, network, size } from './fields.ts'

const levels = Object.keys(logLevels) as [LogLevel, ...LogLevel[]]

/** Limits on what a stream may carry (bytes, counts), by listener. */
const streamLimits = {
  max_stanza_size: size({ min: 10_000 }).default(262_144).describe('largest stanza, in bytes'),
  pre_auth_max_stanza_size: size({ min: 1_000 }).default(10_000).describe('the same before login'),
  pre_auth_max_stanza_elements: count(8).default(128).describe('most elements in a stanza before login'),
  pre_auth_max_stanza_depth: count(4).default(64).describe('deepest nesting before login'),
  max_stanza_elements: count(16).default(4_096).describe('most elements in a stanza'),
  max_stanza_depth: count(8).default(256).describe('deepest nesting of elements'),
  max_attributes: count(4).default(100).describe('most attributes of an element, namespaces included'),
  max_name_bytes: count(16).default(1_024).describe('longest name of an element or attribute, in bytes'),
}

const shaper = z.union([
  z.literal('none'),
  z.strictObject({
    rate: size({ min: 1 }).describe('bytes a second'),
    burst_size: size({ min: 1 }).optional().describe('bytes that may come at once'),
  }),
])

const c2sListener = z.strictObject({
  port: count(0, 65_535).describe('0 takes any free port'),
  ip: z.string().default('::').describe('address to listen on'),
  module: z
    .preprocess((name) => (name === 'ejabberd_c2s' ? 'c2s' : name), z.literal('c2s'))
    .describe('what speaks there: c2s'),
  tls: z.boolean().default(false).describe('direct TLS from the first byte (XEP-0368)'),
  starttls: z.boolean().default(true).describe('offer STARTTLS'),
  starttls_required: z.boolean().default(true).describe('refuse to log in without TLS'),
  allow_unencrypted_plain_auth: z
    .boolean()
    .default(false)
    .describe('PLAIN without TLS, on loopback addresses only: for local bots and benchmarks'),
  backlog: count(1, 65_535).default(1_024).describe('connections that may wait to be accepted'),
  shaper: shaper.default({ rate: 20_480, burst_size: 102_400 }).describe('how fast a client may send'),
  ...streamLimits,
})

const controlListener = z.strictObject({
  path: z.string().optional().describe('path of the socket; gatehouse.sock in the data folder when absent'),
  mode: fileMode().default(0o600).describe('permissions of the socket'),
  group: z.string().optional().describe('group that owns the socket'),
  commands: z
    .union([z.literal('all'), z.array(z.string())])
    .default('all')
    .describe('the commands that may be run through it'),
})

/** Without a configuration only programs on this machine can connect. */
function defaultListeners(): z.output<typeof c2sListener>[] {
  const here = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const ips = here.some(({ address }) => address === '::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1']
  return ips.flatMap((ip) => [
    c2sListener.parse({ port: 5222, ip, module: 'c2s' }),
    c2sListener.parse({ port: 5223, ip, module: 'c2s', tls: true }),
  ])
}

/** What a virtual host may say differently (`host_config`). */
const hostOptions = {
  auth_method: listOf(z.enum(['anonymous', 'external', 'internal', 'ldap']))
    .refine((list) => list.length > 0, { message: 'must name one at least' })
    .describe('where accounts are kept; several are asked in turn, anonymous last'),
  auth_password_format: z.enum(['scram', 'plain', 'bcrypt']).describe('how new passwords are kept'),
  extauth_program: z.string().describe('command line of the external authentication program'),
  extauth_pool_size: count(1, 256).describe('how many of it run'),
  extauth_timeout: duration({ min: 100 }).describe('how long one answer may take'),
  anonymous_protocol: z
    .enum(['sasl_anon', 'login_anon', 'both'])
    .describe('with anonymous: names of ours (SASL ANONYMOUS), any free name with any password, or both'),
  allow_multiple_connections: z
    .boolean()
    .describe('with login_anon: one name may be taken again while it is connected'),
  certfiles: listOf(z.string()).describe('PEM files with certificates and keys'),
  c2s_cafile: listOf(z.string()).describe(
    'PEM files with the authorities (and their lists of revoked certificates) whose word is taken for certificates of clients',
  ),
  ...ldapFieldsSaid,
}

export const hostOptionNames = Object.keys(hostOptions) as readonly (keyof typeof hostOptions)[]

/** Options of a module or service: its own schema checks them. */
const optionBag = z.record(z.string(), z.unknown())

/** What one host has differently. */
export const hostSchema = z
  .strictObject({
    ...hostOptions,
    modules: z.record(z.string(), optionBag.nullable()),
  })
  .partial()

export const configSchema = z.strictObject({
  hosts: z.array(hostName()).min(1).default(['localhost']).describe('the domains that are served'),
  data_dir: z
    .string()
    .default('data')
    .describe('folder of the database, the certificate and the control socket'),
  loglevel: z.enum(levels).default('info').describe('how much is logged'),
  log_file: z.string().optional().describe('file to log to; standard error when absent'),
  listen: z
    .array(c2sListener)
    .default(() => defaultListeners())
    .describe('where clients connect'),
  control: z
    .array(controlListener)
    .default([controlListener.parse({})])
    .describe('where gatehousectl connects'),
  modules: z.record(z.string(), optionBag.nullable()).optional().describe('modules of every host'),
  external_modules: z
    .record(z.string(), z.string())
    .default({})
    .describe("modules of others: their names, and their files, from this file's folder"),
  services: z
    .record(z.string(), optionBag.nullable())
    .default({ service_admin_extra: {} })
    .describe('services of the whole server'),
  host_config: z.record(hostName(), hostSchema).default({}).describe('what single hosts have differently'),
  auth_method: hostOptions.auth_method.default(['internal']),
  auth_password_format: hostOptions.auth_password_format.default('scram'),
  extauth_program: hostOptions.extauth_program.optional(),
  extauth_pool_size: hostOptions.extauth_pool_size.default(2),
  extauth_timeout: hostOptions.extauth_timeout.default(8_000),
  anonymous_protocol: hostOptions.anonymous_protocol.default('sasl_anon'),
  allow_multiple_connections: hostOptions.allow_multiple_connections.default(false),
  ...ldapFieldsSaid,
  certfiles: hostOptions.certfiles.default([]),
  c2s_cafile: hostOptions.c2s_cafile.default([]),
  disable_sasl_scram_downgrade_protection: z
    .boolean()
    .default(false)
    .describe('do not tell clients what they were offered (XEP-0474): for clients that stumble over it'),
  resource_conflict: z
    .enum(['replace', 'refuse', 'rename'])
    .default('replace')
    .describe(
      'a resource that is in use: its session ends, or the new one is refused, or gets a random name',
    ),
  max_user_sessions: count(1).default(10).describe('sessions of one account'),
  max_user_sessions_action: z
    .enum(['replace', 'refuse'])
    .default('replace')
    .describe(
      'at one more: the oldest session ends (those without a connection first), or the new one is refused',
    ),
  auth_attempts: count(1, 100).default(5).describe('logins tried on one stream'),
  bind_attempts: count(1, 100).default(5).describe('resources asked for on one stream'),
  tls_handshake_timeout: duration({ min: 1_000 })
    .default(15_000)
    .describe('from the first byte of TLS to its last'),
  state_timeout: duration({ min: 1_000 }).default(60_000).describe('in any state before the session is open'),
  negotiation_timeout: duration({ min: 1_000 })
    .default(120_000)
    .describe('from connecting to an open session'),
  send_timeout: duration({ min: 1_000 }).default(15_000).describe('without progress in writing'),
  close_timeout: duration({ min: 100 }).default(5_000).describe("waiting for the peer's closing tag"),
  ping_interval: duration({ min: 1_000 }).default(300_000).describe('silence after which a client is asked'),
  ping_timeout: duration({ min: 1_000 })
    .default(60_000)
    .describe('without an answer, after which the connection is treated as broken'),
  resume_timeout: duration({ min: 0 })
    .default(300_000)
    .describe('how long the session of a lost connection waits to be resumed; 0 = not at all'),
  ack_timeout: duration({ min: 1_000 })
    .default(60_000)
    .describe('a client that owes an acknowledgement so long is gone'),
  max_unacked: count(100).default(5_000).describe('stanzas that a client may leave unacknowledged'),
  max_unacked_bytes: size({ min: 65_536 }).default(4_194_304).describe('the same in bytes'),
  max_output_bytes: size({ min: 65_536 }).default(4_194_304).describe('waiting for one client'),
  max_mailbox: count(10).default(10_000).describe('stanzas waiting for one session'),
  max_mailbox_bytes: size({ min: 65_536 }).default(8_388_608).describe('the same in bytes'),
  max_directed: count(1)
    .default(1_000)
    .describe('addresses outside of the roster that a session shows its presence to'),
  trusted_proxies: listOf(network())
    .default([])
    .describe('addresses and networks of proxies, behind which there are many people: no limits by address'),
  connections_per_address: count(1).default(1_000).describe('loopback is exempt'),
  failed_login_delay: duration()
    .default(5_000)
    .describe(
      'how long, at most, the answer to a wrong password is held for an account that is guessed at; 0 = never',
    ),
  failed_logins_per_minute: count(1).default(60).describe('by address; loopback is exempt'),
  iq_needs_presence: z
    .boolean()
    .default(false)
    .describe('a request to a full JID is delivered from those only who may see its presence'),
  hook_timeout: duration({ min: 100 })
    .default(30_000)
    .describe("how long a module's handler may take before others go on without it"),
})

export type Config = z.output<typeof configSchema>
export type C2sListener = z.output<typeof c2sListener>
export type ControlListener = z.output<typeof controlListener>
export type HostOptions = Pick<Config, keyof typeof hostOptions>

/** The options of one host: its own over the general ones. */
export function hostConfig(config: Config, host: string): HostOptions & Pick<Config, 'modules'> {
  const own: Partial<Record<string, unknown>> = config.host_config[host] ?? {}
  const said = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
  const modules = { ...config.modules, ...config.host_config[host]?.modules }
  return { ...config, ...said, modules }
}
