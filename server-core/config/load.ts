/**
 * The server's configuration: found, read, checked whole, and typed. Nothing is started before all of it is right; all
 * complaints come at once.
 */
import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { type Configurable, checkConfig } from './checks.ts'
import { type Complaint, type Finding, findings, optionName } from './complaint.ts'
import { inOrder, loadYaml } from './load-yaml.ts'
import { type Config, configSchema, type HostOptions, hostSchema } from './schema.ts'

export { type Complaint, formatComplaint } from './complaint.ts'
export { checkYaml, type Loaded, loadYaml } from './load-yaml.ts'

export type LoadedConfig =
  | {
      readonly ok: true
      /** data_dir, log_file, certfiles and the control sockets' paths are absolute, from the file's folder. */
      readonly config: Config
      readonly warnings: readonly Complaint[]
    }
  | { readonly ok: false; readonly complaints: readonly Complaint[] }

export interface LoadOptions {
  /** The file; undefined = all defaults. */
  readonly path: string | undefined
  readonly modules: readonly Configurable[]
  /** The module in a file that `external_modules` names; rejects with an Error that says why it cannot be had. */
  external?(name: string, file: string): Promise<Configurable>
  readonly services: readonly Configurable[]
  /** Names of all commands. */
  readonly commands: readonly string[]
}

/** Where the configuration is: what was asked for, else the environment, else the working folder; undefined = none. */
export function configPath(
  argument: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const named = argument ?? (environment['GATEHOUSE_CONFIG'] || undefined)
  if (named !== undefined) return named
  return existsSync('gatehouse.yml') ? 'gatehouse.yml' : undefined
}

export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { path, modules, services, commands } = options
  const loaded = path === undefined ? undefined : await loadYaml(configSchema, path)
  const said = loaded?.ok === false ? loaded.complaints : []
  const right = loaded?.ok === false ? loaded.rest : loaded
  // Nothing in it can be looked at further.
  if (loaded && !right) return { ok: false, complaints: said }
  const config = absolute(right?.value ?? configSchema.parse({}), path === undefined ? '.' : dirname(path))
  const others = await externalModules(config, options)
  const found = await checkConfig({
    config,
    raw: right?.source.raw ?? {},
    modules: [...modules, ...others.modules],
    externalProblems: others.problems,
    services,
    commands,
    isOctal: (place) => right?.source.isOctal(place) ?? false,
    inFile: (place) => right?.source.inFile(place) ?? place,
    broken: right && 'broken' in right ? right.broken : new Set(),
  })
  const place = right?.source.complaint ?? withoutFile
  const isSaid = ({ line, column }: Complaint) =>
    said.some((other) => other.line === line && other.column === column)
  const more = found.filter((one) => !one.warning).map(place)
  const complaints = [...said, ...more.filter((one) => !isSaid(one))]
  if (complaints.length > 0) return { ok: false, complaints: inOrder(complaints) }
  return { ok: true, config, warnings: inOrder(found.map(place)) }
}

/**
 * The configuration with one more host, which has these options (as in `host_config`; files by absolute paths). Complaints
 * name the options of the host.
 */
export async function withDomain(
  config: Config,
  host: string,
  given: Readonly<Record<string, unknown>>,
  known: Omit<LoadOptions, 'path'>,
): Promise<LoadedConfig> {
  const parsed = hostSchema.safeParse(given)
  if (!parsed.success) {
    return { ok: false, complaints: findings(parsed.error, hostSchema, given).map(withoutFile) }
  }
  const own = parsed.data
  const now: Config = {
    ...config,
    hosts: [...config.hosts, host],
    host_config: { ...config.host_config, [host]: own },
  }
  const { modules, problems } = await externalModules(config, known)
  const found = await checkConfig({
    ...known,
    config: now,
    raw: { host_config: { [host]: given } },
    modules: [...known.modules, ...modules],
    externalProblems: problems,
    isOctal: () => false,
    inFile: (path) => path,
    broken: new Set(),
  })
  const isOwn = ({ path }: Finding) => path[0] === 'host_config' && path[1] === host
  const complaints = found
    .filter((one) => !one.warning && isOwn(one))
    .map((one) => withoutFile({ ...one, path: one.path.slice(2) }))
  for (const name of fileOptions) {
    for (const file of [own[name] ?? []].flat()) {
      if (isAbsolute(file)) continue
      complaints.push(
        withoutFile({ path: [name], at: 'value', message: `must be an absolute path, not '${file}'` }),
      )
    }
  }
  return complaints.length > 0 ? { ok: false, complaints } : { ok: true, config: now, warnings: [] }
}

/** Those that cannot be had are there by name: what is said of their options cannot be checked. */
async function externalModules(config: Config, { external }: Pick<LoadOptions, 'external'>) {
  const modules: Configurable[] = []
  const problems = new Map<string, string>()
  for (const [name, file] of Object.entries(config.external_modules)) {
    try {
      modules.push((await external?.(name, file)) ?? { name, options: undefined })
    } catch (error) {
      modules.push({ name, options: undefined })
      problems.set(name, (error as Error).message)
    }
  }
  return { modules, problems }
}

function withoutFile(finding: Finding): Complaint {
  const { path, message } = finding
  return { file: undefined, line: undefined, column: undefined, option: optionName(path), message }
}

/** Options of a host that are files. */
const fileOptions = [
  'certfiles',
  'c2s_cafile',
  'ldap_password_file',
  'ldap_tls_cacertfile',
  'ldap_tls_certfile',
] as const satisfies readonly (keyof HostOptions)[]

/** Paths in a file are meant from the folder that the file is in, wherever the server is started. */
function absolute(config: Config, base: string): Config {
  const dataDir = resolve(base, config.data_dir)
  const files = (options: { readonly [K in (typeof fileOptions)[number]]?: HostOptions[K] | undefined }) =>
    Object.fromEntries(
      fileOptions.flatMap((name) => {
        const value = options[name]
        if (value === undefined) return []
        return [
          [name, typeof value === 'string' ? resolve(base, value) : value.map((file) => resolve(base, file))],
        ]
      }),
    )
  return {
    ...config,
    ...files(config),
    data_dir: dataDir,
    log_file: config.log_file === undefined ? undefined : resolve(base, config.log_file),
    control: config.control.map((listener) => ({
      ...listener,
      path: listener.path === undefined ? join(dataDir, 'gatehouse.sock') : resolve(base, listener.path),
    })),
    external_modules: Object.fromEntries(
      Object.entries(config.external_modules).map(([name, file]) => [name, resolve(base, file)]),
    ),
    host_config: Object.fromEntries(
      Object.entries(config.host_config).map(([host, own]) => [host, { ...own, ...files(own) }]),
    ),
  }
}
