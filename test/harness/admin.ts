/** Administration in one process: control sockets without a server, and the command line run in place. */
import { connect, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { runCtl } from '../../ctl/run.ts'
import type { OutputStream } from '../../ctl/terminal.ts'
import type { AdminServer } from '../../server-core/admin/admin-server.ts'
import { CommandRegistry } from '../../server-core/admin/command-registry.ts'
import { type Control, startControl } from '../../server-core/admin/control-socket.ts'
import { type ControlListener, configSchema } from '../../server-core/config/schema.ts'
import { type CommandSpec, defineCommand } from '../../server-core/extend/command.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { type Logger, silentLogger } from '../../server-core/log.ts'
import { before } from './deadline.ts'
import type { Result } from './process.ts'

/** As much of a server as the control socket needs for commands that do not ask for more. */
export function bareServer(more: Partial<AdminServer> = {}): AdminServer {
  const log = silentLogger()
  const absent = (): never => {
    throw new Error('this test has no such part of the server')
  }
  return {
    version: '0.0.0',
    node: 'gatehouse@test',
    pid: 1,
    startedAt: Date.now(),
    state: 'started',
    hosts: ['localhost'],
    get storage() {
      return absent()
    },
    get sessions() {
      return absent()
    },
    hooks: new HookRegistry(log),
    log,
    logDestination: 'nowhere',
    logFile: undefined,
    cookie: 'crumbs',
    certificate: () => undefined,
    authenticator: () => undefined,
    provided: () => undefined,
    route: () => undefined,
    removeAccount: absent,
    get modules() {
      return absent()
    },
    get domains() {
      return absent()
    },
    reload: absent,
    memory: absent,
    reopenLog: absent,
    restart: () => undefined,
    stop: () => undefined,
    ...more,
  }
}

export interface BareControl extends Control {
  readonly registry: CommandRegistry
  readonly path: string
  readonly server: AdminServer
}

export async function bareControl(
  path: string,
  commands: readonly CommandSpec[],
  options: { listeners?: readonly unknown[]; log?: Logger; server?: Partial<AdminServer> } = {},
): Promise<BareControl> {
  const server = bareServer(options.server)
  const registry = new CommandRegistry()
  for (const command of commands) registry.add(command)
  const listeners: ControlListener[] = configSchema.parse({
    control: options.listeners ?? [{ path }],
  }).control
  const control = await startControl(server, listeners, '/nowhere', registry, options.log ?? server.log)
  return { ...control, registry, path, server }
}

/** A command for tests: no arguments, `rescode`, unless said otherwise. */
export function command(name: string, run: CommandSpec['run'], more: Partial<CommandSpec> = {}): CommandSpec {
  return defineCommand({
    name,
    doc: `${name} for tests`,
    category: 'test',
    tags: ['test'],
    args: {},
    result: { kind: 'rescode' },
    example: name,
    ...more,
    run,
  })
}

/** Lines to and from a control socket, as they are. */
export class Wire {
  readonly socket: Socket
  readonly lines: unknown[] = []
  #rest = ''
  #wake: (() => void) | undefined
  closed = false

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true })
    this.socket.setEncoding('utf8')
    this.socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.lines.push(JSON.parse(line))
      this.#wake?.()
    })
    const close = () => {
      this.closed = true
      this.#wake?.()
    }
    this.socket.on('end', close)
    this.socket.on('close', close)
    this.socket.on('error', () => undefined)
  }

  send(...messages: readonly (object | string)[]): void {
    for (const message of messages) {
      this.socket.write(
        typeof message === 'string' ? message : `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`,
      )
    }
  }

  /** The first line for which the test says yes; it is taken. */
  async next(
    test: (line: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    return before(
      5_000,
      () => `a line; there are ${JSON.stringify(this.lines).slice(0, 2_000)}`,
      this.#next(test),
    )
  }

  async #next(test: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const index = this.lines.findIndex((line) => test(line as Record<string, unknown>))
      if (index >= 0) return this.lines.splice(index, 1)[0] as Record<string, unknown>
      if (this.closed) throw new Error('the server closed the connection')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async answer(id: string | number | null): Promise<Record<string, unknown>> {
    return this.next((line) => line['id'] === id && line['method'] === undefined)
  }

  async ended(): Promise<void> {
    await before(
      5_000,
      'the server to close the connection',
      (async () => {
        while (!this.closed) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      })(),
    )
  }
}

export interface CtlOptions {
  /** Of what it prints; UTF-8 when absent. */
  readonly encoding?: BufferEncoding | undefined
  readonly input?: string | Buffer | undefined
  readonly cwd?: string | undefined
  readonly environment?: Readonly<Record<string, string>> | undefined
  /** Standard output is a terminal of so many columns. */
  readonly columns?: number | undefined
}

/** The command line, run in this process: nobody can be asked, and nothing has to be built. */
export async function ctl(argv: readonly string[], options: CtlOptions = {}): Promise<Result> {
  const stdin = new PassThrough()
  stdin.end(options.input ?? '')
  const stdout = collector(options.columns, options.encoding)
  const stderr = collector(undefined)
  const code = await runCtl({
    argv,
    cwd: options.cwd ?? '/',
    environment: options.environment ?? {},
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout: stdout.stream,
    stderr: stderr.stream,
    login: 'tester',
    onInterrupt: () => () => undefined,
  })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

function collector(
  columns: number | undefined,
  encoding?: BufferEncoding,
): { stream: OutputStream; text: () => string } {
  const chunks: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (columns !== undefined) Object.assign(stream, { isTTY: true, columns })
  return { stream, text: () => Buffer.concat(chunks).toString(encoding) }
}
