/** Modules in a folder of somebody else's, on a server that runs. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs, root } from '../harness/paths.ts'
import { run } from '../harness/process.ts'
import { child, type Stanza } from '../harness/stanza.ts'
import { type Place, place } from './in-a-folder.ts'

let here: Place | undefined
let folder: Folder | undefined
afterEach(async () => {
  await here?.stop()
  folder?.remove()
  here = folder = undefined
})

const page = readFileSync(join(root, 'docs/modules.md'), 'utf8')
const example = /<!-- example -->\n+```js\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
const usual = { mod_ping: {}, mod_disco: {}, mod_roster: {} }

/** A module that does what `body` says in its start. */
function moduleOf(name: string, body: string, more = ''): string {
  return `import { defineModule, defineCommand, el, ns, Stanza, StanzaError, stop, z, iqdisc } from 'gatehouse-xmpp/module'
export default defineModule({
  name: '${name}', doc: 'For a test', options: { n: z.number().default(1) }, ${more}
  start(host, options) { ${body} },
})`
}

async function account(user: string): Promise<void> {
  await here?.server.must('register', user, 'localhost', 'pw')
}

function login(user: string, resource = 'r'): Promise<TestClient> {
  return TestClient.login({ port: here?.server.port ?? 0, user, password: 'pw', resource })
}

