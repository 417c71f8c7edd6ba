/** docs/modules.md says what is true: the table of modules, the example, the list of hooks. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { defaultModules, modules } from '../../server-core/modules/index.ts'
import { services } from '../../server-core/services/index.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { root } from '../harness/paths.ts'
import { here, startHost, type TestHost, xml } from './host.ts'
import { modGreeting } from './mod-greeting.ts'

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

describe('the example', () => {
  let host: TestHost
  afterEach(() => host.stop())

  it('is the module that is tested here', async () => {
    host = await startHost([], {})
    const source = readFileSync(join(root, 'test/modules/mod-greeting.ts'), 'utf8')
    const asModule = source.replaceAll("'../../server-core/", "'../").trim()
    expect(part('example')).toBe(`\`\`\`ts\n${asModule}\n\`\`\``)
  })

  it('greets, counts, and stops', async () => {
    host = await startHost([modGreeting], { mod_greeting: { text: 'Welcome back' } })
    const romeo = await host.login(`romeo@${here}/orchard`)
    await host.hooks.run('user_available_hook', here, { jid: romeo.jid })
    expect(romeo.take()).toEqual([
      `<message from='${here}' to='romeo@${here}/orchard' type='headline'><body>Welcome back</body></message>`,
    ])
    const answer = await romeo.iq('get', xml("<greetings xmlns='urn:example:greetings'/>"), here)
    expect(elementToString(answer)).toContain("<greetings xmlns='urn:example:greetings' count='1'/>")
    await host.modules.stop(here, 'mod_greeting')
    expect(host.hooks.ownedBy('mod_greeting')).toBe(0)
  })
})

describe('hooks', () => {
  const declared = [
    ...(readFileSync(join(root, 'server-core/extend/hooks.ts'), 'utf8')
      .split('export interface Hooks {')[1]
      ?.split('\n}')[0]
      ?.matchAll(/^ {2}([a-z0-9_]+): \{/gm) ?? []),
  ].map((match) => match[1] ?? '')
  const waiting = /Declared, and not run yet: ([\s\S]*?)\.\n/.exec(page)?.[1] ?? ''
  const table = page.split('| hook | kind | when |')[1]?.split('\n\n')[0] ?? ''

  const sources = readdirSync(join(root, 'server-core'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && name !== 'extend/hooks.ts')
    .map((name) => readFileSync(join(root, 'server-core', name), 'utf8'))
  const isRun = (name: string): boolean => {
    const call = new RegExp(`(?:fold|run)\\(\\s*'${name}'`)
    return sources.some((source) => call.test(source))
  }

  it('are all in the table, once', () => {
    const listed = [...table.matchAll(/`([a-z0-9_]+)`/g), ...waiting.matchAll(/`([a-z0-9_]+)`/g)]
      .map((match) => match[1] ?? '')
      .filter((name) => declared.includes(name))
    expect(declared.length).toBeGreaterThan(40)
    expect(listed.sort(byName), 'docs/modules.md lists the hooks of extend/hooks.ts').toEqual(
      [...declared].sort(byName),
    )
  })

  it.each(declared)('%s runs, or is said not to', (name) => {
    expect(isRun(name)).toBe(!waiting.includes(`\`${name}\``))
  })
})

function byName(one: string, other: string): number {
  return one < other ? -1 : 1
}
