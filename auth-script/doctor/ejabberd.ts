/** ejabberd.yml, as far as authentication goes: macros, included files, and what single hosts have differently. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml'
import { reason } from '../../server-core/config/load-yaml.ts'
import { hostKinds } from '../host-kind.ts'
import {
  asList,
  type HostSettings,
  type ServerSettings,
  type ServerWords,
  type Setting,
} from './server-settings.ts'

type Options = ReadonlyMap<string, Setting>

/** Throws an Error with a sentence when the file cannot be read at all. */
export function readEjabberd(file: string): ServerSettings {
  const complaints: string[] = []
  const options = optionsOf(file, complaints)
  const hosts = asList(options.get('hosts')?.value)
  const own = ownOptions(options)
  const kind = options.has('extauth_instances') ? 'ejabberd-old' : 'ejabberd'
  const settings = hosts.map((host) => hostSettings(kind, host, options, own.get(host) ?? new Map()))
  if (hosts.length === 0) complaints.push(`${basename(file)} has no hosts`)
  return {
    kind,
    name: 'ejabberd',
    file,
    version: installedVersion(),
    user: 'ejabberd',
    hosts: settings,
    dead: deadOptions(options),
    clearListeners: clearListeners(options),
    complaints,
    words: kind === 'ejabberd-old' ? oldWords : words,
  }
}

const words: ServerWords = {
  methods: 'auth_method: [external]',
  program: 'extauth_program',
  poolSize: 'extauth_pool_size',
  usualPoolSize: 'cpus',
  paste: (program, poolSize, hasManyHosts) =>
    [
      'auth_method: [external]',
      `extauth_program: "${program}"`,
      ...(hasManyHosts ? ['extauth_pool_name: gatehouse'] : []),
      `extauth_pool_size: ${poolSize}`,
      'auth_use_cache: false',
    ].join('\n'),
}

const oldWords: ServerWords = {
  ...words,
  poolSize: 'extauth_instances',
  usualPoolSize: 1,
  paste: (program, poolSize) =>
    ['auth_method: [external]', `extauth_program: "${program}"`, `extauth_instances: ${poolSize}`].join('\n'),
}

/** The options at the top, those of included files after its own. */
function optionsOf(file: string, complaints: string[], depth = 0): Options {
  const lines = new LineCounter()
  // ejabberd's own reader is not strict either.
  const document = parseDocument(readFileSync(file, 'utf8'), {
    lineCounter: lines,
    uniqueKeys: false,
    strict: false,
    logLevel: 'silent',
  })
  for (const { message } of document.errors) complaints.push(`${basename(file)}: ${message}`)
  const options = new Map<string, Setting>()
  if (!isMap(document.contents)) return options
  for (const { key, value } of document.contents.items) {
    if (!isScalar(key)) continue
    const place = `${basename(file)}:${lines.linePos(key.range?.[0] ?? 0).line}`
    const plain = (value as { toJS?(document: unknown): unknown } | null)?.toJS?.(document)
    options.set(String(key.value), { value: plain, place })
  }
  const included = options.get('include_config_file')?.value
  const names = isObject(included) && !Array.isArray(included) ? Object.keys(included) : asList(included)
  for (const name of depth < 5 ? names : []) {
    const path = resolve(dirname(file), name)
    try {
      for (const [option, setting] of optionsOf(path, complaints, depth + 1)) {
        if (!options.has(option)) options.set(option, setting)
      }
    } catch (error) {
      complaints.push(`include_config_file: ${path} cannot be read: ${reason(error)}`)
    }
  }
  return depth > 0 ? options : withoutMacros(options)
}

function withoutMacros(options: Options): Options {
  const defined = options.get('define_macro')?.value
  const macros = new Map(Object.entries(isObject(defined) ? defined : {}))
  const replace = (value: unknown): unknown => {
    if (typeof value === 'string') {
      if (macros.has(value)) return macros.get(value)
      return value.replace(/@([A-Z_]+)@/g, (all, name: string) => String(macros.get(name) ?? all))
    }
    if (Array.isArray(value)) return value.map(replace)
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [replace(key), replace(one)]))
  }
  return new Map([...options].map(([name, { value, place }]) => [name, { value: replace(value), place }]))
}

/** What hosts have of their own; the place is that of the whole option. */
function ownOptions(options: Options): ReadonlyMap<string, Options> {
  const own = new Map<string, Map<string, Setting>>()
  for (const name of ['host_config', 'append_host_config']) {
    const setting = options.get(name)
    if (!isObject(setting?.value)) continue
    for (const [host, values] of Object.entries(setting.value)) {
      const known = own.get(host) ?? new Map<string, Setting>()
      for (const [option, value] of Object.entries(isObject(values) ? values : {})) {
        known.set(option, { value, place: `${setting.place}, ${name} of ${host}` })
      }
      own.set(host, known)
    }
  }
  return own
}

function hostSettings(
  kind: 'ejabberd' | 'ejabberd-old',
  host: string,
  all: Options,
  own: Options,
): HostSettings {
  const get = (option: string) => own.get(option) ?? all.get(option)
  const methods = get('auth_method')
  const program = get('extauth_program')
  const poolSize = get('extauth_pool_size') ?? get('extauth_instances')
  const poolName = get('extauth_pool_name')
  const cache = (get('auth_use_cache') ?? get('use_cache'))?.value
  return {
    host,
    methods: { value: asList(methods?.value ?? 'mnesia'), place: methods?.place ?? 'not written' },
    hasOwnMethods: own.has('auth_method'),
    program: program && { value: String(program.value), place: program.place },
    poolSize: Number.isInteger(poolSize?.value) ? (poolSize as Setting<number>) : undefined,
    poolName: poolName && { value: String(poolName.value), place: poolName.place },
    patience: { value: hostKinds[kind].patience, place: 'always' },
    cache: cache !== false && cache !== 'false',
    register: [own, all].map(registerModule).find((setting) => setting !== undefined),
    scram: get('auth_stored_password_types'),
  }
}

function registerModule(options: Options): Setting | undefined {
  const modules = options.get('modules')
  return isObject(modules?.value) && 'mod_register' in modules.value ? modules : undefined
}

function deadOptions(options: Options): ServerSettings['dead'] {
  return ['extauth_cache'].flatMap((option) => {
    const setting = options.get(option)
    return setting === undefined ? [] : [{ ...setting, option }]
  })
}

function clearListeners(options: Options): Setting[] {
  const { value, place = '' } = options.get('listen') ?? {}
  const listeners = Array.isArray(value) ? value.filter(isObject) : []
  return listeners
    .filter(({ module, tls, starttls_required, ip }) => {
      const isLocal = typeof ip === 'string' && /^(127\.|::1$|unix:)/.test(ip)
      return module === 'ejabberd_c2s' && !isLocal && tls !== true && starttls_required !== true
    })
    .map(({ port }) => ({ value: port, place }))
}

/** The newest that a package has put where packages put it. */
function installedVersion(): string | undefined {
  const found = ['/usr/lib', '/opt'].flatMap((folder) => {
    const names = listOf(folder).flatMap((name) => [
      name,
      ...listOf(`${folder}/${name}`, folder === '/usr/lib'),
    ])
    return names.flatMap((name) => /^ejabberd-(\d+\.\d+(?:\.\d+)?)/.exec(name)?.[1] ?? [])
  })
  return found.sort().at(-1)
}

function listOf(folder: string, isWanted = true): string[] {
  try {
    return isWanted ? readdirSync(folder) : []
  } catch {
    return []
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
