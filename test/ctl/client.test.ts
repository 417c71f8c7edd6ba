/** Finding the server, losing it, and what is said then. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findSockets } from '../../ctl/client.ts'
import { bareControl, command, ctl } from '../harness/admin.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
const servers: Server[] = []
const closing: (() => Promise<void>)[] = []

beforeEach(() => {
  folder = temporaryFolder('ctl')
})
afterEach(async () => {
  for (const server of servers.splice(0)) server.close()
  for (const close of closing.splice(0)) await close()
  folder.remove()
})

/** A server that does with each connection what the test says. */
async function raw(path: string, talk: (socket: import('node:net').Socket) => void): Promise<void> {
  const server = createServer(talk)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(path, resolve))
}

describe('the socket is looked for', () => {
  const find = async (options: Record<string, string>, environment: Record<string, string> = {}) => {
    const places = await findSockets(options, { cwd: folder.path, environment })
    return places.map(({ path }) => path.replace(folder.path, '.'))
  }

  test('in this order: --socket, --server, $GATEHOUSE_SOCKET, the configuration, ./data', async () => {
    expect(await find({})).toEqual(['./data/gatehouse.sock'])
    writeFileSync(folder.file('gatehouse.yml'), 'data_dir: state\n')
    expect(await find({})).toEqual(['./state/gatehouse.sock'])
    writeFileSync(folder.file('other.yml'), 'control:\n  - path: a.sock\n  - {}\n')
    expect(await find({ config: 'other.yml' })).toEqual(['./a.sock', './data/gatehouse.sock'])
    expect(await find({}, { GATEHOUSE_CONFIG: 'other.yml' })).toEqual(['./a.sock', './data/gatehouse.sock'])
    expect(await find({}, { GATEHOUSE_SOCKET: 'e.sock' })).toEqual(['./e.sock'])
    mkdirSync(folder.file('srv'))
    expect(await find({ server: 'srv' }, { GATEHOUSE_SOCKET: 'e.sock' })).toEqual([
      './srv/gatehouse.sock',
      './srv/data/gatehouse.sock',
    ])
    writeFileSync(folder.file('srv/gatehouse.yml'), 'control: [{path: run.sock}]\n')
    expect(await find({ server: 'srv' })).toEqual(['./srv/run.sock'])
    expect(await find({ socket: 's.sock', server: 'srv' })).toEqual(['./s.sock'])
  })

  test.each([
    ['hosts: [a]\n', './data/gatehouse.sock'],
    ['# only\n\nhosts: [a]\ndata_dir: /srv/x.y # here\n', '/srv/x.y/gatehouse.sock'],
    ['data_dir: "a b"\n', './a b/gatehouse.sock'],
    ["data_dir: 'it''s'\n", "./it's/gatehouse.sock"],
    ['data_dir: a b\n', './a b/gatehouse.sock'],
    ['data_dir: *x\n', undefined],
    ['{"data_dir": "j", "control": [{"path": "k"}]}', './k'],
    ['"data_dir": q\n', './q/gatehouse.sock'],
    ['"control": [{path: k}]\n', './k'],
    ['x: &x {data_dir: m}\n<<: *x\n', './m/gatehouse.sock'],
    ['? data_dir\n: z\n', './z/gatehouse.sock'],
    ['', './data/gatehouse.sock'],
  ])('in %j', async (text, wanted) => {
    writeFileSync(folder.file('c.yml'), text)
    const found = find({ config: 'c.yml' })
    if (wanted === undefined) await expect(found).rejects.toThrow('cannot be read')
    else expect(await found).toEqual([wanted])
  })

  test('and a configuration that is named must be there', async () => {
    await expect(find({ config: 'none.yml' })).rejects.toThrow('cannot be read, so its socket is unknown')
  })
})

