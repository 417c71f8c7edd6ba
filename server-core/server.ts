/**
 * The server is this list: what runs, in the order of its start. Stopping walks it backwards. Whatever cannot start ends the
 * start, and what had started before is stopped again.
 */
import { createHmac } from 'node:crypto'
import { hostname } from 'node:os'
import type { AdminServer, ReloadOutcome } from './admin/admin-server.ts'
import { CommandRegistry } from './admin/command-registry.ts'
import { coreFamilies } from './admin/commands/index.ts'
import { startControl } from './admin/control-socket.ts'
import { adminModules } from './admin-modules.ts'
import { Throttle } from './auth/throttle.ts'
import { C2s } from './c2s/c2s.ts'
import type { C2sServer } from './c2s/c2s-server.ts'
import { watchIdle } from './c2s/idle.ts'
import { ResumableSessions } from './c2s/stream-management.ts'
import { formatComplaint, type LoadedConfig } from './config/load.ts'
import type { C2sListener, Config } from './config/schema.ts'
import { openDataFolder } from './data-folder.ts'
import { Domains } from './domains.ts'
import { IqHandlers } from './extend/gen-iq-handler.ts'
import { HookRegistry } from './extend/hook-registry.ts'
import { ModuleManager } from './extend/module-manager.ts'
import { Registrar } from './extend/registrar.ts'
import { ServiceManager } from './extend/service-manager.ts'
import { Turns } from './extend/turns.ts'
import type { ExternalModules } from './external/external-modules.ts'
import { Hosts, modulesOf, optionsOf } from './hosts.ts'
import { Listeners } from './listeners.ts'
import { type Logger, logFileOf, reopenLog } from './log.ts'
import { memoryHolders } from './memory-holders.ts'
import { modules } from './modules/index.ts'
import { AddressLimits } from './net/address-limits.ts'
import type { Connection, ConnectionLimits } from './net/connection.ts'
import type { Listener, ListenerContext } from './net/listener.ts'
import { planReload, type Reloadable, reload } from './reload.ts'
import { LocalRouter } from './routing/local-router.ts'
import { Router } from './routing/router.ts'
import { isAnonymous } from './routing/session.ts'
import { SessionManager } from './routing/session-manager.ts'
import { services } from './services/index.ts'
import { openStorage } from './storage/index.ts'
import type { Domain } from './storage/storage.ts'

export interface ServerOptions {
  readonly config: Config
  readonly version: string
  readonly pid: number
  memoryUsage(): NodeJS.MemoryUsage
  readonly log: Logger
  /** Where the log goes, for people. */
  readonly logDestination: string
  /** Modules of others, as `load` finds them. */
  readonly external: ExternalModules
  /** Reads and checks the configuration again, or another file. */
  load(file: string | undefined): Promise<LoadedConfig>
  /** The configuration with one more host, whose options are checked. */
  withDomain(config: Config, host: string, options: Domain['options']): Promise<LoadedConfig>
  /** Called when an administrator's command asks for the end. */
  onStopRequest(): void
  /** Called when one asks for the end and a new start. */
  onRestartRequest(): void
}

export interface RunningServer {
  readonly listeners: readonly Listener[]
  readonly controlPaths: readonly string[]
  /** Puts a changed configuration in place, as far as that can be done while it runs. */
  reload(): Promise<ReloadOutcome>
  /** After the log's file was moved away; false when the log goes to no file. */
  reopenLog(): Promise<boolean>
  /** Clients are told, what they have sent is dealt with, then everything ends. */
  stop(): Promise<void>
}

const shutdownText = 'The server is going down'
/** How long sessions may take to end before their connections are cut, in milliseconds. */
const drainTimeout = 5_000
/** How long the backends may take to remove an account, in milliseconds. */
const removeTimeout = 30_000

