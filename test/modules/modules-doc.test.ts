/** docs/modules.md says what is true: the table of modules, the list of hooks; its example runs in test/external. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { hookNames } from '../../server-core/extend/hooks.ts'
import { defaultModules, modules } from '../../server-core/modules/index.ts'
import { services } from '../../server-core/services/index.ts'
import { root } from '../harness/paths.ts'

const page = readFileSync(join(root, 'docs/modules.md'), 'utf8')

/** What stands between `<!-- name -->` and `<!-- /name -->`. */
function part(name: string): string {
  return new RegExp(`<!-- ${name} -->\n([\\s\\S]*)<!-- /${name} -->`).exec(page)?.[1]?.trim() ?? ''
}

function moduleTable(): string {
  const rows = modules.flatMap((spec) => {
    const mark = spec.name in defaultModules ? '●' : ''
    const options = Object.entries(spec.options).filter(([name]) => name !== 'iqdisc')
    const discipline = spec.options['iqdisc']?.safeParse(undefined).data
    const doc = discipline === undefined ? spec.doc : `${spec.doc}. \`iqdisc\`: ${String(discipline)}`
    return [
      `| \`${spec.name}\` | ${mark} | ${doc} |`,
      ...options.map(([name, option]) => {
        const value = option.safeParse(undefined).data
        const shown = value === Number.POSITIVE_INFINITY ? 'no end' : JSON.stringify(value)
        return `| &nbsp; \`${name}\` | | ${option.description}; default ${shown ?? 'none'} |`
      }),
    ]
  })
  return ['| module, option | | what it does |', '| --- | --- | --- |', ...rows].join('\n')
}

it('lists every module with every option and its default', () => {
  expect(part('modules'), 'the table in docs/modules.md').toBe(moduleTable())
})

it('lists every service', () => {
  for (const { name } of services) expect(page).toContain(`| \`${name}\` |`)
})

/** `host, code` of `{ host: string; code: number }`. */
function fieldsOf(type: string): string {
  if (type === 'object') return ''
  if (type === 'DiscoInfo') return 'host, from, to, node, lang'
  return [...type.matchAll(/(?:^\{|;)\s*(?:readonly )?(\w+)\??:/g)].map((match) => match[1]).join(', ')
}

const words: Readonly<Record<string, string>> = {
  undefined: '',
  boolean: 'boolean',
  Stanza: 'stanza',
  Element: 'element',
  RosterItem: 'roster item',
  'Stanza[]': 'stanzas',
  'Element[]': 'elements',
  'RosterItem[]': 'roster items',
  'Jid[]': 'addresses',
  'string[]': 'texts',
}

/** As the manual says it. */
function accumulator(type: string): string {
  const plain = type.replaceAll('readonly ', '').replace(' | null', '')
  if (plain === 'Element | undefined') return 'element, at first none'
  return words[plain] ?? `\`${plain.replaceAll(' | ', '` or `')}\``
}

/** A type of several lines in one. */
function oneLine(type: string): string {
  return type.trim().replace(/;$/, '').replaceAll(/\s+/g, ' ')
}

describe('hooks', () => {
  const body = readFileSync(join(root, 'server-core/extend/hooks.ts'), 'utf8')
    .split('export interface Hooks {')[1]
    ?.split('\n}')[0]
    ?.replaceAll(/\/\*\*[\s\S]*?\*\/|\/\/.*/g, '')
  const declared = new Map(
    [
      ...`${body}\n`.matchAll(
        /^ {2}([a-z0-9_]+): \{\s*acc: ([\s\S]*?)[;\n]\s*info: ([\s\S]*?)\s*\}(?=\s*\n(?: {2}[a-z]|\s*$|\s*\n))/gm,
      ),
    ].map(
      ([, name = '', acc = '', info = '']) => [name, { acc: oneLine(acc), info: oneLine(info) }] as const,
    ),
  )
  const rows = (page.split('| hook | kind | `acc` | in `info` | when |')[1]?.split('\n\n')[0] ?? '')
    .split('\n')
    .slice(2)
    .map((row) => row.split('|').map((cell) => cell.trim()))
  const listed = rows.flatMap(([, names = '', kind = '', acc = '', info = '']) =>
    [...names.matchAll(/`([a-z0-9_]+)`/g)].map(([, name = '']) => ({ name, kind, acc, info })),
  )

  const sources = readdirSync(join(root, 'server-core'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && name !== 'extend/hooks.ts')
    .map((name) => readFileSync(join(root, 'server-core', name), 'utf8'))

  it('are all in the table, once', () => {
    expect(hookNames.length).toBeGreaterThan(60)
    expect(listed.map(({ name }) => name).sort(byName)).toEqual([...hookNames].sort(byName))
    expect([...declared.keys()].sort(byName)).toEqual([...hookNames].sort(byName))
  })

  it.each(listed)('$name gets what the manual says', ({ name, kind, acc, info }) => {
    const types = declared.get(name)
    expect({ acc, info }).toEqual({ acc: accumulator(types?.acc ?? ''), info: fieldsOf(types?.info ?? '') })
    expect(kind.split(',')[0]).toBe(types?.acc === 'undefined' ? 'run' : 'fold')
  })

  it.each(hookNames)('%s runs somewhere', (name) => {
    const call = new RegExp(`(?:fold|run)\\(\\s*'${name}'`)
    expect(sources.some((source) => call.test(source))).toBe(true)
  })
})

function byName(one: string, other: string): number {
  return one < other ? -1 : 1
}
