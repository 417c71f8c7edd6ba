/** Commands whose module does not run: a sentence that names it, and nothing is written. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let server: ServerInPlace

beforeAll(async () => {
  server = await serverInPlace({ modules: { mod_ping: {} } })
  await server.ctl(['register', 'alice', 'localhost', 'secret'])
})
afterAll(() => server.stop())

test.each([
  ['mod_last', 'get_last'],
  ['mod_last', 'set_last', '5', 'x'],
  ['mod_private', 'private_get', 'a', 'b'],
  ['mod_roster', 'add_rosteritem', 'bob', 'localhost', 'Bob', '', 'both'],
  ['mod_roster', 'delete_rosteritem', 'bob', 'localhost'],
  ['mod_vcard', 'get_vcard', 'FN'],
  ['mod_vcard', 'set_vcard', 'FN', 'Alice'],
  ['mod_vcard', 'set_vcard2_multi', 'ORG', 'ORGUNIT', 'a;b'],
])('without %s: %s', async (module, command, ...rest) => {
  expect(await server.ctl([command, 'alice', 'localhost', ...rest])).toEqual({
    code: 1,
    stdout: '',
    stderr: `Error: "Module ${module} is not loaded on host localhost"\n`,
  })
})

test('private_set says it as mongooseimctl does', async () => {
  expect(await server.ctl(['private_set', 'alice', 'localhost', "<a xmlns='b'/>"])).toEqual({
    code: 1,
    stdout: 'Module mod_private is not loaded on host localhost\n',
    stderr: '',
  })
})

test('nobody is old where nothing is known of anybody', async () => {
  for (const last of ['--yes', '--dry-run']) {
    expect(await server.ctl(['delete_old_users', '0', last])).toMatchObject({
      code: 1,
      stderr: 'Error: "Module mod_last is not loaded on host localhost"\n',
    })
  }
  expect((await server.ctl(['check_account', 'alice', 'localhost'])).code).toBe(0)
})

test('a list of contacts is not pushed in part', async () => {
  expect(await server.ctl(['push_roster_alltoall', 'localhost', 'All'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Module mod_roster is not loaded on host localhost'),
  })
  expect(await server.ctl(['get_roster', 'alice', 'localhost'])).toEqual({ code: 0, stdout: '', stderr: '' })
})