describe('servers have names in a configuration of the person', () => {
  const environment = () => ({ XDG_CONFIG_HOME: folder.path, HOME: folder.file('home') })
  const find = async (options: Record<string, string>, more: Record<string, string> = {}) => {
    const places = await findSockets(options, { cwd: '/nowhere', environment: { ...environment(), ...more } })
    return places.map(({ path, because }) => [path, because].map((text) => text.replaceAll(folder.path, '.')))
  }
  const write = (text: string) => {
    mkdirSync(folder.file('gatehouse'), { recursive: true })
    writeFileSync(folder.file('gatehouse/ctl.yml'), text)
  }

  test('as a socket, a configuration or a folder, and one of them is the usual one', async () => {
    write(
      'default: b\nservers:\n  a: ../a.sock\n  b: {socket: ~/b.sock}\n  c: {config: ../c.yml}\n  d: {folder: /srv/d}\n',
    )
    writeFileSync(folder.file('c.yml'), 'data_dir: state\n')
    expect(await find({ server: 'a' })).toEqual([['./a.sock', 'a in ./gatehouse/ctl.yml']])
    expect(await find({ server: 'b' })).toEqual([['./home/b.sock', 'b in ./gatehouse/ctl.yml']])
    expect(await find({ server: 'c' })).toEqual([['./state/gatehouse.sock', './c.yml']])
    expect((await find({ server: 'd' })).map(([path]) => path)).toEqual([
      '/srv/d/gatehouse.sock',
      '/srv/d/data/gatehouse.sock',
    ])
    expect(await find({})).toEqual([['./home/b.sock', 'the default of ./gatehouse/ctl.yml']])
    expect(await find({}, { GATEHOUSE_SOCKET: '/e' })).toEqual([['/e', '$GATEHOUSE_SOCKET']])
    await expect(find({ server: 'e' })).rejects.toThrow(
      /there is no server 'e' in .*; there are: a, b, c, d$/,
    )
  })

  test('in ~/.config when nothing else is said', async () => {
    mkdirSync(folder.file('home/.config/gatehouse'), { recursive: true })
    writeFileSync(folder.file('home/.config/gatehouse/ctl.yml'), 'servers: {x: /x.sock}\n')
    expect(await find({ server: 'x' }, { XDG_CONFIG_HOME: '' })).toEqual([
      ['/x.sock', 'x in ./home/.config/gatehouse/ctl.yml'],
    ])
    expect(await find({}, { XDG_CONFIG_HOME: '' })).toEqual([
      ['/nowhere/data/gatehouse.sock', 'the usual place'],
    ])
  })

  test.each([
    ['servers: [a]', 'servers must be a mapping of names'],
    ['servers: {a: {sock: /x}}', 'a is the path of a control socket, or one of {socket: PATH}'],
    ['servers: {a: {socket: /x, folder: /y}}', 'a is the path of a control socket'],
    ['default: b\nservers: {a: /x}', 'default is the name of one of the servers (a)'],
    ['server: {a: /x}', "unknown option 'server'; there are: default, servers"],
    ['a: "', 'is no YAML'],
  ])('a mistake in it is a sentence: %s', async (text, sentence) => {
    write(text)
    const result = await ctl(['--server', 'a', 'stats', 'x'], { environment: environment() })
    expect(result).toMatchObject({ code: 2, stdout: '' })
    expect(result.stderr).toContain(`${folder.file('gatehouse/ctl.yml')}`)
    expect(result.stderr).toContain(sentence)
    expect(result.stderr.trimEnd()).not.toContain('\n')
  })

  test('without one a name is a folder, or it is not known', async () => {
    await expect(find({ server: 'x' })).rejects.toThrow("there is no server 'x': neither such a folder, nor")
    expect((await find({ server: './x' })).map(([path]) => path)).toEqual([
      '/nowhere/x/gatehouse.sock',
      '/nowhere/x/data/gatehouse.sock',
    ])
  })
})

