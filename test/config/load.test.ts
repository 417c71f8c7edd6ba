import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Configurable } from '../../server-core/config/checks.ts'
import {
  checkYaml,
  configPath,
  formatComplaint,
  loadConfig,
  loadYaml,
} from '../../server-core/config/load.ts'
import { configSchema, hostConfig } from '../../server-core/config/schema.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'

const modules: Configurable[] = [
  { name: 'mod_offline', options: { max_messages: z.int().default(5_000) } },
  { name: 'mod_offline_queue', options: {} },
  { name: 'mod_push', options: {}, requires: ['mod_offline_queue'] },
  { name: 'mod_roster', options: {} },
]
const commands = ['status', 'stats', 'kick_session', 'connected_users_info']
const services: Configurable[] = [
  {
    name: 'service_admin_extra',
    options: { submods: z.array(z.enum(['node', 'accounts', 'sessions'])).optional() },
  },
  { name: 'service_cache', options: {} },
]

let folder: Folder
beforeEach(() => {
  folder = temporaryFolder('config')
})
afterEach(() => folder.remove())

/** Complaints (or warnings) about a file with that text, as people see them, without the temporary folder. */
async function complaints(name: string, text: string): Promise<string[]> {
  writeFileSync(folder.file(name), text)
  const loaded = await loadConfig({ path: folder.file(name), modules, services, commands })
  const list = loaded.ok ? loaded.warnings : loaded.complaints
  return list.map((complaint) =>
    formatComplaint(complaint).replaceAll(`${folder.path}/${name}`, name).replaceAll(folder.path, 'FOLDER'),
  )
}

describe('a wrong file gets all its complaints at once, each with its place', () => {
  const cases = join(root, 'fixtures/config/wrong')
  for (const name of readdirSync(cases).filter((file) => file.endsWith('.yml'))) {
    test(name, async () => {
      const wanted = readFileSync(join(cases, name.replace('.yml', '.txt')), 'utf8')
        .trimEnd()
        .split('\n')
      const said = await complaints(name, readFileSync(join(cases, name), 'utf8'))
      const folded = said.map((line) => line.replace(/FOLDER\/a{99,}.*/, 'FOLDER/aaaa'))
      expect(folded).toEqual(wanted)
    })
  }
})

describe('a right file', () => {
  test('is typed; its paths are meant from its own folder', async () => {
    const text = readFileSync(join(root, 'fixtures/config/right/everything.yml'), 'utf8')
    const path = folder.file('gatehouse.yml')
    writeFileSync(path, text)
    const loaded = await loadConfig({ path, modules, services, commands })
    if (!loaded.ok) throw new Error(loaded.complaints.map(formatComplaint).join('\n'))
    const { config, warnings } = loaded
    expect(warnings).toEqual([])
    expect(config.hosts).toEqual(['example.org', 'localhost'])
    expect(config.data_dir).toBe(folder.file('state'))
    expect(config.state_timeout).toBe(90_000)
    expect(config.max_output_bytes).toBe(8_388_608)
    expect(config.listen.map(({ port, tls, shaper }) => ({ port, tls, shaper }))).toEqual([
      { port: 5222, tls: false, shaper: 'none' },
      { port: 5223, tls: true, shaper: 'none' },
    ])
    expect(config.control.map(({ path, mode }) => ({ path, mode }))).toEqual([
      { path: folder.file('state/gatehouse.sock'), mode: 0o600 },
      { path: folder.file('operators.sock'), mode: 0o660 },
    ])
    expect(hostConfig(config, 'example.org').auth_method).toEqual(['external', 'internal'])
    expect(hostConfig(config, 'localhost').auth_method).toEqual(['internal'])
  })

  test('may be empty', async () => {
    expect(await complaints('empty.yml', '')).toEqual([])
    expect(await complaints('comments.yml', '# nothing yet\n')).toEqual([])
  })

  test('may be absent: everything has a default', async () => {
    const loaded = await loadConfig({ path: undefined, modules, services, commands })
    expect(loaded).toMatchObject({ ok: true, warnings: [], config: { hosts: ['localhost'] } })
    if (loaded.ok) expect(loaded.config.control[0]?.path).toMatch(/^\/.*\/data\/gatehouse\.sock$/)
  })

  test('is warned about a socket that is open to everybody, and used all the same', async () => {
    const said = await complaints('open.yml', "control: [{mode: '0666'}]\n")
    expect(said).toEqual([
      'open.yml:1:18: control[0].mode: every user of this machine may run commands through this socket',
    ])
  })
})

describe('a file that cannot be read is one sentence', () => {
  test.each([
    ['missing', () => undefined, 'cannot be read: there is no such file'],
    ['not UTF-8', (path: string) => writeFileSync(path, Buffer.from([0x68, 0xff])), 'is not UTF-8 text'],
    [
      'huge',
      (path: string) => writeFileSync(path, '#'.repeat(5_000_000)),
      'is larger than 4194304 bytes, so it is no configuration',
    ],
  ])('%s', async (_, make, sentence) => {
    const path = folder.file('x.yml')
    make(path)
    const loaded = await loadConfig({ path, modules, services, commands })
    expect(loaded.ok ? [] : loaded.complaints.map(formatComplaint)).toEqual([`${path}: ${sentence}`])
  })

  test('a folder', async () => {
    const loaded = await loadYaml(z.object({}), folder.path)
    expect(loaded.ok ? [] : loaded.complaints.map(formatComplaint)).toEqual([
      `${folder.path}: cannot be read: it is a folder`,
    ])
  })

  test.skipIf(process.getuid?.() === 0)('not permitted', async () => {
    const path = folder.file('x.yml')
    writeFileSync(path, '')
    chmodSync(path, 0)
    const loaded = await loadYaml(z.object({}), path)
    expect(loaded.ok ? [] : loaded.complaints.map(formatComplaint)).toEqual([
      `${path}: cannot be read: permission denied`,
    ])
  })
})

test('the file is what was asked for, else what the environment says, else none', () => {
  expect(configPath('a.yml', { GATEHOUSE_CONFIG: 'b.yml' })).toBe('a.yml')
  expect(configPath(undefined, { GATEHOUSE_CONFIG: 'b.yml' })).toBe('b.yml')
  expect(configPath(undefined, { GATEHOUSE_CONFIG: '' })).toBeUndefined()
})

test('whatever a file holds, there is an answer: a configuration, or complaints with a place', () => {
  const name = fc.constantFrom(
    'hosts',
    'listen',
    'modules',
    'host_config',
    'port',
    '__proto__',
    'constructor',
    '<<',
    'x',
  )
  const scalar = fc.constantFrom(
    'localhost',
    '5222',
    'true',
    'null',
    '~',
    '"a"',
    '*a',
    '&a b',
    '!!set',
    '{',
    '[',
    '- -',
    '|',
    '?',
  )
  const line = fc
    .tuple(
      fc.constantFrom('', '  ', '    ', '\t', '- ', '  - '),
      name,
      fc.constantFrom(':', ': ', ''),
      scalar,
    )
    .map((parts) => parts.join(''))
  const text = fc.oneof(
    fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n')),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(text, (source) => {
      const loaded = checkYaml(configSchema, source, 'f')
      if (loaded.ok) return
      expect(loaded.complaints.length).toBeGreaterThan(0)
      for (const complaint of loaded.complaints) {
        expect(formatComplaint(complaint)).toMatch(/^f(:\d+:\d+)?: /)
        expect(complaint.message).not.toBe('')
      }
    }),
    { numRuns: 500 },
  )
})
