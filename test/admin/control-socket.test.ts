import { chmodSync, existsSync, lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { file, integer, secret, word } from '../../server-core/admin/commands/arguments.ts'
import { maxInFlight } from '../../server-core/admin/control-connection.ts'
import { maxLineBytes } from '../../server-core/admin/control-protocol.ts'
import { linesOf } from '../../server-core/admin/file-from-client.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { type Caller, CommandError, type CommandSpec } from '../../server-core/extend/command.ts'
import { type BareControl, bareControl, command, ctl, Wire } from '../harness/admin.ts'
import { before, until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let path: string
const open: { close(ms?: number): Promise<void> }[] = []
const wires: Wire[] = []

beforeEach(() => {
  folder = temporaryFolder('control')
  path = folder.file('s')
})
afterEach(async () => {
  for (const wire of wires.splice(0)) wire.socket.destroy()
  await Promise.all(open.splice(0).map((control) => control.close(0)))
  folder.remove()
})

async function started(
  commands: readonly CommandSpec[],
  options: Parameters<typeof bareControl>[2] = {},
): Promise<BareControl> {
  const control = await bareControl(path, commands, options)
  open.push(control)
  return control
}

function wire(at = path): Wire {
  const connection = new Wire(at)
  wires.push(connection)
  return connection
}

/** A command that waits until it is told to end. */
function waiting(name = 'wait') {
  const callers: Caller[] = []
  const ends: (() => void)[] = []
  const spec = command(name, async (_, caller) => {
    callers.push(caller)
    await new Promise<void>((resolve, reject) => {
      ends.push(resolve)
      caller.signal.addEventListener('abort', () => reject(new Error('aborted')))
    })
    return undefined
  })
  return { spec, callers, ends }
}

describe('calls', () => {
  test('every kind of result has its reply', async () => {
    await started([
      command('nothing', () => undefined),
      command('number', () => 5, { result: { kind: 'integer', name: 'n' } }),
      command('text', () => 'x', { result: { kind: 'string', name: 's' } }),
      command('said', () => ({ ok: false, text: 'no such thing' }), { result: { kind: 'restuple' } }),
      command('rows', () => [['a', 1]], { result: { kind: 'list', columns: [] } }),
    ])
    const client = wire()
    for (const [id, method] of ['nothing', 'number', 'text', 'said', 'rows'].entries())
      client.send({ id, method })
    expect(await client.answer(0)).toMatchObject({ result: { ok: true } })
    expect(await client.answer(1)).toMatchObject({ result: { value: 5 } })
    expect(await client.answer(2)).toMatchObject({ result: { value: 'x' } })
    expect(await client.answer(3)).toMatchObject({ result: { ok: false, text: 'no such thing' } })
    expect(await client.answer(4)).toMatchObject({ result: { rows: [['a', 1]] } })
  })

  test('many are in flight at once, and answers come when they are ready', async () => {
    const slow = waiting('slow')
    await started([slow.spec, command('fast', () => 1)])
    const client = wire()
    client.send({ id: 'a', method: 'slow' }, { id: 'b', method: 'fast' })
    await client.answer('b')
    slow.ends[0]?.()
    await client.answer('a')
  })

  test('beyond the bound the server says that it is busy', async () => {
    const slow = waiting()
    await started([slow.spec])
    const client = wire()
    for (let id = 0; id <= maxInFlight; id++) client.send({ id, method: 'wait' })
    expect(await client.answer(maxInFlight)).toMatchObject({ error: { code: -32003 } })
    for (const end of slow.ends) end()
    await client.answer(0)
    client.send({ id: 'again', method: 'wait' })
    await until('another call to run', () => slow.ends.length > maxInFlight)
  })

  test('an id that is in use is refused', async () => {
    const slow = waiting()
    await started([slow.spec])
    const client = wire()
    client.send({ id: 1, method: 'wait' }, { id: 1, method: 'wait' })
    expect(await client.answer(1)).toMatchObject({ error: { code: -32600 } })
  })

  test('errors are replies: unknown, wrong arguments, refused, unavailable, broken', async () => {
    await started([
      command('typed', () => undefined, { args: { days: integer('days'), name: word('name').optional() } }),
      command('refuse', () => {
        throw new CommandError('not today')
      }),
      command('unsure', () => {
        throw new BackendUnavailable('the directory does not answer')
      }),
      command('broken', () => {
        throw new Error('password=secret at 0x1234')
      }),
    ])
    const client = wire()
    const error = async (method: string, params = {}) => {
      client.send({ id: 1, method, params })
      return (await client.answer(1))['error']
    }
    expect(await error('typd')).toEqual({
      code: -32601,
      message: 'command "typd" not known.',
      data: { nearest: ['typed'] },
    })
    expect(await error('typed')).toMatchObject({ code: -32602, message: "argument 'days' is missing" })
    expect(await error('typed', { days: '5x' })).toMatchObject({
      message: "Argument 'days' must be an integer",
    })
    expect(await error('typed', { days: 1.5 })).toMatchObject({ code: -32602 })
    expect(await error('typed', { days: 1, dyas: 2 })).toMatchObject({
      message: "there is no argument 'dyas'",
    })
    expect(await error('refuse')).toEqual({ code: -32000, message: 'not today' })
    expect(await error('unsure')).toEqual({ code: -32000, message: 'the directory does not answer' })
    expect(await error('broken')).toEqual({
      code: -32603,
      message: 'broken failed inside the server; its log says why',
    })
  })

  test('a call can be cancelled', async () => {
    const slow = waiting()
    await started([slow.spec])
    const client = wire()
    client.send({ id: 1, method: 'wait' })
    await until('the command to run', () => slow.callers.length === 1)
    client.send({ id: 2, method: 'gatehouse.cancel', params: { id: 1 } })
    expect(await client.answer(2)).toMatchObject({ result: { cancelled: true } })
    expect(await client.answer(1)).toMatchObject({ error: { code: -32000, message: 'cancelled' } })
    client.send({ id: 3, method: 'gatehouse.cancel', params: { id: 1 } })
    expect(await client.answer(3)).toMatchObject({ result: { cancelled: false } })
  })

  test('a client that closes its half still gets its answers', async () => {
    const slow = waiting()
    await started([slow.spec])
    const client = wire()
    client.send({ id: 1, method: 'wait' })
    client.socket.end()
    await until('the command to run', () => slow.ends.length === 1)
    slow.ends[0]?.()
    expect(await client.answer(1)).toMatchObject({ result: { ok: true } })
    await client.ended()
  })

  test('a module brings its command for its host, and takes it away', async () => {
    const control = await started([])
    const of = (host: string) =>
      command('who', () => host, { args: { host: word('host') }, result: { kind: 'string', name: 's' } })
    const undo = control.registry.add(of('localhost'), 'localhost')
    control.registry.add(of('example.org'), 'example.org')
    expect(() => control.registry.add(of('x'), 'localhost')).toThrow('already')
    expect(() => control.registry.add(of('x'))).toThrow('already')
    const client = wire()
    client.send({ id: 1, method: 'who', params: { host: 'Example.org' } })
    expect(await client.answer(1)).toMatchObject({ result: { value: 'example.org' } })
    undo()
    client.send({ id: 2, method: 'who', params: { host: 'localhost' } })
    expect(await client.answer(2)).toMatchObject({ error: { code: -32000 } })
  })
})

describe('big lists', () => {
  test('come in portions, wait for a slow reader, and end with their count', async () => {
    let made = 0
    async function* rows() {
      for (; made < 200_000; made++) yield [`user${made}`.padEnd(100, '.')]
    }
    await started([command('many', () => rows(), { result: { kind: 'list', columns: [] } })])
    const client = wire()
    client.socket.pause()
    client.send({ id: 1, method: 'many' })
    let last = -1
    await until('the server to wait', () => {
      const stood = made > 0 && made === last
      last = made
      return stood
    })
    expect(made).toBeLessThan(100_000)
    client.socket.resume()
    let seen = 0
    const portions = (line: Record<string, unknown>) => line['method'] === 'rows'
    while (seen < 200_000) {
      const { params } = (await client.next(portions)) as { params: { rows: unknown[] } }
      expect(params.rows.length).toBeLessThanOrEqual(1_000)
      seen += params.rows.length
    }
    expect(await client.answer(1)).toMatchObject({ result: { count: 200_000 } })
  })

  test('stop being made when the reader has gone', async () => {
    let ended = false
    async function* rows() {
      try {
        for (;;) yield ['x'.repeat(1_000)]
      } finally {
        ended = true
      }
    }
    await started([command('endless', () => rows(), { result: { kind: 'list', columns: [] } })])
    const client = wire()
    client.send({ id: 1, method: 'endless' })
    await client.next((line) => line['method'] === 'rows')
    client.socket.destroy()
    await until('the list to end', () => ended)
  })

  test('an answer that no line can hold is an error', async () => {
    await started([
      command('huge', () => 'é'.repeat(maxLineBytes), { result: { kind: 'string', name: 's' } }),
    ])
    const client = wire()
    client.send({ id: 1, method: 'huge' })
    expect(await client.answer(1)).toMatchObject({ error: { message: 'the answer is larger than 1 MiB' } })
  })
})

describe('files of the client', () => {
  const count = command(
    'count',
    async (args) => {
      let lines = 0
      for await (const _ of linesOf(args['file'] as AsyncIterable<string>)) lines++
      return lines
    },
    { args: { file: file('any') }, result: { kind: 'integer', name: 'lines' } },
  )

  test('come whole, or in portions when the command asks for them', async () => {
    await started([count])
    const client = wire()
    client.send({ id: 1, method: 'count', params: { file: 'a\nb\nc' } })
    expect(await client.answer(1)).toMatchObject({ result: { value: 3 } })
    client.send({ id: 2, method: 'count', params: { file: { stream: true } } })
    for (const [data, last] of [
      ['a\nb', false],
      ['b\r\nc\n', false],
      ['', true],
    ] as const) {
      await client.next((line) => line['method'] === 'more')
      client.send({ method: 'gatehouse.data', params: { id: 2, data, last } })
    }
    expect(await client.answer(2)).toMatchObject({ result: { value: 3 } })
  })

  test('a portion that nobody asked for is dropped', async () => {
    await started([count])
    const client = wire()
    client.send({ method: 'gatehouse.data', params: { id: 9, data: 'x', last: true } })
    client.send({ id: 1, method: 'count', params: { file: { stream: true } } })
    await client.next((line) => line['method'] === 'more')
    client.send({ id: 2, method: 'gatehouse.cancel', params: { id: 1 } })
    expect(await client.answer(1)).toMatchObject({ error: { message: 'cancelled' } })
  })
})

describe('lines', () => {
  test.each([
    ['no JSON', 'hello\n', -32700],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22, 0x0a]), -32700],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"x"}]\n', -32600],
    ['no version', '{"id":1,"method":"x"}\n', -32600],
    ['params by position', '{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}\n', -32600],
    ['an id that is an object', '{"jsonrpc":"2.0","id":{},"method":"x"}\n', -32600],
  ])('%s is refused, and the connection stays', async (_, line, code) => {
    await started([command('nothing', () => undefined)])
    const client = wire()
    client.socket.write(line)
    expect((await client.next())['error']).toMatchObject({ code })
    client.send({ id: 2, method: 'nothing' })
    expect(await client.answer(2)).toMatchObject({ result: { ok: true } })
  })

  test('may arrive in any pieces', async () => {
    await started([
      command('echo', (args) => String(args['text']), {
        args: { text: word('any') },
        result: { kind: 'string', name: 's' },
      }),
    ])
    const client = wire()
    const bytes = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"grüße 👋"}}\n')
    for (const byte of bytes) client.socket.write(Buffer.of(byte))
    expect(await client.answer(1)).toMatchObject({ result: { value: 'grüße 👋' } })
  })

  test('one that is too long ends the connection', async () => {
    await started([])
    const client = wire()
    client.socket.write(Buffer.alloc(maxLineBytes + 1, 0x20))
    expect((await client.next())['error']).toMatchObject({ code: -32600 })
    await client.ended()
  })

  test('a flood of garbage ends the connection', async () => {
    await started([])
    const client = wire()
    client.socket.write('x\n'.repeat(1_000))
    await client.ended()
    expect(client.lines.length).toBeLessThan(200)
  })
})

