/** What the schema cannot see: a list of small rules over the whole configuration. A new rule is one more entry. */
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import { dirname } from 'node:path'
import { z } from 'zod'
import { ldapComplaints, ldapFieldsSaid, ldapOptions } from '../auth/ldap/options.ts'
import { checkCertificates } from './certificate-checks.ts'
import { type Finding, findings, optionName, type Path, unknownOption, valueAt } from './complaint.ts'
import type { Fields } from './fields.ts'
import { reason } from './load-yaml.ts'
import { nearest } from './nearest.ts'
import { type Config, hostConfig } from './schema.ts'

/** A module or service as far as its options go. */
export interface Configurable {
  readonly name: string
  /** undefined: they cannot be known. */
  readonly options: Fields | undefined
  readonly requires?: readonly string[] | undefined
}

export interface Checked {
  /** Paths in it are absolute. */
  readonly config: Config
  /** As written: what is not here is a default. */
  readonly raw: unknown
  /** Those of others too. */
  readonly modules: readonly Configurable[]
  /** Why modules of others cannot be had, by name. */
  readonly externalProblems: ReadonlyMap<string, string>
  readonly services: readonly Configurable[]
  /** The commands that there are, whoever brings them. */
  readonly commands: readonly string[]
  isOctal(path: Path): boolean
  /** The path as it is in the file: entries of lists that the schema has refused are not in `config`. */
  inFile(path: Path): Path
  /** Options at the top of the file that the schema has refused: `config` has their defaults. */
  readonly broken: ReadonlySet<string>
}

/** A warning starts anyway. */
export type Found = Finding & { readonly warning?: true }
type Rule = (checked: Checked) => readonly Found[] | Promise<readonly Found[]>

/** The longest path that a UNIX socket can have (sun_path without its NUL); Node cuts longer ones silently. */
export const maxSocketPath = 107

const ldapOptionNames = Object.keys(ldapFieldsSaid) as (keyof typeof ldapFieldsSaid)[]

/**
 * Each with the options that it takes from `config`: where one of them is wrong in itself, it has nothing to say. What modules
 * and services take is said whatever else is wrong.
 */
const rules: readonly (readonly [Rule, ...(keyof Config)[]])[] = [
  [hostsTwice, 'hosts'],
  [unservedHosts, 'hosts', 'host_config'],
  [missingProgram, 'hosts', 'host_config', 'auth_method', 'extauth_program'],
  [directories, 'hosts', 'host_config', 'auth_method', ...ldapOptionNames],
  [listenerAddresses, 'listen'],
  [samePort, 'listen'],
  [unreachableLogin, 'listen'],
  [clearTextLogin, 'listen'],
  [controlCommands, 'control'],
  [controlSockets, 'control', 'data_dir'],
  [socketModes, 'control'],
  [externalModules, 'external_modules'],
  [moduleOptions],
  [serviceOptions],
  [requiredModules, 'hosts', 'host_config', 'modules'],
  [checkCertificates, 'certfiles', 'c2s_cafile', 'hosts', 'host_config'],
  [logFile, 'log_file'],
]

export async function checkConfig(checked: Checked): Promise<Found[]> {
  const applying = rules.filter(([, ...options]) => !options.some((option) => checked.broken.has(option)))
  const found = await Promise.all(applying.map(async ([rule]) => rule(checked)))
  return found.flat()
}

function wrong(path: Path, message: string, at: Finding['at'] = 'value'): Found {
  return { path, at, message }
}

function hostsTwice({ config }: Checked): Found[] {
  return config.hosts.flatMap((host, i) =>
    config.hosts.indexOf(host) < i ? [wrong(['hosts', i], `'${host}' stands twice in the list`)] : [],
  )
}

function unservedHosts({ config, raw }: Checked): Found[] {
  const written = Object.keys((valueAt(raw, ['host_config']) ?? {}) as object)
  return written.flatMap((name, i) => {
    const host = Object.keys(config.host_config)[i] ?? name
    if (config.hosts.includes(host)) return []
    const message = `'${name}' is not served; add it to hosts, or take its options away (hosts: ${[...new Set(config.hosts)].join(', ')})`
    return [wrong(['host_config', name], message, 'key')]
  })
}

function missingProgram({ config }: Checked): Found[] {
  return [...new Set(config.hosts)].flatMap((host) => {
    const options = hostConfig(config, host)
    if (!options.auth_method.includes('external') || options.extauth_program !== undefined) return []
    const own: unknown = config.host_config[host]?.auth_method
    const path: Path = own === undefined ? ['auth_method'] : ['host_config', host, 'auth_method']
    return [
      wrong(
        path,
        `'external' needs the option extauth_program, the command line of the program (host ${host})`,
      ),
    ]
  })
}

