/** A whole gatehouse server in one line: its own process, temporary folder, free ports. */
import { writeFileSync } from 'node:fs'
import { until } from './deadline.ts'
import { type Folder, temporaryFolder } from './folder.ts'
import { programs } from './paths.ts'
import { accepts, freePorts } from './ports.ts'
import { type Result, type Running, run, start } from './process.ts'

export interface ServerOptions {
  /** Options of gatehouse.yml; what is said here wins over the defaults below. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Of the plain listener: more options, such as allow_unencrypted_plain_auth. */
  readonly listener?: Readonly<Record<string, unknown>>
  /** A folder of an earlier server, to start again on its data; the caller removes it. */
  readonly folder?: Folder
  readonly env?: NodeJS.ProcessEnv
  /** Log warnings only: its ports are then chosen beforehand, since the server does not tell them. */
  readonly quiet?: boolean
}

export interface Server {
  /** c2s with STARTTLS. */
  readonly port: number
  /** c2s with direct TLS. */
  readonly tlsPort: number
  readonly dataDir: string
  /** The control socket. */
  readonly socket: string
  readonly configFile: string
  readonly pid: number
  /** Runs gatehousectl against this server. */
  ctl(words: readonly string[], input?: string): Promise<Result>
  /** The same for what has to succeed: standard output without its last newline; throws otherwise. */
  must(...words: string[]): Promise<string>
  log(): string
  /** Ends it with SIGTERM and gives the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL: no chance to write anything. */
  kill(): Promise<void>
}

interface Listening {
  readonly module: string
  readonly port: number
  readonly tls: boolean
}

export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const folder = options.folder ?? temporaryFolder('server')
  const dataDir = folder.file('data')
  const socket = folder.file('ctl.sock')
  const configFile = folder.file('gatehouse.yml')
  const [chosen = 0, chosenTls = 0] = options.quiet ? await freePorts(2) : []
  const listener = { ip: '127.0.0.1', module: 'c2s', shaper: 'none' }
  // YAML takes JSON as it is.
  writeFileSync(
    configFile,
    JSON.stringify({
      hosts: ['localhost'],
      data_dir: dataDir,
      listen: [
        { ...listener, port: chosen, ...options.listener },
        { ...listener, port: chosenTls, tls: true },
      ],
      ...(options.quiet ? { loglevel: 'warning' } : {}),
      control: [{ path: socket }],
      ...options.config,
    }),
  )
  const running = start(process.execPath, [programs.gatehouse, '--config', configFile], {
    cwd: folder.path,
    env: { ...options.env },
  })
  let listening: Listening[] = []
  try {
    if (options.quiet) {
      const what = () => `the server to listen; it said:\n${running.lines.join('\n')}`
      await until(what, async () => (await accepts(chosen)) && (await accepts(chosenTls)))
    } else {
      await running.line('the server to be ready', (line) => logLine(line, 'ready'), 30_000)
      listening = running.lines
        .map((line) => logLine(line, 'listening') as Listening | undefined)
        .filter((entry) => entry?.module === 'c2s') as Listening[]
    }
  } catch (error) {
    await running.stop('SIGKILL')
    throw error
  }
  const ctl = (words: readonly string[], input?: string) =>
    run(process.execPath, [programs.gatehousectl, '--socket', socket, ...words], { input })
  return {
    port: listening.find(({ tls }) => !tls)?.port ?? chosen,
    tlsPort: listening.find(({ tls }) => tls)?.port ?? chosenTls,
    dataDir,
    socket,
    configFile,
    pid: running.child.pid ?? 0,
    ctl,
    async must(...words) {
      const result = await ctl(words)
      if (result.code !== 0) {
        throw new Error(
          `gatehousectl ${words[0]} ended with ${result.code}: ${result.stdout}${result.stderr}`,
        )
      }
      return result.stdout.replace(/\n$/, '')
    },
    log: () => running.lines.join('\n'),
    async stop() {
      const code = await stopped(running)
      if (options.folder === undefined) folder.remove()
      return code
    },
    async kill() {
      running.child.kill('SIGKILL')
      await running.end
    },
  }
}

async function stopped(running: Running): Promise<number | null> {
  if (running.child.exitCode !== null || running.child.signalCode !== null) return running.child.exitCode
  return await running.stop('SIGTERM')
}

function logLine(line: string, msg: string): unknown {
  if (!line.startsWith('{')) return undefined
  const entry = JSON.parse(line) as Record<string, unknown>
  return entry['msg'] === msg ? entry : undefined
}
