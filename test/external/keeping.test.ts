/** What a module of others keeps, as docs/modules.md shows it, from the first visit to the last trace. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { root } from '../harness/paths.ts'
import { type Place, place } from './in-a-folder.ts'

let here: Place | undefined
afterEach(() => here?.stop())

const page = readFileSync(join(root, 'docs/modules.md'), 'utf8')
const example = /## Keeping something[\s\S]*?```js\n([\s\S]*?)```/.exec(page)?.[1] ?? ''

const source = `import { defineCommand, defineModule, z } from 'gatehouse-xmpp/module'
export default defineModule({
  name: 'mod_visits', doc: 'Counts visits', options: {},
  start(host) {
    ${example}
    host.command(defineCommand({
      name: 'visits', doc: 'Tell how often somebody came', category: 'visits', tags: ['visits'],
      args: { user: z.string(), host: z.string() }, result: { kind: 'integer', name: 'visits' },
      example: 'visits alice localhost',
      run: async ({ user }) => (await host.storeOf(user, visits).get('visits'))?.count ?? 0,
    }))
  },
})`

test('counts on through restarts, goes with the account, and is deleted when it is told to', async () => {
  here = await place(
    { 'mod-visits.js': source },
    { external_modules: { mod_visits: 'mod-visits.js' }, modules: { mod_visits: {}, mod_ping: {} } },
  )
  const { server } = here
  const visits = async (user: string) => await server.must('visits', user, 'localhost')
  const come = async (user: string, times: string) => {
    const client = await TestClient.login({ port: server.port, user, password: 'pw' })
    await client.close()
    await until(`visit ${times} of ${user}`, async () => (await visits(user)) === times)
  }
  for (const user of ['alice', 'bob']) await server.must('register', user, 'localhost', 'pw')
  await come('alice', '1')
  await come('alice', '2')
  await come('bob', '1')
  await server.must('restart_module', 'localhost', 'mod_visits')
  await come('alice', '3')
  expect(await server.must('retrieve_personal_data', 'alice', 'localhost', here.folder.file('a.zip'))).toBe(
    '',
  )
  expect(readFileSync(here.folder.file('a.zip')).includes('module_data')).toBe(true)

  await server.must('--yes', 'unregister', 'alice', 'localhost')
  expect(await visits('alice')).toBe('0')
  expect(await visits('bob')).toBe('1')

  const early = await server.ctl(['--yes', 'remove_module_data', 'localhost', 'mod_visits'])
  expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('by unload_module') })
  await server.must('unload_module', 'localhost', 'mod_visits')
  expect(await server.must('--dry-run', 'remove_module_data', 'localhost', 'mod_visits')).toContain('1')
  expect(await server.must('--yes', 'remove_module_data', 'localhost', 'mod_visits')).toBe('1')
  await server.must('load_module', 'localhost', 'mod_visits')
  expect(await visits('bob')).toBe('0')
})