/** Of each host whose accounts are in a directory: what is missing, what does not fit together, files that are not there. */
async function directories({ config }: Checked): Promise<Found[]> {
  const found: Found[] = []
  for (const host of new Set(config.hosts)) {
    const options = hostConfig(config, host)
    const own: Readonly<Record<string, unknown>> = config.host_config[host] ?? {}
    const place = (option: string): Path =>
      own[option] === undefined ? [option] : ['host_config', host, option]
    if (!options.auth_method.includes('ldap')) continue
    const missing = (['ldap_servers', 'ldap_base'] as const).filter((name) => options[name] === undefined)
    if (missing.length > 0) {
      const message = `'ldap' needs the ${missing.length === 1 ? 'option' : 'options'} ${missing.join(' and ')} (host ${host})`
      found.push(wrong(place('auth_method'), message))
      continue
    }
    for (const sentence of ldapComplaints(ldapOptions(options))) {
      const [option = '', ...words] = sentence.split(' ')
      const isThere = valueAt(config, place(option)) !== undefined
      found.push(
        isThere
          ? wrong(place(option), `${words.join(' ')} (host ${host})`)
          : wrong(place('auth_method'), `${sentence} (host ${host})`),
      )
    }
    for (const option of ldapFiles) {
      const file = options[option]
      const problem = file === undefined ? undefined : await unreadable(file)
      if (problem !== undefined) found.push(wrong(place(option), problem))
    }
  }
  return found.filter(
    ({ path, message }, i) =>
      found.findIndex((one) => one.message === message && String(one.path) === String(path)) === i,
  )
}

const ldapFiles = ['ldap_password_file', 'ldap_tls_cacertfile', 'ldap_tls_certfile'] as const

async function unreadable(file: string): Promise<string | undefined> {
  try {
    await access(file, constants.R_OK)
    return undefined
  } catch (error) {
    return `${file} cannot be read: ${reason(error)}`
  }
}

function listenerAddresses({ config }: Checked): Found[] {
  return config.listen.flatMap((listener, i) =>
    isIP(listener.ip) === 0
      ? [
          wrong(
            ['listen', i, 'ip'],
            `must be an IP address such as '::' (all) or '127.0.0.1', not '${listener.ip}'`,
          ),
        ]
      : [],
  )
}

/** Whether two listeners would get in each other's way: '::' takes IPv4 as well. */
function overlap(a: string, b: string): boolean {
  if (a === b || a === '::' || b === '::') return true
  return isIP(a) === isIP(b) && (a === '0.0.0.0' || b === '0.0.0.0')
}

function samePort({ config, inFile }: Checked): Found[] {
  return config.listen.flatMap((listener, i) => {
    const other = config.listen.findIndex(
      (earlier, j) =>
        j < i && listener.port !== 0 && earlier.port === listener.port && overlap(earlier.ip, listener.ip),
    )
    if (other < 0) return []
    const message = `port ${listener.port} on ${listener.ip} is taken by ${optionName(inFile(['listen', other]))} (${config.listen[other]?.ip})`
    return [wrong(['listen', i, 'port'], message)]
  })
}

function unreachableLogin({ config }: Checked): Found[] {
  return config.listen.flatMap((listener, i) =>
    listener.tls || listener.starttls || !listener.starttls_required || listener.allow_unencrypted_plain_auth
      ? []
      : [
          wrong(
            ['listen', i, 'starttls'],
            'nobody could log in: TLS is required (starttls_required) but never offered',
          ),
        ],
  )
}

function isLoopback(ip: string): boolean {
  return ip === '::1' || /^127\./.test(ip) || /^::ffff:127\./i.test(ip)
}

function clearTextLogin({ config }: Checked): Found[] {
  return config.listen.flatMap((listener, i) =>
    listener.allow_unencrypted_plain_auth && !isLoopback(listener.ip)
      ? [
          wrong(
            ['listen', i, 'allow_unencrypted_plain_auth'],
            `passwords would cross the network in the clear: only with ip 127.0.0.1 or ::1, here it is ${listener.ip}`,
          ),
        ]
      : [],
  )
}

function controlCommands({ config, commands }: Checked): Found[] {
  // what other people's modules bring is not known before they start
  const isComplete = Object.keys(config.external_modules).length === 0
  return config.control.flatMap((listener, i) =>
    listener.commands === 'all'
      ? []
      : listener.commands.flatMap((name, j): Found[] => {
          if (commands.includes(name)) return []
          const near = nearest(name, commands)
          const hint = near === undefined ? "'gatehousectl help' lists them" : `did you mean '${near}'?`
          const path: Path = ['control', i, 'commands', j]
          if (isComplete) return [wrong(path, `there is no command '${name}'; ${hint}`)]
          return [{ ...wrong(path, `'${name}' is no command of the server's own; ${hint}`), warning: true }]
        }),
  )
}

