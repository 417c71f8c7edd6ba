/** Arrows point one way: who may import whom, each forbidden import with its reason in words. */
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from './harness/paths.ts'

interface Rule {
  /** Files whose path begins so. */
  readonly of: readonly string[]
  /** Paths of this checkout may begin only so (the file's own folder always may). */
  readonly only?: readonly string[]
  /** Paths must not begin so. */
  readonly never?: readonly string[]
  readonly why: string
}

const server = [
  'server-core/accounts-summary.ts',
  'server-core/admin-modules.ts',
  'server-core/domains.ts',
  'server-core/hosts.ts',
  'server-core/listeners.ts',
  'server-core/memory-holders.ts',
  'server-core/reload.ts',
  'server-core/server.ts',
  'server-core/program.ts',
  'server-core/virtual-host.ts',
  'server-core/data-folder.ts',
  'server-core/main.ts',
]

const leaf = (folder: string, uses: readonly string[], why: string): Rule => ({
  of: [`server-core/${folder}/`],
  only: uses.map((name) => `server-core/${name}`),
  why,
})

const rules: readonly Rule[] = [
  {
    of: ['auth-script/'],
    only: [
      'extauth/',
      'auth/',
      'accounts/',
      'storage/',
      'config/',
      'xmpp/jid.ts',
      'xmpp/stringprep.ts',
      'log.ts',
      'unix-socket.ts',
    ].map((name) => `server-core/${name}`),
    why: 'the authentication program runs under other servers: it has no routes, streams or sessions of its own',
  },
  {
    of: ['ctl/'],
    only: ['package.json', 'server-core/admin/control-protocol.ts', 'server-core/migrate/'],
    why: 'the command line learns the commands from the server, over the socket: it must not know them',
  },
  {
    of: ['server-core/'],
    never: ['ctl/', 'auth-script/'],
    why: 'the server does not lean on the programs that lean on it',
  },
  {
    of: ['server-core/', 'ctl/', 'auth-script/'],
    never: ['test/', 'bench/', 'fixtures/', 'dist/'],
    why: 'what users run does not contain what only we run',
  },
  {
    of: ['server-core/modules/'],
    only: [
      'extend/',
      'xmpp/',
      'xml/',
      'storage/storage.ts',
      'config/fields.ts',
      'routing/session.ts',
      'log.ts',
    ].map((name) => `server-core/${name}`),
    why: 'a module talks to the server only through its HostContext: what goes around that is not undone at its stop',
  },
  {
    of: ['server-core/services/'],
    only: ['extend/', 'xmpp/', 'xml/', 'storage/storage.ts', 'config/fields.ts', 'admin/', 'log.ts'].map(
      (name) => `server-core/${name}`,
    ),
    why: 'a service talks to the server only through its ServiceContext: what goes around that is not undone at its stop',
  },
  leaf('xml', [], 'the XML stream knows bytes and elements, nothing of XMPP or of the server'),
  leaf(
    'xmpp',
    ['xml/'],
    'addresses, stanzas and errors are what the specification says, whatever server has them',
  ),
  leaf(
    'config',
    ['auth/ldap/options.ts', 'log.ts', 'net/certificates.ts', 'xmpp/'],
    'options are checked before anything of the server exists; what a directory needs and what a certificate is are said where they are used',
  ),
  leaf('storage', ['log.ts', 'xmpp/'], 'the storage keeps what it is given and knows nothing of who asks'),
  leaf(
    'accounts',
    ['auth/backend.ts', 'bundled.ts', 'config/', 'log.ts', 'storage/storage.ts', 'xmpp/'],
    'passwords are verified the same way in the server and in the authentication program',
  ),
  leaf(
    'extauth',
    ['config/', 'log.ts', 'auth/backend.ts'],
    'both ends of the extauth wire use it, also without a server',
  ),
  leaf(
    'auth',
    ['accounts/', 'config/', 'extauth/', 'log.ts', 'storage/', 'xmpp/'],
    'backends serve the authentication program too, which has no server',
  ),
  leaf(
    'external',
    ['bundled.ts', 'config/', 'extend/'],
    "modules of others are files that are read: what becomes of them is the module manager's affair",
  ),
  {
    of: ['server-core/net/', 'server-core/stream/', 'server-core/routing/', 'server-core/extend/'],
    never: [
      'server-core/c2s/',
      'server-core/s2s/',
      'server-core/modules/',
      'server-core/services/',
      ...server,
    ],
    why: 'routing sees a session as something that takes a stanza, and the network sees its logic as three callbacks',
  },
  {
    of: ['server-core/net/'],
    never: ['server-core/routing/', 'server-core/stream/', 'server-core/admin/'],
    why: 'bytes in and out know nothing of stanzas and where they go',
  },
  {
    of: ['server-core/routing/'],
    never: ['server-core/net/', 'server-core/stream/', 'server-core/admin/'],
    why: 'a session may be on another node: routing knows no connection',
  },
  {
    of: ['server-core/c2s/'],
    never: ['server-core/modules/', 'server-core/services/', 'server-core/admin/', ...server],
    why: 'modules take part in a session by hooks; a session does not know which there are',
  },
  {
    of: ['server-core/admin/'],
    never: ['server-core/c2s/', 'server-core/net/', 'server-core/stream/', ...server],
    why: 'commands act through AdminServer, so that they can be read and tested without a connection',
  },
]

