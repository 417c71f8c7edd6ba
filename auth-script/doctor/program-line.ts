/** The command line that a server starts (`exec LINE`, by a shell): its words, and what will become of them. */
import { realpathSync, statSync } from 'node:fs'
import { basename, isAbsolute, resolve } from 'node:path'
import { CommanderError } from 'commander'
import { type Finding, ok, warning, wrong } from '../findings.ts'
import { commandLine, type Flags } from '../options.ts'
import { obstacle, type Person } from './person.ts'
import type { Setting } from './server-settings.ts'

export interface ProgramLine {
  readonly findings: readonly Finding[]
  /** What it says to gatehouse-extauth; undefined when it is another program, or has mistakes. */
  readonly flags: Flags | undefined
  readonly isRelay: boolean
}

/** `ourFolder`: where this program is. */
export function judgeProgramLine(line: Setting<string>, person: Person, ourFolder: string): ProgramLine {
  const words = shellWords(line.value)
  const [path = '', ...rest] = words ?? []
  const place = `${line.place}: `
  if (words === undefined || path === '') {
    const says = `${place}${line.value === '' ? 'the command line is empty' : 'a quote is not closed'}`
    return { findings: [wrong(says, 'write it as the line below')], flags: undefined, isRelay: false }
  }
  if (!isAbsolute(path)) {
    const says = `${place}'${path}' is not an absolute path: it is looked for in the PATH of a service`
    const remedy = `write ${ourFolder}/gatehouse-extauth`
    return { findings: [wrong(says, remedy)], flags: undefined, isRelay: false }
  }
  const blocked = obstacle(person, path, 'execute') ?? notAFile(path)
  if (blocked !== undefined) {
    const remedy = blocked.startsWith('there is no')
      ? `write ${ourFolder}/gatehouse-extauth`
      : `make it usable for ${person.name}: chmod 755, or move it out of a private folder`
    return { findings: [wrong(`${place}${blocked}`, remedy)], flags: undefined, isRelay: false }
  }
  const named = isNode(path) ? rest[0] : path
  if (named === undefined || !/^gatehouse-extauth(-main\.js)?$/.test(basename(realPath(named)))) {
    const says = `${place}${path} is not gatehouse-extauth, so nothing more can be said about it`
    return { findings: [warning(says, 'ask its own manual')], flags: undefined, isRelay: false }
  }
  const args = isNode(path) ? rest.slice(1) : rest
  const found = ok(`${place}${path} is there, and ${person.name} may run it`)
  if (args[0] === 'relay')
    return { findings: [found, ...relay(args, person)], flags: undefined, isRelay: true }
  const read = flagsOf(args)
  if (typeof read === 'string') {
    const remedy = 'gatehouse-extauth --help names all; until then every login is refused'
    return { findings: [found, wrong(`${place}${read}`, remedy)], flags: undefined, isRelay: false }
  }
  return { findings: [found, ...relativePaths(read, place)], flags: read, isRelay: false }
}

function isNode(path: string): boolean {
  return basename(path) === 'node'
}