describe('listeners', () => {
  test('each has its own permissions and its own list of commands', async () => {
    const two = folder.file('operators')
    const owner = command('secretly', () => undefined, { ownerOnly: true })
    await started([command('stats', () => 1), command('stop', () => undefined), owner], {
      listeners: [{ path }, { path: two, mode: '0660', commands: ['stats', 'secretly'] }],
    })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(two).mode & 0o777).toBe(0o660)
    const client = wire(two)
    client.send({ id: 1, method: 'gatehouse.describe' })
    const { result } = (await client.answer(1)) as { result: { commands: { name: string }[] } }
    expect(result.commands.map(({ name }) => name)).toEqual(['stats'])
    client.send({ id: 2, method: 'stop' }, { id: 3, method: 'stats' }, { id: 4, method: 'secretly' })
    expect(await client.answer(2)).toMatchObject({
      error: {
        code: -32001,
        message: `stop may not be run through ${two}: it is not among the commands of this socket (option control)`,
      },
    })
    expect(await client.answer(3)).toMatchObject({ result: { value: 1 } })
    expect(await client.answer(4)).toMatchObject({
      error: {
        code: -32001,
        message: `secretly is for the owner of the server only, and others may open ${two}: use a socket of mode 0600`,
      },
    })
    client.send({ id: 5, method: 'gatehouse.describe', params: { command: 'stop' } })
    expect(await client.answer(5)).toMatchObject({
      result: { commands: [], notAllowed: expect.stringContaining('may not be run through') },
    })
    client.send({ id: 6, method: 'nosuch' })
    expect(await client.answer(6)).toMatchObject({ error: { code: -32601 } })
    const own = wire()
    own.send({ id: 1, method: 'secretly' })
    expect(await own.answer(1)).toMatchObject({ result: { ok: true } })
  })

  test('nothing but the socket is left in the folder, and nothing after the end', async () => {
    const control = await started([])
    expect(readdirSync(folder.path)).toEqual(['s'])
    await control.close()
    expect(readdirSync(folder.path)).toEqual([])
  })

  test('a socket that a crash left behind is replaced', async () => {
    const dead = createServer()
    await new Promise<void>((resolve) => dead.listen(path, resolve))
    // As after SIGKILL: the file stays, nobody listens.
    const { rename } = await import('node:fs/promises')
    await rename(path, `${path}2`)
    await new Promise<void>((resolve) => dead.close(() => resolve()))
    await rename(`${path}2`, path)
    expect(lstatSync(path).isSocket()).toBe(true)
    await started([command('nothing', () => undefined)])
    const client = wire()
    client.send({ id: 1, method: 'nothing' })
    await client.answer(1)
  })

  test('where somebody answers, the start is refused and that server is left alone', async () => {
    const first = await started([])
    await expect(bareControl(path, [])).rejects.toThrow(
      `a server is running already: somebody answers on ${path}`,
    )
    expect(existsSync(first.path)).toBe(true)
  })

  test.each([
    ['a file in the way', () => writeFileSync(path, 'x'), 'is there and is no socket'],
    ['a folder that is not there', () => (path = folder.file('no/s')), 'there is no such file'],
    ['a path that is too long', () => (path = folder.file('x'.repeat(110))), 'a UNIX socket may have 107'],
  ])('%s is a sentence', async (_, make, sentence) => {
    make()
    await expect(bareControl(path, [])).rejects.toThrow(sentence)
  })

  test('a group that does not exist is a sentence, and leaves nothing behind', async () => {
    const listeners = [{ path, group: 'no-such-group-here' }]
    await expect(bareControl(path, [], { listeners })).rejects.toThrow(
      "there is no group 'no-such-group-here'",
    )
    expect(readdirSync(folder.path)).toEqual([])
  })

  test.skipIf(process.getuid?.() === 0)('a folder that may not be written is a sentence', async () => {
    chmodSync(folder.path, 0o500)
    await expect(bareControl(path, [])).rejects.toThrow('permission denied')
    chmodSync(folder.path, 0o700)
  })

  test('the end waits for commands that run, and then for no longer than the deadline', async () => {
    const slow = waiting()
    const control = await started([slow.spec])
    const client = wire()
    client.send({ id: 1, method: 'wait' }, { id: 2, method: 'wait' })
    await until('both to run', () => slow.ends.length === 2)
    const closing = control.close(300)
    client.send({ id: 3, method: 'wait' })
    expect(await client.answer(3)).toMatchObject({ error: { message: 'the server is stopping' } })
    slow.ends[0]?.()
    expect(await client.answer(1)).toMatchObject({ result: { ok: true } })
    await before(5_000, 'the end', closing)
    expect(slow.callers[1]?.signal.aborted).toBe(true)
  })
})

