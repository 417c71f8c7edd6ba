/** The server as a program: `gatehouse`, `gatehouse check`. */
import { readFileSync, realpathSync } from 'node:fs'
import { relative } from 'node:path'
import { Command, CommanderError } from 'commander'
import { accountsSummary } from './accounts-summary.ts'
import { commandNames } from './admin/commands/index.ts'
import { certificateSummary } from './config/certificate-checks.ts'
import { configPath, formatComplaint, type LoadedConfig, loadConfig, withDomain } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { ExternalModules } from './external/external-modules.ts'
import { isFromModule } from './external/resolver.ts'
import { createLogger, type Logger, reopenLog, setLogLevel } from './log.ts'
import { modules } from './modules/index.ts'
import { type RunningServer, type ServerOptions, startServer } from './server.ts'
import { services } from './services/index.ts'

export interface ProgramContext {
  readonly words: readonly string[]
  /** The path that the program was started by. */
  readonly program: string
  readonly cwd: string
  readonly pid: number
  memoryUsage(): NodeJS.MemoryUsage
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  onSignal(signals: readonly NodeJS.Signals[], handler: (signal: NodeJS.Signals) => void): void
  /** What nobody caught; the process goes on when the handler returns. */
  onUncaught(handler: (error: unknown) => void): void
  exit(status: number): void
}

/** Exit status: 0 ended in peace, 1 could not start or configuration with mistakes, 2 wrong usage. */
export async function runServer(context: ProgramContext): Promise<number> {
  let status = 0
  const version = readVersion()
  const external = new ExternalModules(modules.map(({ name }) => name))
  const program = new Command('gatehouse')
    .description('An XMPP server. Without a configuration it serves localhost and keeps its data in ./data.')
    .version(version)
    .option(
      '--config <file>',
      'configuration (default: $GATEHOUSE_CONFIG, then ./gatehouse.yml if it is there)',
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
    })
    .action(async (options: { config?: string }) => {
      status = await start(context, options.config, version, external)
    })
  program
    .command('check [file]')
    .description('find every mistake in the configuration, and start nothing')
    .action(async (file: string | undefined) => {
      status = await check(context, file ?? program.opts<{ config?: string }>().config, external)
    })
  try {
    await program.parseAsync([...context.words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
  if (external.haveRun) context.exit(status)
  return status
}

/** From package.json, which lies beside dist/ as it lies above the sources. */
function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** What the words of a configuration may name. */
function known(external: ExternalModules) {
  return {
    modules,
    services,
    commands: commandNames(),
    external: (name: string, file: string) => external.load(name, file),
  }
}

async function check(
  context: ProgramContext,
  file: string | undefined,
  external: ExternalModules,
): Promise<number> {
  const path = configPath(file, context.environment)
  const loaded = await loadConfig({ path, ...known(external) })
  const found = loaded.ok ? loaded.warnings : loaded.complaints
  for (const complaint of found) context.stderr.write(`${formatComplaint(complaint)}\n`)
  const name = path ?? 'the default configuration'
  if (loaded.ok) {
    context.stdout.write(`${name} is in order\n`)
    const { config } = loaded
    const summary = [...(await certificateSummary(config)), ...(await accountsSummary(config))]
    for (const line of summary) context.stdout.write(`${line}\n`)
  } else context.stderr.write(`${name}: ${found.length} ${found.length === 1 ? 'mistake' : 'mistakes'}\n`)
  return loaded.ok ? 0 : 1
}

async function start(
  context: ProgramContext,
  file: string | undefined,
  version: string,
  external: ExternalModules,
): Promise<number> {
  const { stderr } = context
  // Looked for anew each time: a file that was made since is found by a reload.
  const load = (other?: string) =>
    loadConfig({ path: other ?? configPath(file, context.environment), ...known(external) })
  const loaded = await load()
  const complaints = loaded.ok ? loaded.warnings : loaded.complaints
  for (const complaint of complaints) stderr.write(`${formatComplaint(complaint)}\n`)
  if (!loaded.ok) {
    stderr.write('gatehouse did not start: the configuration has mistakes\n')
    return 1
  }
  const { config } = loaded
  const pretty = config.log_file === undefined && stderr.isTTY === true
  const log = await createLogger({ level: config.loglevel, file: config.log_file, pretty })
  context.onUncaught((error) => {
    if (isFromModule(error)) {
      log.error({ err: error }, 'a module of others failed where nobody waits for it')
      return
    }
    log.fatal({ err: error }, 'a mistake in the server ends it')
    context.exit(1)
  })
  const life = new Life(context, {
    withDomain: (now, host, own) => withDomain(now, host, own, known(external)),
    load,
    external,
    log,
    version,
  })
  return life.run(config, (running) => {
    const path = configPath(file, context.environment)
    context.stdout.write(welcome(context, config, path, running, version))
  })
}

interface LifeOptions {
  withDomain: ServerOptions['withDomain']
  readonly external: ExternalModules
  load(file?: string): Promise<LoadedConfig>
  readonly log: Logger
  readonly version: string
}

/** The server from the start of the program to its end, restarts within the process included. */
class Life {
  readonly #context: ProgramContext
  readonly #options: LifeOptions
  #server: RunningServer | undefined
  #stopping = false
  #end: (status: number) => void = () => undefined

  constructor(context: ProgramContext, options: LifeOptions) {
    this.#context = context
    this.#options = options
  }

  /** Resolves with the exit status at the end; `greet` runs at the first start. */
  run(config: Config, greet: (running: RunningServer) => void): Promise<number> {
    const { onSignal, exit } = this.#context
    return new Promise((resolve) => {
      this.#end = resolve
      onSignal(['SIGTERM', 'SIGINT'], (signal) => {
        // whoever asks twice does not want to wait
        if (this.#stopping || !this.#server) exit(signal === 'SIGINT' ? 130 : 143)
        else void this.#stop(signal)
      })
      onSignal(['SIGHUP'], () => void this.#hangup())
      void this.#start(config).then((running) => running && greet(running))
    })
  }

  /** Undefined, and the program ends, when it could not start. */
  async #start(config: Config): Promise<RunningServer | undefined> {
    const { log, version, external, load } = this.#options
    try {
      this.#server = await startServer({
        config,
        version,
        pid: this.#context.pid,
        memoryUsage: () => this.#context.memoryUsage(),
        log,
        logDestination: 'standard error',
        external,
        withDomain: this.#options.withDomain,
        load: (file) => load(file),
        onStopRequest: () => void this.#stop('command'),
        onRestartRequest: () => void this.#restart(),
      })
      log.info({ version, hosts: config.hosts }, 'ready')
      return this.#server
    } catch (error) {
      const { message, stack } = error as Error
      log.debug({ stack }, 'could not start')
      log.fatal(`did not start: ${message}`)
      this.#end(1)
      return undefined
    }
  }

  async #stop(reason: string): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const { log } = this.#options
    log.info({ reason }, 'stopping')
    await this.#server?.stop()
    log.info('stopped')
    this.#end(0)
  }

  /** A configuration with mistakes is no reason to stay down: then the server stays as it is. */
  async #restart(): Promise<void> {
    const { log, load } = this.#options
    if (this.#stopping || !this.#server) return
    const loaded = await load()
    if (!loaded.ok) {
      for (const complaint of loaded.complaints) log.error(formatComplaint(complaint))
      log.error('not restarted: the configuration has mistakes')
      return
    }
    log.info({ reason: 'restart' }, 'stopping')
    const server = this.#server
    this.#server = undefined
    await server.stop()
    setLogLevel(log, loaded.config.loglevel)
    if (loaded.config.log_file !== undefined) reopenLog(log, loaded.config.log_file)
    await this.#start(loaded.config)
  }

  /** What daemons do at SIGHUP: the log's file anew, and the configuration. */
  async #hangup(): Promise<void> {
    const { log } = this.#options
    const server = this.#server
    if (!server || this.#stopping) return
    try {
      await server.reopenLog()
      const outcome = await server.reload()
      if (outcome.ok) return
      for (const complaint of outcome.complaints) log.error(complaint)
      log.error('the configuration has mistakes, nothing was changed')
    } catch (err) {
      log.error({ err }, 'SIGHUP could not be followed')
    }
  }
}

