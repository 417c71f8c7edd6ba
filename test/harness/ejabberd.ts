/**
 * Debian's ejabberd as a private process on loopback: no systemd, no epmd, no fixed port, no user switched. ejabberdctl
 * insists on root or its own account, so the server is started and administered through erl, as ejabberdctl itself does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeCertificate } from './certificate.ts'
import { before, until } from './deadline.ts'
import { findProgram } from './find.ts'
import { temporaryFolder } from './folder.ts'
import { accepts, freePorts } from './ports.ts'
import { endWithUs, exited, type Result, run } from './process.ts'

export interface EjabberdOptions {
  readonly host: string
  readonly otherHosts?: readonly string[]
  /** Lines of YAML at the top level: the authentication, certificates, rules. */
  readonly yaml: readonly string[]
  readonly loglevel?: string
  /** Also listen for direct TLS, and offer STARTTLS; a certificate with its key is made with openssl. */
  readonly tls?: boolean
  readonly modules?: readonly string[]
  /** Also its HTTP API on loopback: a command is then cheap enough to run a thousand times. */
  readonly api?: boolean
  /** More for the virtual machine. */
  readonly erlang?: readonly string[]
}

export interface Ejabberd {
  readonly port: number
  readonly tlsPort: number
  readonly folder: string
  /** The virtual machine. */
  readonly pid: number
  /** One command through the HTTP API; what it answers, status 200 or not. */
  call(command: string, args: Readonly<Record<string, unknown>>): Promise<Response>
  /** One ejabberdctl command, with its exit code. */
  ctl(...words: string[]): Promise<Result>
  log(): string
  stop(): Promise<void>
}

let serial = 0

const httpApi = (port: number) => [
  `  - {port: ${port}, ip: "127.0.0.1", module: ejabberd_http, request_handlers: {/api: mod_http_api}}`,
  'api_permissions:',
  '  "loopback": {from: [mod_http_api, ejabberd_ctl], who: {ip: 127.0.0.1/8}, what: "*"}',
]

/** Debian's libraries lie beside each other in one folder of the architecture. */
function erlangLibraries(): string {
  const script = readFileSync(findProgram('ejabberdctl') ?? '', 'utf8')
  const named = /^ERL_LIBS='(.+)'/m.exec(script)?.[1]
  if (named !== undefined) return named
  const folders = readdirSync('/usr/lib', { withFileTypes: true })
  const folder = folders.find(
    (entry) =>
      entry.isDirectory() && readdirSync(`/usr/lib/${entry.name}`).some((name) => /^ejabberd-\d/.test(name)),
  )
  if (folder === undefined) throw new Error("ejabberd's libraries are not under /usr/lib")
  return `/usr/lib/${folder.name}`
}

export async function startEjabberd(options: EjabberdOptions): Promise<Ejabberd> {
  const folder = temporaryFolder('ejabberd')
  const [port, tlsPort, distPort, apiPort] = (await freePorts(4)) as [number, number, number, number]
  const node = `gh${process.pid}x${serial++}@localhost`
  const erl = findProgram('erl') ?? 'erl'
  const listener = (at: number, more: string) =>
    `  - {port: ${at}, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, max_stanza_size: 262144, backlog: 2048${more}}`
  let certificates = 'certfiles: []'
  if (options.tls) {
    const { certificate, key } = await makeCertificate(options.host, folder.file)
    writeFileSync(folder.file('all.pem'), readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'))
    certificates = `certfiles: ["${folder.file('all.pem')}"]`
  }
  writeFileSync(
    folder.file('ejabberd.yml'),
    [
      `hosts: ${JSON.stringify([options.host, ...(options.otherHosts ?? [])])}`,
      `loglevel: ${options.loglevel ?? 'info'}`,
      certificates,
      'registration_timeout: infinity',
      ...options.yaml,
      'listen:',
      listener(port, options.tls ? ', starttls: true' : ''),
      ...(options.tls ? [listener(tlsPort, ', tls: true')] : []),
      ...(options.api ? httpApi(apiPort) : []),
      'modules:',
      ...(options.modules ?? ['mod_admin_extra: {}', 'mod_disco: {}', 'mod_roster: {}']).map(
        (line) => `  ${line}`,
      ),
      '',
    ].join('\n'),
  )
  for (const name of ['spool', 'log']) mkdirSync(folder.file(name))
  const log = folder.file('log/ejabberd.log')
  const env = {
    ...process.env,
    HOME: folder.path,
    PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:${dirname(process.execPath)}`,
    ERL_CRASH_DUMP_BYTES: '0',
    ERL_LIBS: erlangLibraries(),
    ERL_MAX_PORTS: '32000',
    EJABBERD_CONFIG_PATH: folder.file('ejabberd.yml'),
    EJABBERD_LOG_PATH: log,
  }
  const distribution = [
    ...['-erl_epmd_port', String(distPort), '-start_epmd', 'false', '-setcookie', `c${process.pid}`],
    ...['-kernel', 'inet_dist_use_interface', '{127,0,0,1}'],
  ]
  const output = openSync(folder.file('log/out'), 'a')
  const beam: ChildProcess = spawn(
    erl,
    [
      ...(options.erlang ?? []),
      ...['-sname', node, ...distribution, '-noinput', '-mnesia', 'dir', `"${folder.file('spool')}"`],
      ...['-s', 'ejabberd'],
    ],
    { cwd: folder.file('spool'), env, stdio: ['ignore', output, output] },
  )
  closeSync(output)
  endWithUs(beam)
  const end = exited(beam)
  let ended = false
  const mark = () => {
    ended = true
  }
  end.then(mark, mark)
  const readLog = () => {
    const read = (path: string) => {
      try {
        return readFileSync(path, 'utf8')
      } catch {
        return ''
      }
    }
    return read(log) + read(folder.file('log/out'))
  }
  const stop = async () => {
    beam.kill('SIGKILL')
    await end.catch(() => undefined)
    folder.remove()
  }
  try {
    const ports = [port, ...(options.tls ? [tlsPort] : []), ...(options.api ? [apiPort] : [])]
    await until(
      () => `ejabberd to listen; it said:\n${readLog()}`,
      () => {
        if (ended) throw new Error(`ejabberd ended, it said:\n${readLog()}`)
        return Promise.all(ports.map(accepts)).then((all) => all.every(Boolean))
      },
      30_000,
    )
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    tlsPort,
    folder: folder.path,
    pid: beam.pid ?? 0,
    call: (command, args) =>
      fetch(`http://127.0.0.1:${apiPort}/api/${command}`, { method: 'POST', body: JSON.stringify(args) }),
    ctl: (...words) =>
      run(
        erl,
        [
          ...['-sname', `ctl${process.pid}x${serial++}@localhost`, ...distribution, '-dist_listen', 'false'],
          ...['-hidden', '-noinput', '-s', 'ejabberd_ctl', '-extra', node, ...words],
        ],
        { cwd: folder.path, env },
      ),
    log: readLog,
    async stop() {
      // A stop that is asked for lets ejabberd close its programs; what does not follow is killed.
      beam.kill('SIGTERM')
      await before(5_000, 'ejabberd to end', end).catch(() => undefined)
      await stop()
    },
  }
}
