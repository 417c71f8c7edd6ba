/** Words of the command line that are no command: a module may know what they mean (ejabberd_ctl_process). */
import { afterEach, expect, test } from 'vitest'
import { type Place, place } from './in-a-folder.ts'

let here: Place | undefined
afterEach(() => here?.stop())

const source = `export default { name: 'mod_words', doc: 'Knows words', options: {},
  start(host) {
    host.globalHook('ejabberd_ctl_process', (answer, { words }) => {
      if (words[0] === 'weather' || words[0] === 'registered_vhosts') return words.slice(1).join(' and ') || 'fine'
    })
    host.globalHook('api_call', (_, { caller, command, arguments: given, result }) => {
      host.log.warn({ audited: command, given, result }, 'audited')
    })
  } }`

test('are answered by the module that knows them, and unknown otherwise', async () => {
  here = await place(
    { 'words.js': source },
    {
      external_modules: { mod_words: 'words.js' },
      modules: { mod_words: {} },
      control: [{ path: 'ctl.sock' }, { path: 'some.sock', commands: ['status'] }],
    },
  )
  const { server, folder } = here
  const ctl = (...words: string[]) => server.ctl(words)
  expect(await ctl('weather', 'rain', '-', 'snow')).toEqual({
    code: 0,
    stdout: 'rain and - and snow\n',
    stderr: '',
  })
  expect((await ctl('weather', '--output', 'json')).stdout).toMatch(/"fine"/)
  // what all others say of unknown words is said as before
  const unknown = await ctl('wether')
  expect([unknown.code, unknown.stdout]).toEqual([2, ''])
  expect(unknown.stderr).toContain('"wether"')
  expect((await ctl('weather', '--dry-run')).code).toBe(2)
  // a command is a command
  expect((await ctl('registered_vhosts')).stdout).toBe('localhost\n')
  // a socket that may not run everything runs no words
  const some = await server.ctl(['--socket', folder.file('some.sock'), 'weather'])
  expect(some.code).toBe(2)

  const audited = [...server.log().matchAll(/"audited":"(\w+)","given":(\{[^}]*\})/g)].map((match) =>
    match.slice(1),
  )
  expect(audited.filter(([command]) => command === 'weather')).toEqual([
    ['weather', '{}'],
    ['weather', '{}'],
  ])
  await server.must('unload_module', 'localhost', 'mod_words')
  expect((await ctl('weather')).code).toBe(2)
})