async function controlSockets({ config, raw, inFile }: Checked): Promise<Found[]> {
  const found: Found[] = []
  for (const [i, listener] of config.control.entries()) {
    const path = listener.path ?? ''
    const written: Path =
      valueAt(raw, ['control', i, 'path']) === undefined ? ['data_dir'] : ['control', i, 'path']
    const bytes = Buffer.byteLength(path)
    if (bytes > maxSocketPath) {
      found.push(
        wrong(written, `${path} has ${bytes} bytes; the path of a UNIX socket may have ${maxSocketPath}`),
      )
    }
    const first = config.control.findIndex((other) => other.path === path)
    if (first < i) {
      found.push(wrong(written, `${path} is the path of ${optionName(inFile(['control', first]))} as well`))
    }
    if (written[0] === 'control' && !(await isFolder(dirname(path))) && dirname(path) !== config.data_dir) {
      found.push(wrong(written, `there is no folder ${dirname(path)} for the socket; make it first`))
    }
  }
  return found
}

function socketModes({ config, isOctal }: Checked): Found[] {
  return config.control.flatMap((listener, i): Found[] => {
    const path: Path = ['control', i, 'mode']
    if (isOctal(path)) return [wrong(path, "write it as text with its octal digits, for example '0660'")]
    if ((listener.mode & 0o007) === 0) return []
    const message = 'every user of this machine may run commands through this socket'
    return [{ ...wrong(path, message), warning: true }]
  })
}

interface Bag {
  readonly path: Path
  readonly options: Readonly<Record<string, unknown>>
}

/** The places where modules are configured: for all hosts, and for each one. */
function moduleBags({ raw }: Pick<Checked, 'raw'>): Bag[] {
  const hosts = Object.keys(mapping(valueAt(raw, ['host_config'])))
  const paths: Path[] = [['modules'], ...hosts.map((host) => ['host_config', host, 'modules'])]
  return paths.map((path) => ({ path, options: mapping(valueAt(raw, path)) }))
}

/** Nothing where there is none: that is said elsewhere. */
function mapping(value: unknown): Bag['options'] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Bag['options']) : {}
}

function externalModules({ externalProblems }: Checked): Found[] {
  return [...externalProblems].map(([name, problem]) => wrong(['external_modules', name], problem))
}

function moduleOptions(checked: Pick<Checked, 'raw' | 'modules'>): Found[] {
  return moduleBags(checked).flatMap((bag) => optionsOf(bag, checked.modules, 'module'))
}

function serviceOptions({ raw, services }: Pick<Checked, 'raw' | 'services'>): Found[] {
  const options = mapping(valueAt(raw, ['services']))
  return optionsOf({ path: ['services'], options }, services, 'service')
}

function optionsOf(bag: Bag, known: readonly Configurable[], kind: string): Found[] {
  return Object.entries(bag.options).flatMap(([name, value]): Found[] => {
    const spec = known.find((candidate) => candidate.name === name)
    if (!spec) {
      const names = known.map((candidate) => candidate.name)
      const message = unknownOption(name, names).replace('unknown option', `unknown ${kind}`)
      return [wrong([...bag.path, name], message, 'key')]
    }
    if (!spec.options) return []
    const schema = z.strictObject(spec.options)
    const parsed = schema.safeParse(value ?? {})
    if (parsed.success) return []
    return findings(parsed.error, schema, value ?? {}).map((finding) => ({
      ...finding,
      path: [...bag.path, name, ...finding.path],
    }))
  })
}

function requiredModules({ config, modules }: Checked): Found[] {
  const seen = new Set<string>()
  return [...new Set(config.hosts)].flatMap((host) => {
    if (config.modules === undefined) return []
    const loaded: Readonly<Record<string, unknown>> = hostConfig(config, host).modules ?? {}
    return Object.keys(loaded).flatMap((name) => {
      const spec = modules.find((candidate) => candidate.name === name)
      return (spec?.requires ?? []).flatMap((required) => {
        if (required in loaded || seen.has(`${name} ${required}`)) return []
        seen.add(`${name} ${required}`)
        const own = config.host_config[host]?.modules
        const path: Path = own && name in own ? ['host_config', host, 'modules', name] : ['modules', name]
        return [wrong(path, `needs ${required}, which is not among the modules of ${host}`, 'key')]
      })
    })
  })
}

async function logFile({ config }: Checked): Promise<Found[]> {
  if (config.log_file === undefined) return []
  const folder = dirname(config.log_file)
  if (!(await isFolder(folder))) return [wrong(['log_file'], `there is no folder ${folder}; make it first`)]
  try {
    await access(config.log_file, constants.W_OK)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (!missing) return [wrong(['log_file'], `${config.log_file} cannot be written: ${reason(error)}`)]
  }
  return []
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false
  }
}