/** The first screen: what runs, where the data is, what to type next. */
function welcome(
  context: ProgramContext,
  config: Config,
  path: string | undefined,
  server: RunningServer,
  version: string,
): string {
  const ctl = controlWords(context, path)
  const host = config.hosts[0] ?? 'localhost'
  const ports = (tls: boolean): string =>
    server.listeners
      .filter((listener) => listener.tls === tls)
      .map(({ ip, port }) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`))
      .join(', ')
  const rows: readonly (readonly [string, string])[] = [
    ['hosts', config.hosts.join(', ')],
    [
      'clients',
      [ports(false) && `${ports(false)} (STARTTLS)`, ports(true) && `${ports(true)} (TLS)`]
        .filter(Boolean)
        .join(', '),
    ],
    ['data', config.data_dir],
    ['control', server.controlPaths.join(', ')],
    ['configuration', path ?? 'none, all defaults; gatehouse.yml in this folder would be read'],
  ]
  const next: readonly (readonly [string, string])[] = [
    ['make an account', `${ctl} register alice ${host}`],
    ['see who is there', `${ctl} connected_users_info`],
    ['all commands', `${ctl} help`],
    ['stop', `Ctrl-C, or ${ctl} stop`],
  ]
  const table = (lines: readonly (readonly [string, string])[]): string =>
    lines.map(([name, text]) => `  ${name.padEnd(17)} ${text}\n`).join('')
  return `\ngatehouse ${version} is running.\n\n${table(rows)}\nNext:\n\n${table(next)}\n`
}

/** How to call the command line, as it works when typed in this folder. */
function controlWords(context: ProgramContext, path: string | undefined): string {
  const inCheckout = !relative(context.cwd, realpathSync(context.program)).startsWith('..')
  const words = inCheckout ? 'npx gatehousectl' : 'gatehousectl'
  // it looks for the configuration where the server does, unless the server was told another place
  const isFound = path === undefined || path === configPath(undefined, context.environment)
  return isFound ? words : `${words} --config ${path}`
}