/** Folders in which no entry may know another: they share only what is named. */
const strangers: readonly {
  readonly folder: string
  readonly shared: readonly string[]
  readonly why: string
}[] = [
  {
    folder: 'server-core/modules/',
    shared: [],
    why: 'modules use each other through provide and provided, so that either can be stopped',
  },
]

/** Who reads the process itself, besides the main.ts files. */
const processReaders: Readonly<Record<string, string>> = {
  'server-core/modules/mod-cputime.ts': 'its whole task is to tell the CPU time of this process',
}

const importPattern = /(?:\bfrom|\bimport)\s*\(?\s*(['"])([^'"\n]+)\1/g

/** Comments and texts are gone: what is left is code. */
function code(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[\s;{}()])\/\/.*$/gm, '$1')
    .replace(/(['"])(?:(?!\1)[^\\\n]|\\.)*\1/g, "''")
}

/** What a file does that it must not, as sentences. */
function violations(file: string, text: string): string[] {
  const found: string[] = []
  const own = `${posix.dirname(file)}/`
  for (const [, , name = ''] of text.matchAll(importPattern)) {
    if (name.startsWith('/')) found.push(`${file} imports ${name}: a path of one machine`)
    if ((name === 'process' || name === 'node:process') && !mayTouchProcess(file)) {
      found.push(`${file} imports ${name}: only main.ts files touch the process`)
    }
    if (!name.startsWith('.')) continue
    const target = posix.join(posix.dirname(file), name)
    if (target.startsWith('..')) found.push(`${file} imports ${name}: outside of this checkout`)
    for (const rule of rules) {
      if (!begins(file, rule.of)) continue
      const home = rule.of.find((prefix) => file.startsWith(prefix)) ?? own
      const bad =
        begins(target, rule.never ?? []) ||
        (rule.only !== undefined && !target.startsWith(home) && !begins(target, rule.only))
      if (bad) found.push(`${file} imports ${target}: ${rule.why}`)
    }
    for (const { folder, shared, why } of strangers) {
      const [mine, other] = [entryOf(file, folder), entryOf(target, folder)]
      if (mine === undefined || other === undefined || mine === 'index' || mine === other) continue
      if (!shared.includes(other)) found.push(`${file} imports ${target}: ${why}`)
    }
  }
  if (!mayTouchProcess(file) && /(?<![\w.$])process\s*(?:\.|\[|\?\.)/.test(code(text))) {
    found.push(`${file} uses process: only main.ts files touch the process`)
  }
  return found
}

function begins(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(prefix))
}

/** `mod-x` for both modules/mod-x.ts and modules/mod-x/y.ts. */
function entryOf(path: string, folder: string): string | undefined {
  if (!path.startsWith(folder)) return undefined
  return path.slice(folder.length).split('/')[0]?.replace(/\.ts$/, '')
}

function mayTouchProcess(file: string): boolean {
  return file.endsWith('/main.ts') || file in processReaders
}

function sources(folder: string): string[] {
  return readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)
    .sort()
}

describe('what the sources import', () => {
  for (const folder of ['server-core', 'ctl', 'auth-script']) {
    it(`${folder} points only where it may`, () => {
      const found = sources(folder).flatMap((file) =>
        violations(file, readFileSync(`${root}/${file}`, 'utf8')),
      )
      expect(found).toEqual([])
    })
  }

  it('finds every folder that a rule is about, so that no rule is about nothing', () => {
    const files = ['server-core', 'ctl', 'auth-script'].flatMap(sources)
    const empty = rules.flatMap((rule) => rule.of).filter((of) => !files.some((file) => file.startsWith(of)))
    expect(empty).toEqual([])
  })
})

describe('the check itself', () => {
  const cases: readonly (readonly [
    what: string,
    file: string,
    text: string,
    expected: RegExp | undefined,
  ])[] = [
    [
      'a module that uses a connection',
      'server-core/modules/mod-x.ts',
      "import type { Connection } from '../net/connection.ts'",
      /around that is not undone/,
    ],
    [
      'a module that uses another',
      'server-core/modules/mod-x/mod-x.ts',
      "import { Roster } from '../mod-roster/roster.ts'",
      /provide and provided/,
    ],
    ['a module of several files', 'server-core/modules/mod-x/a.ts', "import { b } from './b.ts'", undefined],
    ['the table of modules', 'server-core/modules/index.ts', "import { modX } from './mod-x.ts'", undefined],
    [
      'the command line with the server inside',
      'ctl/main.ts',
      "import { commands } from '../server-core/admin/commands/index.ts'",
      /over the socket/,
    ],
    [
      'the wire, which both ends know',
      'ctl/client.ts',
      "import { lineOf } from '../server-core/admin/control-protocol.ts'",
      undefined,
    ],
    [
      'the authentication program with a router',
      'auth-script/serve.ts',
      "import {\n  Router,\n} from '../server-core/routing/router.ts'",
      /no routes, streams or sessions/,
    ],
    [
      'a server that loads the command line when it needs it',
      'server-core/admin/help.ts',
      "const help = await import('../../ctl/print.ts')",
      /does not lean/,
    ],
    [
      'a parser that knows the server',
      'server-core/xml/a.ts',
      "import { b } from '../extend/hooks.ts'",
      /bytes and elements/,
    ],
    [
      'a session in routing',
      'server-core/routing/a.ts',
      "export { C2s } from '../c2s/c2s.ts'",
      /takes a stanza/,
    ],
    ['a neighbour of the checkout', 'ctl/a.ts', "import { b } from '../../shared/b.ts'", /outside/],
    ['a path of one machine', 'ctl/a.ts', "import { b } from '/opt/b.ts'", /one machine/],
    ['the environment', 'server-core/log.ts', "const level = process.env['LEVEL']", /only main\.ts/],
    ['the process as a module', 'ctl/a.ts', "import { argv } from 'node:process'", /only main\.ts/],
    [
      'the word in a comment',
      'ctl/a.ts',
      '// process.env is not read here\n/* process.exit */ export {}',
      undefined,
    ],
    ['the edge itself', 'ctl/main.ts', 'process.exitCode = 1', undefined],
  ]
  for (const [what, file, text, expected] of cases) {
    it(`${expected ? 'refuses' : 'lets pass'} ${what}`, () => {
      const found = violations(file, text).join('\n')
      if (expected) expect(found).toMatch(expected)
      else expect(found).toBe('')
    })
  }
})

/** Files that lead back to themselves by their imports, types too: the way that does. */
function circle(folder: string): string[] | undefined {
  const files = new Set(sources(folder))
  const targetsOf = (file: string) =>
    [...readFileSync(`${root}/${file}`, 'utf8').matchAll(importPattern)]
      .map(([, , name = '']) => posix.join(posix.dirname(file), name))
      .filter((target) => files.has(target))
  const done = new Set<string>()
  const follow = (file: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of targetsOf(file)) {
      const found = follow(target, [...way, file])
      if (found !== undefined) return found
    }
    done.add(file)
    return undefined
  }
  for (const file of files) {
    const found = follow(file, [])
    if (found !== undefined) return found
  }
  return undefined
}

it('the authentication program is read from one end to the other, without a circle', () => {
  expect(circle('auth-script')).toBeUndefined()
})
