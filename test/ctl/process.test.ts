/** The program as a process: readers that leave, Ctrl-C, and what `ps` shows. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { secret, word } from '../../server-core/admin/commands/arguments.ts'
import { type BareControl, bareControl, command } from '../harness/admin.ts'
import { before, until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'

let folder: Folder
let control: BareControl
/** What happened in the server. */
let events: string[]
let looks: number

beforeEach(async () => {
  events = []
  looks = 1
  folder = temporaryFolder('process')
  control = await bareControl(folder.file('s'), [
    command(
      'endless',
      () =>
        (async function* () {
          try {
            for (;;) yield ['x'.repeat(100)]
          } finally {
            events.push('endless ended')
          }
        })(),
      { result: { kind: 'list', columns: [{ name: 'x', type: 'string' }] } },
    ),
    command('numbers', () => [['same'], [String(looks++)]], {
      result: { kind: 'list', columns: [{ name: 'x', type: 'string' }] },
    }),
    command('echo', ({ text }) => String(text), {
      args: { text: word('any') },
      result: { kind: 'string', name: 'text' },
    }),
    command(
      'wait',
      async (_, caller) => {
        events.push('wait runs')
        await new Promise<void>((resolve) => {
          caller.signal.addEventListener('abort', () => {
            events.push('wait cancelled')
            resolve()
          })
        })
        return undefined
      },
      { args: { password: secret('any').optional() }, forms: [{ names: [] }, { names: ['password'] }] },
    ),
  ])
})
afterEach(async () => {
  await control.close(0)
  folder.remove()
})

function start(...words: string[]) {
  const child = spawn(process.execPath, [programs.gatehousectl, '--socket', control.path, ...words])
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  return { child, ended, stderr: text(child.stderr) }
}

test.each([
  ['UTF-8', 'Zoë 日本 🐟 \u0301'],
  ['blanks, line ends, TABs', '  a  b\n\r\n\tc\n'],
  ['quotes, brackets, backslashes', `"a' <b> \\n \\" {$HOME} \`x\` ;|&`],
  ['64 KiB', 'é<"\n'.repeat(13_107)],
])('%s come through from the arguments to the result', async (_, value) => {
  const { child, ended } = start('echo', '--output', 'json', value)
  const printed = text(child.stdout)
  expect((await before(10_000, 'the end', ended))[0]).toBe(0)
  expect(JSON.parse(await printed)).toEqual({ text: value })
})

test('a reader that leaves (| head) ends the program and the command, and is no failure', async () => {
  const { child, ended, stderr } = start('endless')
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect((await before(10_000, 'the end', ended))[0]).toBe(0)
  expect(await stderr).toBe('')
  await until('the command to end', () => events.includes('endless ended'))
})

test('Ctrl-C cancels the command and exits 130', async () => {
  const { child, ended } = start('wait')
  await until('the command to run', () => events.includes('wait runs'))
  child.kill('SIGINT')
  expect((await before(10_000, 'the end', ended))[0]).toBe(130)
  await until('the command to be cancelled', () => events.includes('wait cancelled'))
})

test.skipIf(process.platform !== 'linux')(
  'a password among the arguments does not stay where ps looks',
  async () => {
    const { child, ended } = start('wait', 'sesame')
    await until('the command to run', () => events.includes('wait runs'))
    expect(readFileSync(`/proc/${child.pid}/cmdline`, 'latin1')).not.toContain('sesame')
    child.kill('SIGINT')
    await before(10_000, 'the end', ended)
  },
)

test.skipIf(!existsSync('/dev/full'))('what cannot be written is one sentence, and no success', async () => {
  for (const words of [['--version'], ['help'], ['endless']]) {
    const full = openSync('/dev/full', 'w')
    const run = spawn(process.execPath, [programs.gatehousectl, '--socket', control.path, ...words], {
      stdio: ['ignore', full, 'pipe'],
    })
    const closed = once(run, 'close')
    const said = text(run.stderr as Readable)
    expect(await before(10_000, 'the end', closed)).toEqual([1, null])
    expect(await said).toBe(
      'Error: the result could not be written: no space is left on the device; the command may have been done\n',
    )
    closeSync(full)
  }
})

test('a batch of many lines says what its lines say, and nothing else', async () => {
  const { child, ended, stderr } = start('batch', '-')
  child.stdin.end('help endless\n'.repeat(30))
  child.stdout.resume()
  await before(10_000, 'the end', ended)
  expect(await stderr).toBe('30 done, 0 failed\n')
})

test('watch shows all of it once, then what has changed', async () => {
  const { child, ended } = start('watch', 'numbers', '--interval', '0.05')
  let shown = ''
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
  })
  await until('two changes', () => shown.split('\n').length > 6)
  expect(shown.split('\n').slice(0, 6)).toEqual(['same', '1', '- 1', '+ 2', '- 2', '+ 3'])
  child.kill('SIGINT')
  expect((await before(10_000, 'the end', ended))[0]).toBe(130)
})
