/**
 * The servers that a person works with, by name: $XDG_CONFIG_HOME/gatehouse/ctl.yml, else ~/.config/gatehouse/ctl.yml, else
 * /etc/gatehouse/ctl.yml.
 *
 *     default: here
 *     servers:
 *       here: /run/gatehouse/gatehouse.sock
 *       test: {config: ~/test/gatehouse.yml}
 *       old: {folder: /srv/old}
 */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Surroundings } from './client.ts'
import { UsageError } from './words.ts'

/** How one of them is found: its socket, its configuration, or the folder that it runs in. */
export type KnownServer =
  | { readonly socket: string }
  | { readonly config: string }
  | { readonly folder: string }

export interface Servers {
  readonly file: string
  readonly default: string | undefined
  readonly servers: ReadonlyMap<string, KnownServer>
}

const ways = ['socket', 'config', 'folder'] as const

/** undefined when there is no such file. Throws UsageError when it is wrong. */
export async function knownServers({
  environment,
}: Pick<Surroundings, 'environment'>): Promise<Servers | undefined> {
  const home = environment['HOME'] || undefined
  const own = environment['XDG_CONFIG_HOME'] || (home === undefined ? undefined : join(home, '.config'))
  for (const folder of own === undefined ? ['/etc'] : [own, '/etc']) {
    const file = join(folder, 'gatehouse/ctl.yml')
    const text = textOf(file)
    if (text !== undefined) return understood(file, text, home)
  }
  return undefined
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new UsageError(`${file} cannot be read: ${code}`)
  }
}

async function understood(file: string, text: string, home: string | undefined): Promise<Servers> {
  const { parse } = await import('yaml')
  let value: unknown
  try {
    value = parse(text, { logLevel: 'error' })
  } catch (error) {
    throw new UsageError(`${file} is no YAML: ${(error as Error).message.split('\n')[0]}`)
  }
  const { default: usual, servers = {}, ...rest } = mapping(file, value ?? {}, 'the file')
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw new UsageError(`${file}: unknown option '${unknown}'; there are: default, servers`)
  }
  const known = new Map(
    Object.entries(mapping(file, servers, 'servers')).map(([name, how]) => [
      name,
      wayOf(file, name, how, home),
    ]),
  )
  if (usual !== undefined && (typeof usual !== 'string' || !known.has(usual))) {
    throw new UsageError(
      `${file}: default is the name of one of the servers (${[...known.keys()].join(', ')})`,
    )
  }
  return { file, default: usual as string | undefined, servers: known }
}

function wayOf(file: string, name: string, how: unknown, home: string | undefined): KnownServer {
  const absolute = (path: string) =>
    resolve(dirname(file), home === undefined ? path : path.replace(/^~(?=\/|$)/, home))
  if (typeof how === 'string') return { socket: absolute(how) }
  const options = mapping(file, how, name)
  const [way, ...more] = Object.keys(options)
  const path = options[way ?? '']
  if (
    way === undefined ||
    more.length > 0 ||
    !(ways as readonly string[]).includes(way) ||
    typeof path !== 'string'
  ) {
    throw new UsageError(
      `${file}: ${name} is the path of a control socket, or one of {socket: PATH}, {config: PATH}, {folder: PATH}`,
    )
  }
  return { [way]: absolute(path) } as KnownServer
}

function mapping(file: string, value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>
  }
  throw new UsageError(`${file}: ${what} must be a mapping of names`)
}