async function features(client: TestClient): Promise<string[]> {
  const answer = await client.iq('get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", 'localhost')
  const query = child(answer, 'query')
  return (query?.children ?? []).flatMap((one) =>
    typeof one !== 'string' && one.name === 'feature' ? [one.attrs['var'] ?? ''] : [],
  )
}

/** The type of the answer, or the condition of an error. */
async function asked(client: TestClient, payload: string): Promise<string> {
  const answer = await client.iq('get', payload, 'localhost')
  const error = child(answer, 'error')
  const [condition] = error?.children.filter((one) => typeof one !== 'string') ?? []
  return condition && typeof condition !== 'string' ? condition.name : (answer.attrs['type'] ?? '')
}

const greetings = "<greetings xmlns='urn:example:greetings'/>"

test('the example of the manual comes, changes and goes under traffic, and leaves no trace', async () => {
  here = await place({}, { modules: usual })
  const { server } = here
  for (const user of ['alice', 'bob', 'carol']) await account(user)
  const [alice, bob] = [await login('alice'), await login('bob')]
  let sent = 0
  const traffic = setInterval(() => bob.message('alice@localhost/r', `${sent++}`), 5)
  const running = async () =>
    (await server.must('modules', 'localhost'))
      .split('\n')
      .filter((line) => line.includes('\trunning'))
      .map((line) => line.split('\t')[0])
  const before = {
    running: await running(),
    features: await features(bob),
    help: (await server.ctl(['help', 'all'])).stdout,
  }

  // loaded
  here.write('my-modules/mod-greet.js', example)
  here.configure({
    external_modules: { mod_greet: 'my-modules/mod-greet.js' },
    modules: { ...usual, mod_greet: { text: 'Welcome back' } },
  })
  expect(await server.must('reload_config')).toBe('Applied:\n  modules: mod_greet started on localhost')
  expect(await running()).toEqual([...before.running, 'mod_greet'].sort())
  expect(await features(bob)).toContain('urn:example:greetings')
  const carol = await login('carol')
  const isGreeting = (text: string) => (stanza: Stanza) =>
    stanza.attrs['type'] === 'headline' && JSON.stringify(stanza).includes(text)
  await carol.waitFor(isGreeting('Welcome back'))
  expect(await asked(bob, greetings)).toBe('result')
  expect(await server.must('greetings', 'localhost')).toBe('1')
  carol.message('anybody@greet.localhost', 'hi')
  const answer = await carol.waitFor(isGreeting('Welcome back'))
  expect(answer.attrs['from']).toBe('anybody@greet.localhost')

  // reloaded with another option
  await server.must('reload_module', 'localhost', 'mod_greet', '{text: Hi again}')
  carol.message('greet.localhost', 'hi')
  await carol.waitFor(isGreeting('Hi again'))
  const wrong = await server.ctl(['reload_module', 'localhost', 'mod_greet', '{txt: x}'])
  expect(wrong).toMatchObject({
    code: 1,
    stderr: `Error: "mod_greet, option txt: unknown option, did you mean 'text'?"\n`,
  })
  carol.message('greet.localhost', 'hi')
  await carol.waitFor(isGreeting('Hi again'))

  // other code
  here.write('my-modules/mod-greet.js', example.replaceAll('urn:example:greetings', 'urn:example:new'))
  await server.must('reload_module', 'localhost', 'mod_greet')
  expect(await asked(bob, greetings)).toBe('service-unavailable')
  expect(await asked(bob, greetings.replace("greetings'", "new'"))).toBe('result')
  // code that cannot be loaded changes nothing
  here.write('my-modules/mod-greet.js', 'import { nothing } from "gatehouse-xmpp/module"')
  const broken = await server.ctl(['reload_module', 'localhost', 'mod_greet'])
  expect(broken.code).toBe(1)
  expect(broken.stderr).toMatch(/mod-greet\.js cannot be loaded: SyntaxError: .*named 'nothing'/)
  expect(await asked(bob, greetings.replace("greetings'", "new'"))).toBe('result')
  here.write('my-modules/mod-greet.js', example)
  expect(await server.must('reload_config')).toBe('Applied:\n  modules: mod_greet reloaded on localhost')

  // unloaded, and taken out of the configuration
  await server.must('unload_module', 'localhost', 'mod_greet')
  expect(await running()).toEqual(before.running)
  here.configure({ external_modules: {}, modules: usual })
  await server.must('reload_config')
  const after = {
    running: await running(),
    features: await features(bob),
    help: (await server.ctl(['help', 'all'])).stdout,
  }
  expect(after).toEqual(before)
  expect(await server.must('modules', 'localhost')).not.toContain('mod_greet')
  expect(await asked(bob, greetings)).toBe('service-unavailable')
  expect((await server.ctl(['greetings', 'localhost'])).code).toBe(2)
  carol.message('greet.localhost', 'hi')
  const error = await carol.waitFor('message')
  expect([error.attrs['type'], error.attrs['from']]).toEqual(['error', 'greet.localhost'])
  const again = await login('carol', 'again')
  expect(await again.settled()).toEqual([expect.objectContaining({ name: 'presence' })])

  // and nobody has lost anything
  clearInterval(traffic)
  await bob.settled()
  await until('all that was sent', () => alice.inbox.filter(({ name }) => name === 'message').length === sent)
  const bodies = alice.inbox.filter(({ name }) => name === 'message').map((one) => child(one, 'body')?.text)
  expect(bodies).toEqual(Array.from({ length: sent }, (_, n) => `${n}`))
  for (const client of [alice, bob, carol, again]) client.destroy()
})

describe('code that changes', () => {
  test('is noticed in files beside it too; each host takes it when it is reloaded', async () => {
    const source = moduleOf(
      'mod_words',
      `host.command(defineCommand({ name: 'word', doc: 'Says it', category: 'x', tags: [], args: { host: z.string() },
        result: { kind: 'string', name: 'word' }, example: 'word localhost', run: () => word + other.default }))`,
    )
    here = await place(
      {
        'm/index.js': `import { word } from './lib/word.js'\nimport * as other from "./other.cjs"\n${source}`,
        'm/lib/word.js': "export { word } from './deep.js'",
        'm/lib/deep.js': "export const word = 'one'",
        'm/other.cjs': "module.exports = '!'",
      },
      {
        hosts: ['localhost', 'two.example'],
        external_modules: { mod_words: 'm' },
        modules: { mod_words: {} },
      },
    )
    const { server } = here
    const said = async () => [
      await server.must('word', 'localhost'),
      await server.must('word', 'two.example'),
    ]
    expect(await said()).toEqual(['one!', 'one!'])
    expect(await server.must('reload_config')).toBe('Nothing has changed.')
    here.write('m/lib/deep.js', "export const word = 'two'")
    await server.must('reload_module', 'localhost', 'mod_words')
    expect(await said()).toEqual(['two!', 'one!'])
    expect((await server.must('reload_config', '--dry-run')).split('\n')).toEqual([
      'Applied:',
      '  modules: mod_words reloaded on two.example',
    ])
    expect(await said()).toEqual(['two!', 'one!'])
    await server.must('reload_config')
    expect(await said()).toEqual(['two!', 'two!'])
  })

  test('with its own reload a module takes options without a stop, and new code with one', async () => {
    const log = `const say = (text) => host.log.warn({ said: text }, 'said')`
    const body = `${log}; say('start ' + options.n)`
    const more = `reload(host, now, before) { ${log}; say(before.n + ' to ' + now.n) }, stop(host) { ${log}; say('stop') },`
    here = await place(
      { 'a.js': moduleOf('mod_a', body, more) },
      { external_modules: { mod_a: 'a.js' }, modules: { mod_a: {} } },
    )
    const { server } = here
    const said = () => [...server.log().matchAll(/"said":"([^"]*)"/g)].map((match) => match[1])
    await server.must('reload_module', 'localhost', 'mod_a', '{n: 2}')
    here.write('a.js', `${moduleOf('mod_a', body, more)}\n// changed`)
    await server.must('reload_module', 'localhost', 'mod_a', '{n: 3}')
    await until('the log', () => said().length === 4)
    expect(said()).toEqual(['start 1', '1 to 2', 'stop', 'start 3'])
  })
})

test('what a module needs runs before it, is not taken away under it, and a cycle is named', async () => {
  const needs = (other: string) => `requires: ['${other}'],`
  const order = "host.log.warn({ begins: host.loadedModules() }, 'begins')"
  here = await place(
    { 'a.js': moduleOf('mod_a', order, needs('mod_b')), 'b.js': moduleOf('mod_b', order) },
    { external_modules: { mod_a: 'a.js', mod_b: 'b.js' }, modules: { mod_a: {}, mod_ping: {}, mod_b: {} } },
  )
  const { server } = here
  expect([...server.log().matchAll(/"begins":(\[.*?\])/g)].map((match) => match[1])).toEqual([
    '[]',
    '["mod_b"]',
  ])
  const said = async (...words: string[]) => {
    const { code, stdout, stderr } = await server.ctl(words)
    return { code, text: `${stdout}${stderr}` }
  }
  expect(await said('unload_module', 'localhost', 'mod_b')).toEqual({
    code: 1,
    text: 'Error: "mod_a on localhost needs mod_b"\n',
  })
  // new code that needs something that does not run: the old one runs on
  here.write('b.js', moduleOf('mod_b', order, needs('mod_time')))
  expect((await said('reload_module', 'localhost', 'mod_b')).text).toContain(
    'mod_b needs mod_time, which does not run on localhost',
  )
  expect((await said('reload_config')).text).toMatch(/modules\.mod_b: needs mod_time, which is not among/)
  here.write('b.js', moduleOf('mod_b', order, needs('mod_a')))
  expect(await said('reload_config')).toEqual({
    code: 1,
    text: expect.stringMatching(/these need each other: mod_a → mod_b → mod_a\nNothing was changed\./),
  })
  here.configure({ modules: { mod_a: {}, mod_ping: {} } })
  expect((await said('reload_config')).text).toMatch(/modules\.mod_a: needs mod_b, which is not among/)
  expect(await server.must('modules', 'localhost')).toMatch(/mod_a\trunning[\s\S]*mod_b\trunning/)
})

test('a module that fails costs nobody anything', async () => {
  const failing = moduleOf(
    'mod_bad',
    `host.hook('user_send_packet', () => new Promise(() => {}), 1)
     host.hook('user_receive_packet', () => 'nonsense')
     host.hook('c2s_filter_send', () => { throw new Error('in a hook') })
     host.hook('user_avaliable_hook', () => 0)
     host.iq('local', 'test:text', () => 'no element')
     host.iq('local', 'test:unwritable', () => el('a', { xmlns: 'test:unwritable' }, 'no \\u0000 in XML'))
     host.iq('local', 'test:throws', async () => { throw new Error('in a handler') })
     host.localRoute('bad.example', () => new Promise(() => {}))
     setTimeout(() => { throw new Error('in a timer') }, 10)
     setTimeout(() => { Promise.reject(new Error('in a promise')) }, 10)
     host.onStop(() => { throw new Error('in a clean-up') })`,
    "stop() { throw new Error('in its stop') },",
  )
  here = await place(
    { 'bad.js': failing, 'start.js': moduleOf('mod_start', "throw new Error('in its start')") },
    {
      hook_timeout: '100 ms',
      external_modules: { mod_bad: 'bad.js', mod_start: 'start.js' },
      modules: { ...usual, mod_bad: {} },
    },
  )
  const { server } = here
  await account('alice')
  await account('bob')
  const [alice, bob] = [await login('alice'), await login('bob')]
  bob.message('alice@localhost/r', 'hello')
  expect(child(await alice.waitFor('message'), 'body')?.text).toBe('hello')
  for (const what of ['text', 'unwritable', 'throws']) {
    expect(await asked(bob, `<a xmlns='test:${what}'/>`), what).toBe('internal-server-error')
  }
  bob.message('bad.example', 'hello')
  expect((await bob.waitFor('message')).attrs).toMatchObject({ type: 'error', from: 'bad.example' })
  const refused = await server.ctl(['load_module', 'localhost', 'mod_start'])
  expect(refused.stderr).toBe('Error: "mod_start on localhost did not start: in its start"\n')
  await until('all that is logged', () =>
    ['in a timer', 'in a promise', 'in a hook', 'nonsense was returned', 'no answer within 0.1 s'].every(
      (text) => server.log().includes(text),
    ),
  )
  expect(server.log()).toContain('there is no hook user_avaliable_hook; is user_available_hook meant?')
  await server.must('unload_module', 'localhost', 'mod_bad')
  expect(server.log()).toContain('in a clean-up')
  bob.message('bad.example', 'hello')
  expect(JSON.stringify(await bob.waitFor('message'))).toContain('remote-server-not-found')
  // what a module has left behind does not keep the process alive
  expect(await server.stop()).toBe(0)
  for (const client of [alice, bob]) client.destroy()
})

describe('gatehouse check', () => {
  const wrong: Readonly<Record<string, readonly [text: string, sentence: string | RegExp]>> = {
    mod_syntax: [
      'const = 5',
      "/mod_syntax.js cannot be loaded: SyntaxError: Unexpected token '='; 'node FOLDER/mod_syntax.js' shows the place",
    ],
    mod_throws: [
      '\nthrow new Error("no luck")',
      '/mod_throws.js cannot be loaded: Error: no luck (FOLDER/mod_throws.js:2)',
    ],
    mod_nodefault: [
      'export const a = 1',
      '/mod_nodefault.js has no default export (only a); write: export default defineModule({…})',
    ],
    mod_empty: [
      '',
      '/mod_empty.js has no default export (it exports nothing); write: export default defineModule({…})',
    ],
    mod_zod: [
      'import { z } from "zod"',
      /cannot find package 'zod'.*: take z from 'gatehouse-xmpp\/module', or install zod in its folder/i,
    ],
    mod_import: [
      'import { defineMdule } from "gatehouse-xmpp/module"',
      /does not provide an export named 'defineMdule' \(FOLDER\/mod_import\.js:1\)/,
    ],
    mod_missing: [
      'import "./nothing.js"',
      /Cannot find module 'FOLDER\/nothing\.js' imported from FOLDER\/mod_missing\.js/,
    ],
    mod_shape: [
      'export default { name: "mod_shape", doc: "x", options: { a: 5 }, strat() {} }',
      /options\.a: must be a schema of z.*; start: must be a function; strat: a module has no such part, did you mean 'start'\?/,
    ],
    mod_name: [
      moduleOf('mod_other', ''),
      '/mod_name.js is the module mod_other, not mod_name: call it the same in both places',
    ],
    mod_number: [
      'export default 5',
      '/mod_number.js exports is no module: must be a mapping (name: value), not 5',
    ],
    mod_ping: [
      moduleOf('mod_ping', ''),
      "mod_ping is a module of the server's own; yours needs another name",
    ],
    Greet: [moduleOf('Greet', ''), 'the name of a module is mod_ and small letters, digits and _'],
  }

  async function check(modules: object, files: Readonly<Record<string, string>>): Promise<string[]> {
    folder = temporaryFolder('check')
    const named = Object.fromEntries(Object.keys(files).map((file) => [file.replace('.js', ''), file]))
    for (const [file, text] of Object.entries(files)) writeFileSync(folder.file(file), text)
    const external_modules = { ...named, mod_gone: 'gone.js', mod_folder: '.' }
    writeFileSync(folder.file('gatehouse.yml'), JSON.stringify({ listen: [], external_modules, modules }))
    const { stdout, stderr } = await run(process.execPath, [programs.gatehouse, 'check'], {
      cwd: folder.path,
    })
    const path = folder.path
    return `${stdout}${stderr}`.trimEnd().replaceAll(path, 'FOLDER').split('\n')
  }

  test('names all that is wrong with modules of others, and ends', async () => {
    const files = Object.fromEntries(Object.entries(wrong).map(([name, [text]]) => [`${name}.js`, text]))
    const said = await check({ mod_number: { a: 1 }, mod_numbr: {} }, files)
    for (const [name, [, sentence]] of Object.entries(wrong)) {
      const line = said.find((one) => one.includes(`: external_modules.${name}: `)) ?? ''
      if (typeof sentence === 'string') expect(line).toContain(sentence)
      else expect(line).toMatch(sentence)
    }
    expect(
      said.filter((line) => /mod_gone|mod_folder/.test(line)).map((line) => line.replace(/^.*?: /, '')),
    ).toEqual([
      'external_modules.mod_gone: there is no file FOLDER/gone.js',
      'external_modules.mod_folder: in the folder FOLDER there is no index.js, index.mjs, index.ts',
    ])
    // of one that cannot be had the options are nobody's mistake
    expect(said.filter((line) => line.includes(': modules.'))).toEqual([
      expect.stringContaining("modules.mod_numbr: unknown module, did you mean 'mod_number'?"),
    ])
    expect(said).toHaveLength(Object.keys(wrong).length + 4)
  })

  test('knows the options of those that are right', async () => {
    const said = await check(
      { mod_a: { m: 1, n: 'x' } },
      { 'mod_a.js': moduleOf('mod_a', 'setInterval(() => 0, 1000)') },
    )
    expect(
      said.filter((line) => line.includes('modules.mod_a')).map((line) => line.replace(/^.*?: /, '')),
    ).toEqual([
      "modules.mod_a.m: unknown option, did you mean 'n'?",
      "modules.mod_a.n: must be a number, not 'x'",
    ])
  })
})

describe('TypeScript', () => {
  const source = `import { defineModule, type HostContext, type Hooks, z, type IqRequest, el } from 'gatehouse-xmpp/module'
declare module 'gatehouse-xmpp/module' {
  interface Hooks { greeting_said: { acc: undefined; info: { text: string } } }
}
function answer(request: IqRequest) { return el('a', { xmlns: request.ns }) }
export default defineModule({
  name: 'mod_typed', doc: 'Has types', options: { text: z.string().default('x') },
  start(host: HostContext, options) {
    const text: string = options.text
    host.iq('local', 'test:a', answer)
    host.hook('greeting_said', (_, { text }) => { host.log.info(text.toUpperCase()) })
    host.run('greeting_said', { text })
    host.hook('filter_packet', (stanza) => (stanza?.kind === 'iq' ? null : stanza))
    const kept = host.storeOf('ann', z.object({ count: z.number(), since: z.string().default('') }))
    void kept.update('visits', (old) => ({ count: (old?.count ?? 0) + 1, since: 'today' }))
    void kept.get('visits').then((now) => host.log.info(now?.since.toUpperCase()))
    // @ts-expect-error: it has a count
    void kept.set('visits', { since: 'today' })
    // @ts-expect-error: it is a text
    const wrong: number = options.text
    // @ts-expect-error: there is no such hook
    host.hook('filter_paket', () => undefined)
    return void wrong
  },
})
`

  test('knows everything that a module may use by the declarations in the package', async () => {
    folder = temporaryFolder('types')
    mkdirSync(folder.file('node_modules'))
    symlinkSync(root, folder.file('node_modules/gatehouse-xmpp'))
    symlinkSync(join(root, 'node_modules/@types'), folder.file('node_modules/@types'))
    writeFileSync(folder.file('mod-typed.ts'), source)
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
    const { code, stdout } = await run(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), ...flags, 'mod-typed.ts'],
      { cwd: folder.path },
    )
    expect(stdout).toBe('')
    expect(code).toBe(0)
  })

  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const strips = major > 22 || (major === 22 && minor >= 18)
  test(strips ? 'runs as it is' : 'is refused with a sentence by a Node that cannot run it', async () => {
    folder = temporaryFolder('typescript')
    writeFileSync(folder.file('mod-typed.ts'), source)
    const config = { listen: [], external_modules: { mod_typed: 'mod-typed.ts' }, modules: { mod_typed: {} } }
    writeFileSync(folder.file('gatehouse.yml'), JSON.stringify(config))
    const { code, stderr } = await run(process.execPath, [programs.gatehouse, 'check'], { cwd: folder.path })
    if (strips) expect({ code, stderr }).toMatchObject({ code: 0 })
    else
      expect(stderr).toContain('mod-typed.ts cannot be loaded: Node 22.18 or newer runs TypeScript as it is')
  })
})