/** Rejects with an Error whose message says what could not start, and why. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const parts = new Registrar('server', options.log)
  try {
    return await start(options, parts)
  } catch (error) {
    await parts.undoAll()
    throw error
  }
}

async function start(options: ServerOptions, parts: Registrar): Promise<RunningServer> {
  const { log, version } = options
  /** Changes when the configuration is read again: what reads it anew each time works with the new one from then on. */
  let config = options.config
  const live = liveOptions(() => config)
  const node = `gatehouse@${hostname()}`
  let state: AdminServer['state'] = 'starting'
  const turns = new Turns()

  const folder = await openDataFolder(config.data_dir)
  parts.add(() => folder.release())
  const storage = await openStorage('sqlite', { file: folder.database })
  parts.add(() => storage.close())

  const hooks = new HookRegistry(log, live.hooks)
  const router = new Router(hooks, log)
  const iqs = new IqHandlers(log)
  const accountExists = async (user: string, host: string): Promise<boolean> =>
    (await hosts.authenticator(host)?.exists(user)) ?? false
  const lastSeen = async (user: string, host: string): Promise<number | undefined> => {
    const last = await managed.provided(host, 'last')?.get(user)
    return last && last.seconds * 1_000
  }
  const sessions = new SessionManager(router, iqs, hooks, accountExists, live.sessions, lastSeen)
  const registry = new CommandRegistry()
  const managed = new ModuleManager({
    table: modules,
    version,
    storage,
    sessions,
    router,
    iqs,
    hooks,
    log,
    accountExists,
    addCommand: (spec, host) => registry.add(spec, host),
  })
  managed.setExternal(await options.external.all(config.external_modules))
  const connected = new Set<C2s>()
  const hosts = new Hosts({
    dataDir: config.data_dir,
    secret: folder.secret,
    storage,
    hooks,
    router,
    localRouter: new LocalRouter(router, sessions, iqs, hooks),
    modules: managed,
    connected,
    isAnonymous: (user, host) => sessions.ofUser(user, host).some(isAnonymous),
    purgeAnonymous: (user, host) => purgeAnonymous(user, host),
    log,
  })

  const domains = new Domains({
    storage,
    hosts,
    modules: managed,
    log,
    withDomain: (...wanted) => options.withDomain(...wanted),
    current: () => config,
    setCurrent(now) {
      config = now
    },
    removeAccount: (user, host) => removeAccount(user, host),
    inTurn: (work) => turns.take('reload', work),
  })
  config = await domains.over(config)

  const admin: AdminServer = {
    version,
    node,
    pid: options.pid,
    startedAt: Date.now(),
    get state() {
      return state
    },
    get hosts() {
      return hosts.names
    },
    storage,
    sessions,
    hooks,
    log,
    get logDestination() {
      return logFileOf(log) ?? options.logDestination
    },
    get logFile() {
      return logFileOf(log)
    },
    cookie: createHmac('sha256', folder.secret).update('cluster cookie').digest('hex'),
    authenticator: (host) => hosts.get(host)?.authenticator,
    certificate: (host) => hosts.get(host)?.certificate,
    provided: (host, name) => managed.provided(host, name),
    route: (stanza) => router.route(stanza),
    removeAccount: (user, host) => removeAccount(user, host),
    modules: adminModules({ managed, hosts, external: options.external, config: () => config }),
    domains,
    reload: (wanted) => turns.take('reload', () => reloadConfig(wanted)),
    memory: () =>
      memoryHolders({
        usage: options.memoryUsage(),
        sessions,
        connected,
        hosts,
        modules: managed,
        storage,
        hooks,
      }),
    async reopenLog() {
      const isFile = reopenLog(log)
      await hooks.run('reopen_log_hook', '', {})
      return isFile
    },
    restart: options.onRestartRequest,
    stop: options.onStopRequest,
  }

  /** First those who keep something for the account or tell others of its end, then what is kept. */
  async function removeAccount(user: string, host: string): Promise<boolean> {
    const authenticator = hosts.get(host)?.authenticator
    const signal = AbortSignal.timeout(removeTimeout)
    const may = await authenticator?.removable(user, signal)
    if (!authenticator || !may || (!may.ok && may.reason === 'unknown')) return false
    const elsewhere = `the accounts of ${host} are kept elsewhere and cannot be removed from here`
    if (!may.ok) throw new Error(elsewhere)
    for (const session of sessions.ofUser(user, host)) session.tell({ type: 'account-removed' })
    await hooks.run('remove_user', host, { user, host })
    const answer = await authenticator.remove(user, signal)
    if (!answer.ok && answer.reason !== 'unknown') throw new Error(elsewhere)
    await storage.removeAccount(user, host)
    return true
  }

  /** The same for somebody who had no account. */
  async function purgeAnonymous(user: string, host: string): Promise<void> {
    await hooks.run('anonymous_purge_hook', host, { user, host })
    await hooks.run('remove_user', host, { user, host })
    await storage.removeAccount(user, host)
  }

  for (const family of coreFamilies) for (const spec of family(admin)) registry.add(spec)
  const control = await startControl(admin, config.control, config.data_dir, registry, log)
  parts.add(() => control.close())

  const served = new ServiceManager({
    table: services,
    storage,
    hooks,
    admin,
    log,
    addCommand: (spec) => registry.add(spec),
  })
  parts.add(() => served.stopAll())
  await served.startAll(config.services)

  parts.add(() => hosts.downAll())
  for (const name of config.hosts) {
    try {
      await hosts.up(await hosts.open(name, optionsOf(config, name)), modulesOf(config, name))
    } catch (err) {
      // one that was added by command is no reason to be away for all the others
      if (!domains.has(name)) throw err
      log.error({ err, host: name }, 'a domain that was added by command is not served')
    }
  }

  const c2sServer: C2sServer = {
    get config() {
      return config
    },
    node,
    get defaultHost() {
      return config.hosts[0] ?? 'localhost'
    },
    host: (name) => hosts.get(name),
    get asksForCertificates() {
      return hosts.names.some((name) => hosts.get(name)?.asksForCertificate)
    },
    noteAnonymous: (user, host) => storage.anonymous.add(user, host),
    purgeAnonymous,
    router,
    sessions,
    hooks,
    limits: new AddressLimits(live.addresses),
    throttle: new Throttle(() => config.failed_login_delay),
    resumable: new ResumableSessions(),
    log,
  }
  parts.add(watchIdle(sessions, live.idle))
  parts.add(() => drain(connected))
  const context: ListenerContext = {
    hooks,
    limits: c2sServer.limits,
    get connectionLimits() {
      return connectionLimits(config)
    },
    log,
  }
  const startSession = (entry: C2sListener, connection: Connection): void => {
    connected.add(new C2s(c2sServer, entry, connection, (over) => connected.delete(over)))
  }
  const listeners = new Listeners(context, startSession, log)
  parts.add(() => listeners.close())
  await (await listeners.prepare(config.listen)).commit()

  const reloadable: Reloadable = {
    hosts,
    modules: managed,
    external: options.external,
    services: served,
    listeners,
    control,
    hooks,
    log,
    current: () => config,
    setCurrent(now) {
      config = now
    },
  }

  async function reloadConfig({ file, plan }: { file?: string; plan: boolean }): Promise<ReloadOutcome> {
    if (state !== 'started') return { ok: false, complaints: [`the server is ${state}`] }
    const loaded = await options.load(file)
    if (!loaded.ok) return { ok: false, complaints: loaded.complaints.map(formatComplaint) }
    const warnings = loaded.warnings.map(formatComplaint)
    const wanted = await domains.over(loaded.config)
    if (plan) return { ok: true, report: await planReload(reloadable, wanted), warnings }
    try {
      const report = await reload(reloadable, wanted)
      log.info({ ...report }, 'the configuration was read again')
      return { ok: true, report, warnings }
    } catch (error) {
      const { message, stack } = error as Error
      log.debug({ stack }, 'the new configuration cannot be put in place')
      return { ok: false, complaints: [message] }
    }
  }

  state = 'started'
  await hooks.run('server_started', '', {})
  return {
    get listeners() {
      return listeners.listeners
    },
    get controlPaths() {
      return control.paths
    },
    reload: () => admin.reload({ plan: false }),
    reopenLog: () => admin.reopenLog(),
    async stop() {
      state = 'stopping'
      await hooks.run('server_stopping', '', {})
      await parts.undoAll()
    },
  }
}

