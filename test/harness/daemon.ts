/** gatehouse-extauth daemon as a process, and clients of its sockets. */
import { connect, type Socket } from 'node:net'
import { before, until } from './deadline.ts'
import { frame } from './extauth.ts'
import { programs } from './paths.ts'
import { type Running, type RunOptions, start } from './process.ts'

export interface Daemon extends Running {
  log(): string
}

/** Resolves when it answers. */
export async function startDaemon(args: readonly string[], options: RunOptions = {}): Promise<Daemon> {
  const running = start(programs.extauth, ['daemon', ...args], options)
  await running.line('the daemon to answer', (line) => /"msg":"answering"/.test(line) || undefined)
  return { ...running, log: () => running.lines.join('\n') }
}

export interface DaemonClient {
  readonly socket: Socket
  /** Payload of the answer: `yes`, `no`, or its bytes in hexadecimal. */
  ask(request: string | Buffer, ms?: number): Promise<string>
  answer(ms?: number): Promise<string>
  /** Resolves when the other side has closed. */
  readonly closed: Promise<void>
}

/** Speaks frames. */
export async function daemonClient(path: string): Promise<DaemonClient> {
  const socket = connect(path)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => undefined)
  let input = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    input = Buffer.concat([input, chunk])
  })
  const answer = async (ms = 10_000) => {
    const payload = await until(
      'an answer of the daemon',
      () => {
        if (input.length < 2 || input.length < 2 + input.readUInt16BE(0)) return undefined
        const size = 2 + input.readUInt16BE(0)
        const text = input.subarray(2, size).toString('hex')
        input = input.subarray(size)
        return text
      },
      ms,
    )
    return payload === '0001' ? 'yes' : payload === '0000' ? 'no' : payload
  }
  return {
    socket,
    closed,
    answer,
    ask: (request, ms) => {
      socket.write(frame(request))
      return answer(ms)
    },
  }
}

export interface LineClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  write(text: string): void
  /** The next line. */
  line(): Promise<string>
}

/** Speaks lines with request ids. */
export async function lineClient(path: string): Promise<LineClient> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await before(5_000, 'a connection', new Promise((resolve) => socket.once('connect', resolve)))
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return {
    socket,
    closed,
    write: (bytes) => socket.write(bytes),
    line: () =>
      until('a line of the daemon', () => {
        const end = text.indexOf('\n')
        if (end === -1) return undefined
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        return line
      }),
  }
}
