/** Accounts move from an old backend to a new one, each with its owner's next login. */
import { writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../harness/deadline.ts'
import { type ExtauthProgram, startExtauth } from '../harness/extauth.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { run } from '../harness/process.ts'

let folder: Folder
const started: ExtauthProgram[] = []

beforeEach(() => {
  folder = temporaryFolder('learn')
})
afterEach(() => {
  for (const { child } of started.splice(0)) child.kill('SIGKILL')
  folder.remove()
})

function config(name: string, chain: string, more = ''): string {
  const file = folder.file(name)
  writeFileSync(
    file,
    `backends:\n  new: {type: sqlite, file: new.sqlite}\n  old: {type: sqlite, file: old.sqlite, password_format: plain}\n` +
      `hosts: {a.example: {chain: ${chain}}}\n${more}`,
  )
  return file
}

function start(file: string): ExtauthProgram {
  const program = startExtauth(['--config', file])
  started.push(program)
  return program
}

test('a login that the old backend accepts is written to the new one, which answers from then on', async () => {
  const old = start(config('old.yml', '[old]'))
  for (const user of ['ann', 'bob']) expect(await old.ask(`tryregister:${user}:a.example:secret`)).toBe('yes')
  await old.close()

  const both = config('both.yml', '[new, old]', 'learn: new\n')
  const moved = async () => (await run(programs.extauth, ['moved', '--config', both])).stdout
  expect(await moved()).toBe('a.example\tmoved 0\tleft 2\n')
  const program = start(both)
  expect(await program.ask('auth:ann:a.example:wrong')).toBe('no')
  expect(await program.ask('auth:ann:a.example:secret')).toBe('yes')
  await until('ann to have moved', () => /"msg":"an account has moved"/.test(program.log()))
  expect(program.log()).not.toMatch(/secret/)
  expect(await program.ask('auth:ann:a.example:secret')).toBe('yes')
  expect(await program.ask('setpass:ann:a.example:changed')).toBe('yes')
  expect(await program.ask('auth:ann:a.example:secret')).toBe('no')
  expect(await moved()).toBe('a.example\tmoved 1\tleft 1\n')
  // What is under way when the server ends is finished.
  expect(await program.ask('auth:bob:a.example:secret')).toBe('yes')
  expect(await program.close()).toBe(0)
  expect(await moved()).toBe('a.example\tmoved 2\tleft 0\n')

  const alone = start(config('new.yml', '[new]'))
  expect(await alone.ask('auth:ann:a.example:changed')).toBe('yes')
  expect(await alone.ask('auth:bob:a.example:secret')).toBe('yes')
}, 60_000)

test('a backend that learns has to be there, and `moved` says what is missing', async () => {
  const file = config('bad.yml', '[new, old]', 'learn: nwe\n')
  const result = await run(programs.extauth, ['moved', '--config', file])
  expect(result).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/learn: .*'nwe' is not in backends/),
  })
  const none = await run(programs.extauth, ['moved', '--config', config('none.yml', '[new]')])
  expect(none).toMatchObject({ code: 1, stderr: expect.stringMatching(/no backend learns/) })
})