/** Options of parts that read them each time, from the configuration as it is then. */
function liveOptions(config: () => Config) {
  return {
    sessions: {
      get maxUserSessions() {
        return config().max_user_sessions
      },
      get whenFull() {
        return config().max_user_sessions_action
      },
      get conflict() {
        return config().resource_conflict
      },
      get iqNeedsPresence() {
        return config().iq_needs_presence
      },
    },
    addresses: {
      get exempt() {
        return config().trusted_proxies
      },
      get connectionsPerAddress() {
        return config().connections_per_address
      },
      get failedLoginsPerMinute() {
        return config().failed_logins_per_minute
      },
    },
    hooks: {
      get handlerTimeout() {
        return config().hook_timeout
      },
    },
    idle: {
      get ack_timeout() {
        return config().ack_timeout
      },
      get ping_interval() {
        return config().ping_interval
      },
      get ping_timeout() {
        return config().ping_timeout
      },
    },
  }
}

function connectionLimits(config: Config): ConnectionLimits {
  return {
    sendTimeout: config.send_timeout,
    maxOutputBytes: config.max_output_bytes,
    closeTimeout: config.close_timeout,
    tlsHandshakeTimeout: config.tls_handshake_timeout,
  }
}

/** Every client is told that the server goes down; resolves when all have gone, or their time is over. */
async function drain(connected: Set<C2s>): Promise<void> {
  const all = [...connected]
  for (const session of all) session.shutdown(shutdownText)
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, drainTimeout)
  })
  await Promise.race([Promise.all(all.map((session) => session.over)), deadline])
  clearTimeout(timer)
  for (const session of all) session.connection.destroy('the server is going down')
}
