/** docs/extauth.md says what is true: the tables of options, the configurations, the recipes, the examples. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backendTypes } from '../../auth-script/backends.ts'
import { extauthSchema } from '../../auth-script/config.ts'
import { shellWords } from '../../auth-script/doctor/program-line.ts'
import { commandLine } from '../../auth-script/options.ts'
import { checkYaml } from '../../server-core/config/load-yaml.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'
import { extauth } from './in-place.ts'
import { optionTables } from './option-tables.ts'

const page = readFileSync(join(root, 'docs/extauth.md'), 'utf8')
const tables = await optionTables()

let folder: Folder

beforeEach(() => {
  folder = temporaryFolder('manual')
})

afterEach(() => folder.remove())

test.each(Object.keys(tables))('the table of options: %s', (name) => {
  const written = new RegExp(`<!-- ${name} -->\n([\\s\\S]*?)\n?<!-- /${name} -->`).exec(page)?.[1]
  expect(written, 'the table in docs/extauth.md').toBe(tables[name])
})

test('every command is named', async () => {
  const { stdout } = await extauth(['help'])
  const names = [...(stdout.split('Commands:')[1] ?? '').matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(5)
  for (const name of names) expect(page).toMatch(new RegExp(`\`(gatehouse-extauth )?${name}\\b`))
})

test('every type of backend has a section', () => {
  for (const type of Object.keys(backendTypes)) expect(page).toContain(`\n### ${type}\n`)
})

/** The blocks of a language, each with the heading that it is under. */
function blocks(language: string): { heading: string; text: string }[] {
  return [...page.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((found) => {
    const before = page.slice(0, found.index)
    return {
      heading: /^#+ (.*)$/gm.exec(before.slice(before.lastIndexOf('\n#') + 1))?.[1] ?? '',
      text: found[1] ?? '',
    }
  })
}

test('configurations of the program have no mistake', async () => {
  const schema = await extauthSchema()
  const found = blocks('yaml').filter(({ text }) => /^backends:/m.test(text))
  expect(found.length).toBeGreaterThan(5)
  for (const { heading, text } of found) {
    const checked = checkYaml(schema, text, heading)
    expect(checked.ok ? [] : checked.complaints).toEqual([])
  }
})

test('the lines for servers have no mistake', () => {
  const lines = [...page.matchAll(/(?:extauth_program: |program = )"(.*)"$/gm)].map((found) =>
    shellWords(found[1] ?? ''),
  )
  expect(lines.length).toBeGreaterThanOrEqual(5)
  for (const [path = '', ...flags] of lines.map((words) => words ?? [])) {
    expect(path).toBe('/usr/local/bin/gatehouse-extauth')
    if (flags[0] === 'relay') continue
    commandLine('')
      .exitOverride()
      .action(() => undefined)
      .parse(flags, { from: 'user' })
  }
})

test('every link leads somewhere', () => {
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(
    ([, heading = '']) =>
      `#${heading
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-')}`,
  )
  for (const [, link = ''] of page.matchAll(/\]\(([^)]+)\)/g)) {
    if (link.startsWith('#')) expect(headings).toContain(link)
    else expect(() => readFileSync(join(root, 'docs', link)), link).not.toThrow(/ENOENT/)
  }
})

interface Recipe {
  readonly schema: string
  readonly yes: readonly (readonly [string, string])[]
  readonly no: readonly (readonly [string, string])[]
}

const recipes = Object.entries(
  JSON.parse(readFileSync(join(root, 'fixtures/recipes/logins.json'), 'utf8')) as Record<string, Recipe>,
)

describe('the recipe for', () => {
  test.each(recipes)('%s', { timeout: 30_000 }, async (name, { schema, yes, no }) => {
    const yaml = blocks('yaml').find(({ heading }) => heading === name)?.text ?? ''
    const db = new Sqlite(folder.file('other.sqlite'))
    db.exec(readFileSync(join(root, `fixtures/recipes/${schema}.sql`), 'utf8'))
    db.close()
    writeFileSync(folder.file('extauth.yml'), yaml.replace(/file: .*/, 'file: other.sqlite'))
    const login = (user: string, password: string) =>
      extauth(['test', `${user}@example.org`, '--config', folder.file('extauth.yml')], `${password}\n`)
    for (const [user, password] of yes) {
      const said = await login(user, password)
      expect(said.status, said.stdout + said.stderr).toBe(0)
    }
    for (const [user, password] of no) {
      const said = await login(user, password)
      expect(said.status, said.stdout + said.stderr).toBe(1)
    }
    const checked = await extauth(['check', '--config', folder.file('extauth.yml')])
    expect(checked.status, checked.stdout).toBe(0)
  })
})

test('the program of the command backend, and the application of the http backend', {
  timeout: 30_000,
}, async () => {
  writeFileSync(folder.file('command.py'), blocks('py')[0]?.text ?? '')
  const web = (blocks('js')[0]?.text ?? '')
    .replace('listen(8080', 'listen(0')
    .replace('createServer(async', 'export const server = createServer(async')
  writeFileSync(folder.file('web.mjs'), web)
  const { server } = (await import(folder.file('web.mjs'))) as { server: Server }
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve))
  const at = (server.address() as AddressInfo).port
  writeFileSync(
    folder.file('extauth.yml'),
    `backends:
  command: {type: command, command: python3 ${folder.file('command.py')}}
  web: {type: http, url: "http://127.0.0.1:${at}/"}
hosts:
  command.test: {chain: [command]}
  web.test: {chain: [web]}
`,
  )
  try {
    for (const host of ['command.test', 'web.test']) {
      const login = (user: string, password: string) =>
        extauth(['test', `${user}@${host}`, '--config', folder.file('extauth.yml')], `${password}\n`)
      expect((await login('alice', 'secret')).stdout).toMatch(/\nyes, after/)
      expect((await login('alice', 'Secret')).stdout).toMatch(/\nno: the password is wrong/)
      expect((await login('bob', 'secret')).status).toBe(1)
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
