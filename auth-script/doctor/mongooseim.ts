/** mongooseim.toml, as far as authentication goes. Only lines of the kinds `[table]`, `[[table]]` and `key = value` are read. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { hostKinds } from '../host-kind.ts'
import { asList, type ServerSettings, type ServerWords, type Setting } from './server-settings.ts'

interface Line {
  readonly table: string
  /** Counts the tables of that name. */
  readonly index: number
  readonly key: string
  readonly value: unknown
  readonly place: string
}

const words: ServerWords = {
  methods: '[auth]\n  methods = ["external"]',
  program: 'program in [auth.external]',
  poolSize: 'instances in [auth.external]',
  usualPoolSize: 1,
  paste: (program, poolSize) =>
    [
      '[auth]',
      '  methods = ["external"]',
      '',
      '[auth.external]',
      `  program = "${program}"`,
      `  instances = ${poolSize}`,
    ].join('\n'),
}

/** Throws an Error with a sentence when the file cannot be read at all. */
export function readMongooseim(file: string): ServerSettings {
  const complaints: string[] = []
  const lines = linesOf(readFileSync(file, 'utf8'), basename(file), complaints)
  const find = (table: string, key: string, index?: number): Setting | undefined => {
    return lines.find(
      (line) => line.table === table && line.key === key && (index ?? line.index) === line.index,
    )
  }
  const static_ = asList(find('general', 'hosts')?.value)
  const types = asList(find('general', 'host_types')?.value)
  const own = lines.filter(
    ({ table, key }) => table === 'host_config' && (key === 'host' || key === 'host_type'),
  )
  const hosts = [...static_, ...types].map((host) => {
    const index = own.find(({ value }) => value === host)?.index
    const get = (table: string, key: string) =>
      (index === undefined ? undefined : find(`host_config.${table}`, key, index)) ?? find(table, key)
    const ownMethods = index === undefined ? undefined : find('host_config.auth', 'methods', index)
    const methods = ownMethods ?? find('auth', 'methods') ?? sections(lines)
    const program = get('auth.external', 'program')
    const instances = get('auth.external', 'instances')
    return {
      host,
      methods: { value: asList(methods?.value), place: methods?.place ?? 'not written' },
      hasOwnMethods: ownMethods !== undefined,
      program: program && { value: String(program.value), place: program.place },
      poolSize: typeof instances?.value === 'number' ? (instances as Setting<number>) : undefined,
      poolName: undefined,
      patience: { value: hostKinds.mongooseim.patience, place: 'always' },
      cache: false,
      register: undefined,
      scram: undefined,
    }
  })
  if (hosts.length === 0) complaints.push(`${basename(file)} has no hosts and no host_types in [general]`)
  return {
    kind: 'mongooseim',
    name: 'MongooseIM',
    file,
    version: undefined,
    user: 'mongooseim',
    hosts,
    dead: [],
    clearListeners: [],
    complaints,
    words,
  }
}

/** Without a list every method counts that has a section. */
function sections(lines: readonly Line[]): Setting | undefined {
  const tables = lines.filter(({ table }) => table.startsWith('auth.') && table !== 'auth.password')
  if (tables[0] === undefined) return undefined
  return {
    value: [...new Set(tables.map(({ table }) => table.slice('auth.'.length)))],
    place: tables[0].place,
  }
}

function linesOf(text: string, file: string, complaints: string[]): Line[] {
  const found: Line[] = []
  const counts = new Map<string, number>()
  let table = ''
  let index = 0
  for (const [number, raw] of text.split('\n').entries()) {
    const line = raw.replace(/^((?:[^"#]|"(?:[^"\\]|\\.)*")*)#.*$/, '$1').trim()
    const header = /^\[\[?\s*([\w.\-" ]+?)\s*\]?\]$/.exec(line)
    if (header) {
      table = header[1] ?? ''
      if (line.startsWith('[[')) counts.set(table, (counts.get(table) ?? -1) + 1)
      // A table inside the last [[…]] belongs to it.
      index = counts.get(table.split('.')[0] ?? '') ?? 0
      continue
    }
    const pair = /^([\w-]+)\s*=\s*(.+)$/.exec(line)
    if (!pair) continue
    const value = readValue(pair[2] ?? '')
    const place = `${file}:${number + 1}`
    if (value === undefined && /auth|general|host_config/.test(table)) {
      complaints.push(`${place}: this value is not understood here, it was passed over`)
    }
    found.push({ table, index, key: pair[1] ?? '', value, place })
  }
  return found
}

/** Texts, whole numbers, booleans, and lists of them on one line are written as in JSON. */
function readValue(text: string): unknown {
  try {
    return JSON.parse(
      text.replace(/,\s*\]$/, ']').replace(/^'([^']*)'$/, (_, inner: string) => JSON.stringify(inner)),
    )
  } catch {
    return undefined
  }
}
