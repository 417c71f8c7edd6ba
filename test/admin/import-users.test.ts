/** import_users: every account that was made is named, whatever comes behind it in the file. */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let server: ServerInPlace
let folder: Folder

beforeAll(async () => {
  folder = temporaryFolder('import')
  server = await serverInPlace()
})
afterAll(async () => {
  await server.stop()
  folder.remove()
})

async function imported(text: string) {
  const file = folder.file('users.csv')
  writeFileSync(file, text)
  return server.ctl(['import_users', file])
}

test('bad lines are told from good ones, in the order of the file', async () => {
  expect(
    await imported('a1,localhost,x\na1,localhost,x\na2,elsewhere,x\na 3,localhost,x\na4,localhost,\na5,x\n'),
  ).toEqual({
    code: 0,
    stdout: 'ok\ta1\nexists\ta1\nnot_allowed\ta2\ninvalid_jid\ta 3\nnull_password\ta4\nbad_csv\ta5,x\n',
    stderr: '',
  })
})

test('a file that cannot be read to its end says which accounts it has made', async () => {
  expect(await imported('b1,localhost,x\nb2,localhost,x\n"b3,localhost,x\nb4,localhost,x\n')).toEqual({
    code: 1,
    stdout: 'ok\tb1\nok\tb2\n',
    stderr: 'Error: "line 3: a quote is opened here and never closed"\n',
  })
  const { stdout } = await server.ctl(['registered_users', 'localhost'])
  expect(stdout).toContain('b1\nb2\n')
  expect(stdout).not.toContain('b3')
})