function notAFile(path: string): string | undefined {
  return statSync(path).isFile() ? undefined : `${path} is not a file`
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

function relay(args: readonly string[], person: Person): Finding[] {
  const socket = args[1]
  if (socket === undefined)
    return [wrong('relay needs the socket of a daemon', 'gatehouse-extauth relay SOCKET')]
  const blocked = obstacle(person, socket, 'read', 'write')
  if (blocked === undefined) return [ok(`the daemon's socket ${socket} may be used by ${person.name}`)]
  return [wrong(blocked, 'start gatehouse-extauth daemon, with mode and group of its socket for that user')]
}

/** Or what is wrong with them. */
function flagsOf(args: readonly string[]): Flags | string {
  let said = ''
  const program = commandLine('')
    .exitOverride()
    .configureOutput({ writeErr: (text) => (said += text), writeOut: () => undefined })
    .action(() => undefined)
  try {
    program.parse([...args], { from: 'user' })
    return program.opts<Flags>()
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return said.split('\n')[0]?.replace(/^error: /, '') ?? error.message
  }
}

function relativePaths(flags: Flags, place: string): Finding[] {
  const paths = [
    flags.config,
    flags.sqlite,
    flags.gatehouse,
    flags.ldapPasswordFile,
    flags.ldapTlsCacertfile,
    flags.logFile,
  ]
  return paths
    .filter((path) => path !== undefined && !isAbsolute(path))
    .map((path) =>
      wrong(`${place}'${path}' is meant from the folder that the server runs in`, 'write the absolute path'),
    )
}

/** What was said about the accounts and the log, as words of a command line; a server runs in another folder, so paths are absolute. */
export function wordsOf(flags: Flags): string[] {
  const path = (value: string | undefined) => value && resolve(value)
  const ldapBase = flags.ldap === undefined ? undefined : (flags.ldapBase ?? 'dc=example,dc=org')
  const values: Readonly<Record<string, string | readonly string[] | undefined>> = {
    '--config': path(flags.config),
    '--gatehouse': path(flags.gatehouse),
    '--sqlite': path(flags.sqlite),
    '--ldap': flags.ldap,
    '--ldap-base': ldapBase,
    '--ldap-rootdn': flags.ldapRootdn,
    '--ldap-password-file': path(flags.ldapPasswordFile),
    '--ldap-uids': flags.ldapUids,
    '--ldap-filter': flags.ldapFilter,
    '--ldap-encrypt': flags.ldapEncrypt,
    '--ldap-tls-cacertfile': path(flags.ldapTlsCacertfile),
    '--ldap-bind-dn-template': flags.ldapBindDnTemplate,
    '--log-level': flags.logLevel,
    '--log-file': path(flags.logFile),
    '--log-format': flags.logFormat,
  }
  const words = Object.entries(values).flatMap(([flag, value]) =>
    value === undefined ? [] : [value].flat().flatMap((one) => [flag, one]),
  )
  return flags.readOnly ? [...words, '--read-only'] : words
}

export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** As a shell would split it; undefined when a quote is not closed. */
export function shellWords(line: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  const parts = line.matchAll(/\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|(['"])|([^\s'"\\]+)/gs)
  for (const [part, single, double, escaped, open, bare] of parts) {
    if (open !== undefined) return undefined
    if (
      /^\s/.test(part) &&
      bare === undefined &&
      single === undefined &&
      double === undefined &&
      escaped === undefined
    ) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + (single ?? double?.replace(/\\([$`"\\])/g, '$1') ?? escaped ?? bare ?? '')
    }
  }
  if (word !== undefined) words.push(word)
  return words
}

/** Where `node` is for a service, whose PATH is short; `ours` is the one that runs this. */
export async function judgeNode(
  line: string | undefined,
  paths: readonly string[],
  person: Person,
  ours: string,
): Promise<Finding[]> {
  const first = line === undefined ? undefined : shellWords(line)?.[0]
  const isStartedDirectly = first !== undefined && isNode(first)
  const candidates = isStartedDirectly ? [first] : paths.map((path) => `${path}/node`)
  const node = candidates.find((path) => obstacle(person, path, 'execute') === undefined)
  if (node === undefined) {
    return [
      wrong(
        `${person.name} finds no node in ${paths.join(':')}, the PATH of a service`,
        `ln -s ${ours} /usr/local/bin/node, if ${person.name} may go there`,
      ),
    ]
  }
  const version = await versionOf(node)
  if (version === undefined) return [wrong(`${node} cannot be started`, 'install Node 20 or newer')]
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 17)) {
    return [wrong(`${node} is version ${version}`, 'install Node 20.17 or newer there')]
  }
  return [ok(`${node} is Node ${version}`)]
}

async function versionOf(node: string): Promise<string | undefined> {
  const { execFile } = await import('node:child_process')
  return new Promise((resolve) => {
    execFile(node, ['--version'], { timeout: 5000 }, (error, stdout) => {
      resolve(error ? undefined : /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1])
    })
  })
}