test('every call is audited, without secrets, with the login as claimed', async () => {
  const records: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      records.push(JSON.parse(chunk.toString()) as Record<string, unknown>)
      done()
    },
  })
  const hooked: unknown[] = []
  const control = await started(
    [
      command('change', () => undefined, {
        args: {
          user: word('user'),
          newpass: secret('password'),
          file: file('any').optional(),
          mode: z.string().optional(),
        },
      }),
    ],
    { log: pino(stream) },
  )
  control.server.hooks.add('api_call', '', (_, info) => void hooked.push(info))
  const client = wire()
  client.send(
    { id: 1, method: 'gatehouse.hello', params: { login: 'olga' } },
    { id: 2, method: 'change', params: { user: 'alice', newpass: 'sesame', file: 'whole text' } },
    { id: 3, method: 'change', params: { user: 'alice', newpass: 5 } },
  )
  expect(await client.answer(1)).toMatchObject({ result: { version: '0.0.0', node: 'gatehouse@test' } })
  await client.answer(2)
  const refused = await client.answer(3)
  expect(records.find(({ result }) => result === 'ok')).toMatchObject({
    command: 'change',
    arguments: { user: 'alice', newpass: '[secret]', file: '[file]' },
    result: 'ok',
    listener: path,
    claimed_login: 'olga',
  })
  expect(hooked).toContainEqual(
    expect.objectContaining({
      command: 'change',
      caller: `olga (claimed) through ${path}`,
      result: 'ok',
    }),
  )
  expect(JSON.stringify([records, hooked, refused])).not.toContain('sesame')
})

