/** Copies of the data and the look at the memory, as an administrator uses them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let server: ServerInPlace
beforeAll(async () => {
  server = await serverInPlace()
  await server.ctl(['register', 'alice', 'localhost', 'secret'])
})
afterAll(() => server.stop())

test('restore --dry-run says what would come of it, and does nothing', async () => {
  const backup = server.folder.file('copy')
  expect(await server.ctl(['backup', backup])).toEqual({ code: 0, stdout: '', stderr: '' })
  await server.ctl(['register', 'bob', 'localhost', 'secret'])
  expect(await server.ctl(['restore', backup, '--dry-run'])).toEqual({
    code: 0,
    stdout: [
      `The database would be replaced by "${backup}", which is sound, and the server would restart:`,
      '    accounts now: 2 (localhost: 2)',
      '    accounts then: 1 (localhost: 1)',
      '    sessions that would end: 0',
      '',
    ].join('\n'),
    stderr: '',
  })
  expect((await server.ctl(['check_account', 'bob', 'localhost'])).code).toBe(0)
  const missing = await server.ctl(['restore', '/nowhere/copy', '--dry-run'])
  expect(missing).toMatchObject({ code: 1, stdout: expect.stringContaining('File not found.') })
})

test('memory names sessions, what they know of rosters, caches of modules and services', async () => {
  await server.ctl(['add_rosteritem', 'alice', 'localhost', 'bob', 'localhost', 'Bob', '', 'both'])
  const client = await TestClient.login({ port: server.port, user: 'alice', password: 'secret' })
  await client.iq('get', '<blocklist xmlns="urn:xmpp:blocking"/>')
  const { stdout } = await server.ctl(['memory', '--output', 'jsonl'])
  const holders = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { holder: string; count: number | null; bytes: number | null })
  const count = (name: string) => holders.find(({ holder }) => holder === name)?.count
  expect(count('sessions')).toBe(1)
  expect(count('rosters: contacts that sessions know')).toBe(2)
  expect(count('block lists of localhost')).toBeGreaterThan(0)
  expect(count('values in the cache')).toBeTypeOf('number')
  expect(count('stanzas that clients have not acknowledged')).toBe(0)
  expect(holders.find(({ holder }) => holder === 'process (rss)')?.bytes).toBeGreaterThan(1_000_000)
  await client.close()
})
