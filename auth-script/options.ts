/** The words of the command line. Flags may stand anywhere. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { type LogFormat, type LogLevel, logLevels } from '../server-core/log.ts'
import { type HostKindName, hostKindComplaint, hostKindNames } from './host-kind.ts'
import type { FailureReply } from './wire.ts'

/** Where the accounts are. */
export type Source =
  | { readonly kind: 'config'; readonly file: string }
  | { readonly kind: 'gatehouse'; readonly file: string }
  | { readonly kind: 'flags'; readonly sqlite: string | undefined; readonly ldap: LdapFlags | undefined }

/** By the names of the LDAP backend's options, as texts. */
export type LdapFlags = Readonly<Record<string, string | readonly string[]>>

export interface Flags {
  readonly config?: string
  readonly gatehouse?: string
  readonly sqlite?: string
  readonly ldap?: readonly string[]
  readonly ldapBase?: string
  readonly ldapRootdn?: string
  readonly ldapPasswordFile?: string
  readonly ldapUids?: readonly string[]
  readonly ldapFilter?: string
  readonly ldapEncrypt?: string
  readonly ldapTlsCacertfile?: string
  readonly ldapBindDnTemplate?: string
  readonly readOnly?: true
  readonly hostKind?: HostKindName
  readonly failureReply?: FailureReply
  readonly logLevel?: LogLevel
  readonly logFile?: string
  readonly logFormat?: LogFormat
}

/** Wrong usage; the message is for whoever wrote the command line. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The program with its flags and without commands; without a command it serves. */
export function commandLine(version: string): Command {
  const repeated = (value: string, before: readonly string[] = []) => [...before, value]
  return new Command('gatehouse-extauth')
    .description(
      "Answers an XMPP server's questions about accounts: its line in ejabberd.yml is\n" +
        'extauth_program: "/absolute/path/to/gatehouse-extauth --sqlite FILE"',
    )
    .version(version)
    .option('--config <file>', 'extauth.yml: hosts, each with a chain of backends')
    .option('--sqlite <file>', 'accounts in an SQLite file; it is made when its folder exists')
    .option('--gatehouse <file>', 'the accounts of a gatehouse server, by its gatehouse.yml')
    .option(
      '--ldap <url>',
      'a directory server, ldap:// or ldaps://; several in order of preference',
      repeated,
    )
    .option('--ldap-base <dn>', 'the entry below which the users are')
    .option('--ldap-rootdn <dn>', 'who searches; anonymous when absent')
    .option('--ldap-password-file <file>', 'file with the password of --ldap-rootdn')
    .option('--ldap-uids <attribute>', 'attribute with the user name (uid); may be repeated', repeated)
    .option('--ldap-filter <filter>', 'what else a user has to match')
    .option('--ldap-encrypt <how>', 'none, starttls or tls')
    .option('--ldap-tls-cacertfile <file>', 'authorities to trust')
    .option('--ldap-bind-dn-template <dn>', 'name to log in with, made of %u and %d, in place of a search')
    .option('--read-only', 'answer auth and isuser only')
    .addOption(new Option('--host-kind <kind>', 'the server that runs this program').choices(hostKindNames))
    .addOption(
      new Option('--failure-reply <reply>', 'what is answered when it cannot be found out').choices([
        'deny',
        'error-frame',
      ]),
    )
    .addOption(new Option('--log-level <level>', 'what is logged (info)').choices(Object.keys(logLevels)))
    .option('--log-file <file>', 'file to append the log to; standard error when absent', notEmpty)
    .addOption(
      new Option('--log-format <format>', 'an object a line, or words (json)').choices(['json', 'plain']),
    )
    .allowExcessArguments(false)
    .helpCommand('help [command]', 'say what a command does, and its flags')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(see --help)')
}

function notEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It is empty.')
  return value
}

/** Throws UsageError when nothing says where the accounts are, or several things do. */
export function sourceOf(flags: Flags): Source {
  const { config, gatehouse, sqlite } = flags
  const ldap = ldapFlags(flags)
  const named = [config, gatehouse, sqlite ?? ldap].filter((one) => one !== undefined).length
  if (named === 0) {
    throw new UsageError(
      'nothing says where the accounts are: give --sqlite FILE, --ldap URL, --config FILE or --gatehouse FILE',
    )
  }
  if (named > 1) throw new UsageError('--config, --gatehouse and --sqlite or --ldap exclude each other')
  const complaint = hostKindComplaint(flags.hostKind ?? 'ejabberd', flags.failureReply)
  if (complaint !== undefined) throw new UsageError(complaint)
  if (config !== undefined) return { kind: 'config', file: config }
  if (gatehouse !== undefined) return { kind: 'gatehouse', file: gatehouse }
  return { kind: 'flags', sqlite, ldap }
}

function ldapFlags(flags: Flags): LdapFlags | undefined {
  const given = {
    ldap_servers: flags.ldap,
    ldap_base: flags.ldapBase,
    ldap_rootdn: flags.ldapRootdn,
    ldap_password_file: flags.ldapPasswordFile,
    ldap_uids: flags.ldapUids,
    ldap_filter: flags.ldapFilter,
    ldap_encrypt: flags.ldapEncrypt,
    ldap_tls_cacertfile: flags.ldapTlsCacertfile,
    ldap_bind_dn_template: flags.ldapBindDnTemplate,
  }
  const said = Object.entries(given).filter((entry): entry is [string, string | readonly string[]] => {
    return entry[1] !== undefined
  })
  if (said.length === 0) return undefined
  if (flags.ldap === undefined) throw new UsageError('--ldap URL is missing: which directory server to ask')
  return Object.fromEntries(said)
}
