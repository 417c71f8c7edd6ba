/** Many commands at once: in order or not, as words or as JSON, what fails, and where to go on. */
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { integer, newSecret, user, word } from '../../server-core/admin/commands/arguments.ts'
import { type BareControl, bareControl, command, ctl, Wire } from '../harness/admin.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let control: BareControl
/** What ran in the server, in the order in which it began and ended. */
let events: string[]
let atOnce: number
let most: number

beforeEach(async () => {
  events = []
  atOnce = 0
  most = 0
  folder = temporaryFolder('batch')
  control = await bareControl(folder.file('s'), [
    command(
      'say',
      async (args) => {
        const { text, ms = 0 } = args as { text: string; ms?: number }
        most = Math.max(most, ++atOnce)
        events.push(`${text} begins`)
        if (ms > 0) await delay(ms)
        events.push(`${text} ends`)
        atOnce--
        return text
      },
      {
        args: { text: word('any'), ms: integer('how long it takes').optional() },
        forms: [{ names: ['text'] }, { names: ['text', 'ms'] }],
        result: { kind: 'string', name: 'text' },
      },
    ),
    command('refuse', () => ({ ok: false, text: 'No.' }), { result: { kind: 'restuple' } }),
    command(
      'burn',
      () => {
        events.push('burn')
        return undefined
      },
      { destroys: 'bulk', preview: () => ({ ok: true, text: 'All would burn' }) },
    ),
    command(
      'letters',
      () =>
        (async function* () {
          for (const letter of ['a', 'b', 'c']) yield [letter]
        })(),
      { result: { kind: 'list', columns: [{ name: 'letter', type: 'string' }] } },
    ),
    command('join', (args) => JSON.stringify(args), {
      args: {
        user: user().optional(),
        host: z.string().meta({ description: 'host', names: 'host' }),
        password: newSecret('password'),
      },
      forms: [
        { names: ['host', 'password'], hostAt: 0 },
        { names: ['user', 'host'], hostAt: 1 },
        { names: ['user', 'host', 'password'] },
      ],
      result: { kind: 'string', name: 'args' },
    }),
  ])
})
afterEach(async () => {
  await control.close(0)
  folder.remove()
})

function batch(lines: readonly string[], ...options: readonly string[]) {
  return ctl(['--socket', control.path, ...options, 'batch', '-'], { input: `${lines.join('\n')}\n` })
}

test('lines run in order, one at a time, while many are on their way', async () => {
  const lines = Array.from({ length: 200 }, (_, n) => `say ${n} ${n % 50 === 0 ? 20 : 0}`)
  const result = await batch(lines)
  expect(result).toEqual({
    code: 0,
    stdout: lines.map((_, n) => `${n}\n`).join(''),
    stderr: '200 done, 0 failed\n',
  })
  expect(most).toBe(1)
  expect(events).toEqual(lines.flatMap((_, n) => [`${n} begins`, `${n} ends`]))
})

test('lines that do not depend on each other run beside each other; what they print keeps their order', async () => {
  const result = await batch(['say slow 100', 'letters', 'say fast'], '--jobs', '3')
  expect(result.stdout).toBe('slow\na\nb\nc\nfast\n')
  expect(events.indexOf('fast ends')).toBeLessThan(events.indexOf('slow ends'))
})