test('describe tells what a command line needs to know', async () => {
  await started([
    command('demo', () => undefined, {
      args: {
        user: word('who'),
        days: integer('how many'),
        how: z.enum(['fast', 'slow']).describe('speed'),
        pass: secret('x').optional(),
      },
      destroys: 'one',
    }),
  ])
  const client = wire()
  client.send({ id: 1, method: 'gatehouse.describe', params: { command: 'demo' } })
  expect(await client.answer(1)).toMatchObject({
    result: {
      hosts: ['localhost'],
      commands: [
        {
          name: 'demo',
          destroys: 'one',
          forms: [{ names: ['user', 'days', 'how', 'pass'] }],
          args: [
            { name: 'user', type: 'string', doc: 'who', secret: false, optional: false },
            { name: 'days', type: 'integer', doc: 'how many', optional: false },
            { name: 'how', type: 'string', doc: 'speed', choices: ['fast', 'slow'] },
            { name: 'pass', secret: true, optional: true },
          ],
        },
      ],
    },
  })
  client.send({ id: 2, method: 'gatehouse.describe', params: { command: 'dmeo' } })
  expect(await client.answer(2)).toMatchObject({ result: { commands: [], nearest: ['demo'] } })
})

test('three hundred clients are served at the same time', async () => {
  const wait = waiting()
  await started([wait.spec])
  const results = Array.from({ length: 300 }, () => ctl(['--socket', path, 'wait']))
  await until('all of them to run', () => wait.ends.length === 300)
  for (const end of wait.ends) end()
  expect(new Set((await Promise.all(results)).map(({ code }) => code))).toEqual(new Set([0]))
})