describe('no server is one sentence and exit 3', () => {
  test.each([
    ['nothing there', () => undefined, 'No server answers on PATH (--socket). Start one'],
    ['a file that is no socket', (path: string) => writeFileSync(path, ''), 'No server answers on PATH'],
    ['a path that is too long', () => undefined, 'is too long (107 bytes at most)'],
  ])('%s', async (kind, make, sentence) => {
    const path = folder.file(kind.includes('long') ? 'x'.repeat(120) : 's')
    make(path)
    const result = await ctl(['--socket', path, 'stats', 'onlineusers'])
    expect(result).toMatchObject({ code: 3, stdout: '' })
    expect(result.stderr.replace(path, 'PATH')).toContain(sentence)
    expect(result.stderr.trimEnd()).not.toContain('\n')
  })

  test('a connection that breaks in the middle of a command', async () => {
    await raw(folder.file('s'), (socket) => {
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes('"stats"')) socket.destroy()
      })
    })
    const result = await ctl(['--socket', folder.file('s'), 'stats', 'onlineusers'])
    expect(result.code).toBe(3)
    expect(result.stderr).toBe('The connection to the server was lost; the command may have been done.\n')
  })

  test('a server that answers with something else', async () => {
    await raw(folder.file('s'), (socket) => {
      socket.on('error', () => undefined)
      socket.write('220 mail.example ESMTP\r\n')
    })
    const result = await ctl(['--socket', folder.file('s'), 'stats', 'onlineusers'])
    expect(result.code).toBe(3)
    expect(result.stderr).toContain('does not speak the protocol of a gatehouse server')
  })

  test('a command that takes longer than --timeout is cancelled', async () => {
    let cancelled = false
    const path = folder.file('s')
    const control = await bareControl(path, [
      command('slow', async (_, caller) => {
        await new Promise((_resolve, reject) => {
          caller.signal.addEventListener('abort', () => {
            cancelled = true
            reject(new Error('aborted'))
          })
        })
        return undefined
      }),
    ])
    closing.push(() => control.close(0))
    const result = await ctl(['--socket', path, 'slow', '--timeout', '0.1'])
    expect(result).toEqual({
      code: 3,
      stdout: '',
      stderr: 'No answer within 0.1 seconds; the command may have been done.\n',
    })
    await expect.poll(() => cancelled).toBe(true)
  })
})

test('status, help and usage work without a server', async () => {
  const environment = {}
  const cwd = folder.path
  const status = await ctl(['status'], { cwd, environment })
  expect(status).toMatchObject({ code: 3, stdout: '' })
  const none = await ctl([], { cwd, environment })
  expect(none).toMatchObject({ code: 2, stdout: '' })
  expect(none.stderr).toContain('Usage: gatehousectl [options] command [arguments]')
  const help = await ctl(['help'], { cwd, environment })
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toContain('No server answers, so its commands are not known')
  expect((await ctl(['help', 'started'], { cwd, environment })).code).toBe(0)
  expect((await ctl(['help', 'kick_session'], { cwd, environment })).code).toBe(3)
  expect((await ctl(['--help'], { cwd, environment })).code).toBe(0)
  expect((await ctl(['--version'], { cwd, environment })).stdout).toMatch(/^gatehousectl \d+\.\d+\.\d+\n$/)
  expect((await ctl(['stopped'], { cwd, environment })).code).toBe(0)
  expect((await ctl(['started', '--timeout', '0.1'], { cwd, environment })).code).toBe(1)
})

test('a file of any size is sent in portions, and big lists come back', async () => {
  const path = folder.file('s')
  const { file } = await import('../../server-core/admin/commands/arguments.ts')
  const { linesOf } = await import('../../server-core/admin/file-from-client.ts')
  const control = await bareControl(path, [
    command(
      'lines',
      async function* (args: Record<string, unknown>) {
        for await (const line of linesOf(args['file'] as AsyncIterable<string>)) yield [line.length]
      } as never,
      {
        args: { file: file('any') },
        result: { kind: 'list', columns: [{ name: 'length', type: 'integer' }] },
      },
    ),
  ])
  closing.push(() => control.close(0))
  const lines = Array.from({ length: 60_000 }, (_, i) => 'é'.repeat(i % 50))
  writeFileSync(folder.file('big'), `${lines.join('\n')}\n`)
  const result = await ctl(['--socket', path, 'lines', 'big'], { cwd: folder.path })
  expect(result.stderr).toBe('')
  expect(result.stdout).toBe(lines.map((line) => `${line.length}\n`).join(''))
  const piped = await ctl(['--socket', path, 'lines', '-', '--output', 'json'], { input: 'abc\r\nd' })
  expect(JSON.parse(piped.stdout)).toEqual([3, 1])
  const binary = await ctl(['--socket', path, 'lines', '-'], { input: Buffer.from([0x61, 0xff, 0x0a]) })
  expect(binary).toEqual({ code: 1, stdout: '', stderr: 'Error: "standard input is not UTF-8 text"\n' })
})

test.each(['-h', '--ouput'])('%s where the command stands is an option that there is not', async (word) => {
  expect(await ctl([word, 'json', 'status'])).toEqual({
    code: 2,
    stdout: '',
    stderr: `Error: there is no option '${word}'; 'gatehousectl --help' lists them\n`,
  })
})