describe('a line that fails', () => {
  test('ends a batch: nothing behind it has run, and it is said how to go on', async () => {
    writeFileSync(folder.file('list'), 'say one\n# a comment\n\nrefuse\nsay two\nsay three\n')
    const result = await ctl(['--socket', control.path, 'batch', 'list'], { cwd: folder.path })
    expect(result).toEqual({
      code: 1,
      stdout: 'one\nNo.\n',
      stderr: 'line 4 (refuse) failed, exit 1\n1 done, 1 failed; to go on there: batch list --from 4\n',
    })
    expect(events).not.toContain('two begins')
    const rest = await ctl(['--socket', control.path, 'batch', 'list', '--from', '5'], { cwd: folder.path })
    expect(rest).toEqual({ code: 0, stdout: 'two\nthree\n', stderr: '2 done, 0 failed\n' })
  })

  test.each([
    ['nosuch', 'Error: command "nosuch" not known.\nSee the list with \'gatehousectl help\'.\n'],
    ['say', 'Error: the command "say" requires 1 more argument.\n'],
    ['say x y', 'Error: "Argument \'ms\' must be an integer"\n'],
    ["say 'x", "Error: a ' is not closed\n"],
    ['batch more', 'Error: batch cannot stand in a batch\n'],
    ['say -', 'Error: standard input is the batch itself, so no argument can be -\n'],
    ['{"command":', 'Error: the line begins like JSON and is none: '],
    ['{"args":["x"]}', 'Error: a line of JSON has the name of its command as "command"\n'],
    ['{"command":"say","txet":"x"}', "Error: say has no argument 'txet'; there are: text, ms\n"],
    ['{"command":"say","ms":1}', "Error: argument 'text' is missing\n"],
    ['{"command":"say","text":["x"]}', "Error: argument 'text' must be a text or a number\n"],
    ['{"command":"say","args":["x"],"ms":1}', 'Error: the arguments are either under "args"'],
    ['{"command":"join","user":"a","host":"localhost"}', "Error: argument 'password' is missing\n"],
    ['{"command":"help","command2":"say"}', 'Error: the arguments of help have no names'],
    ['burn', 'Error: burn destroys in bulk; say --yes when that is meant\n'],
  ])('is told apart from those around it: %s', async (line, said) => {
    const result = await batch(['say before', line, 'say behind'])
    expect(result.code).toBe(1)
    expect(result.stdout).toBe('before\n')
    expect(result.stderr).toContain(said)
    expect(result.stderr).toMatch(/^line 2( \(\w+\))? failed, exit 2$/m)
    expect(events).toEqual(['before begins', 'before ends'])
  })

  test('--keep-going: the others run, and the summary names it', async () => {
    const result = await batch(['refuse', 'say one', 'nosuch', 'say two'], '--keep-going')
    expect(result.code).toBe(1)
    expect(result.stdout).toBe('No.\none\ntwo\n')
    expect(result.stderr).toMatch(/2 done, 2 failed: lines 1, 3\n$/)
  })

  test('with --jobs: what runs beside it is finished, and it is said how far', async () => {
    const result = await batch(
      ['say slow 50', 'refuse', 'say third', 'say never', 'say never'],
      '--jobs',
      '2',
    )
    expect(result.code).toBe(1)
    expect(result.stdout).toMatch(/^slow\nNo\.\n/)
    const sent = Number(/the lines up to (\d) have been run/.exec(result.stderr)?.[1])
    expect(events.filter((event) => event.endsWith('begins'))).toHaveLength(sent - 1)
    expect(result.stderr).toContain(`to go on behind them: batch - --from ${sent + 1}\n`)
  })
})

describe('lines of JSON', () => {
  test.each([
    ['arguments beside the command', '{"command":"say","text":"a b","ms":1}', 'a b\n'],
    ['under args, by name', '{"command":"say","args":{"text":"a\\nb"}}', 'a\\nb\n'],
    ['under args, in their order', '{"command":"say","args":["@./x",0]}', '@./x\n'],
    ['nothing has a second meaning', '{"command":"say","text":"-"}', '-\n'],
    ['a number for a text', '{"command":"say","text":5}', '5\n'],
    ['null is nothing', '{"command":"say","text":"x","ms":null}', 'x\n'],
    ['a name with dashes', '{"command":"let-ters"}', ''],
    [
      'the form that has these arguments',
      '{"command":"join","host":"h","password":"p"}',
      '{"host":"h","password":"p"}\n',
    ],
    [
      'another form',
      '{"command":"join","user":"u","host":"h","password":"p"}',
      '{"user":"u","host":"h","password":"p"}\n',
    ],
  ])('%s', async (_, line, stdout) => {
    const result = await batch([line])
    expect(result.stdout).toBe(stdout)
  })

  test('beside lines of words', async () => {
    expect((await batch(['say one', '  {"command": "say", "text": "two"}', 'say three'])).stdout).toBe(
      'one\ntwo\nthree\n',
    )
  })
})

test('--dry-run says of each line what it would do, and does nothing', async () => {
  const result = await batch(['say one', 'burn', 'say'], '--dry-run', '--keep-going')
  expect(result.stdout).toBe('say would be run\nAll would burn\n')
  expect(result.code).toBe(1)
  expect(events).toEqual([])
})

test('--yes holds for all lines', async () => {
  expect((await batch(['burn'], '--yes')).code).toBe(0)
  expect(events).toEqual(['burn'])
})

test('the text of a line is what it is: UTF-8, quotes, CR LF, 64 KiB', async () => {
  const long = 'é'.repeat(40_000)
  const result = await batch([`say 'ä "ö" 日本'\r`, `say ${long}`])
  expect(result.stdout).toBe(`ä "ö" 日本\n${long}\n`)
  const broken = await ctl(['--socket', control.path, 'batch', '-'], {
    input: Buffer.from('say one\nsay \xff\n', 'latin1'),
  })
  expect(broken).toMatchObject({ code: 2, stdout: 'one\n' })
  expect(broken.stderr).toContain('line 2 is not UTF-8 text')
})

describe('a server that dies', () => {
  const servers: Server[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })

  test('in the middle: exit 3, with the lines that may have been done', async () => {
    const description = { version: '0', node: 'n', hosts: [], commands: [] as unknown[] }
    const say = { name: 'say', doc: '', category: '', tags: [], args: [], forms: [{ names: [] }] }
    description.commands.push({ ...say, result: { kind: 'string', name: 'x' }, example: 'say' })
    const server = createServer((socket) => {
      let answered = 0
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        for (const line of chunk.toString().trim().split('\n')) {
          const { id, method } = JSON.parse(line) as { id: number; method: string }
          const result = method === 'say' ? { value: 'x' } : description
          if (method === 'say' && ++answered > 2) return void setTimeout(() => socket.destroy(), 50)
          socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`)
        }
      })
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(folder.file('dying'), resolve))
    const result = await ctl(['--socket', folder.file('dying'), 'batch', '-'], { input: 'say\n'.repeat(5) })
    expect(result.code).toBe(3)
    expect(result.stdout).toBe('x\nx\n')
    expect(result.stderr).toBe(
      '2 done, 0 failed; lines 3 to 5 had been sent, and some of them may have been done; to go on there: batch - --from 3\n' +
        'The connection to the server was lost; the command may have been done.\n',
    )
  })
})

describe('the wire', () => {
  const say = (id: number, text: string, ms = 0) => ({ id, method: 'say', params: { text, ms } })

  test('gatehouse.in_order: calls run one after the other, and with stop none behind one that failed', async () => {
    const wire = new Wire(control.path)
    wire.send({ id: 1, method: 'gatehouse.in_order', params: { stop: true } })
    expect(await wire.answer(1)).toMatchObject({ result: {} })
    wire.send(say(2, 'slow', 50), say(3, 'fast'), { id: 4, method: 'refuse' }, say(5, 'never'))
    expect(await wire.next()).toMatchObject({ id: 2 })
    expect(await wire.next()).toMatchObject({ id: 3 })
    expect(await wire.next()).toMatchObject({ id: 4, result: { ok: false } })
    expect(await wire.next()).toMatchObject({
      id: 5,
      error: { code: -32004, message: 'not run, because call 4 before it failed' },
    })
    expect(events).not.toContain('never begins')
    // Said again, it begins anew.
    wire.send({ id: 6, method: 'gatehouse.in_order', params: {} }, { id: 7, method: 'refuse' }, say(8, 'on'))
    expect(await wire.answer(8)).toMatchObject({ result: { value: 'on' } })
    wire.socket.destroy()
  })

  test('what waits can be cancelled, and is not run when the client goes', async () => {
    const wire = new Wire(control.path)
    wire.send({ id: 1, method: 'gatehouse.in_order', params: {} })
    await wire.answer(1)
    wire.send(say(2, 'first', 100), say(3, 'cancelled'), say(4, 'left'))
    wire.send({ id: 5, method: 'gatehouse.cancel', params: { id: 3 } })
    expect(await wire.answer(5)).toMatchObject({ result: { cancelled: true } })
    expect(await wire.answer(3)).toMatchObject({ error: { message: 'cancelled' } })
    await wire.answer(4)
    wire.send(say(6, 'last', 100), say(7, 'never'))
    await until('the call to begin', () => events.includes('last begins'))
    wire.socket.destroy()
    await until('the call to end', () => events.includes('last ends'))
    // The answer cannot be written, which is how the server learns that nobody is there.
    await delay(100)
    expect(events).not.toContain('cancelled begins')
    expect(events).not.toContain('never begins')
  })
})
