/**
 * The server is this list: what runs, in the order of its start. Stopping walks it backwards. Whatever cannot start ends the
 * start, and what had started before is stopped again.
 */
import { createHmac } from 'node:crypto'
import { hostname } from 'node:os'
import type { AdminServer } from './admin/admin-server.ts'
import { CommandRegistry } from './admin/command-registry.ts'
import { coreFamilies } from './admin/commands/index.ts'
import { startControl } from './admin/control-socket.ts'
import { C2s } from './c2s/c2s.ts'
import type { C2sServer } from './c2s/c2s-server.ts'
import { watchIdle } from './c2s/idle.ts'
import { ResumableSessions } from './c2s/stream-management.ts'
import { type Config, hostConfig } from './config/schema.ts'
import { openDataFolder } from './data-folder.ts'
import { IqHandlers } from './extend/gen-iq-handler.ts'
import { HookRegistry } from './extend/hooks.ts'
import { ModuleManager } from './extend/module-manager.ts'
import { Registrar } from './extend/registrar.ts'
import { ServiceManager } from './extend/service-manager.ts'
import type { Logger } from './log.ts'
import { defaultModules, modules } from './modules/index.ts'
import { AddressLimits } from './net/address-limits.ts'
import type { ConnectionLimits } from './net/connection.ts'
import { type Listener, listen } from './net/listener.ts'
import { LocalRouter } from './routing/local-router.ts'
import { Router } from './routing/router.ts'
import { SessionManager } from './routing/session-manager.ts'
import { services } from './services/index.ts'
import { openStorage } from './storage/index.ts'
import { VirtualHost } from './virtual-host.ts'

export interface ServerOptions {
  readonly config: Config
  readonly version: string
  readonly pid: number
  readonly log: Logger
  /** Where the log goes, for people. */
  readonly logDestination: string
  /** Called when an administrator's command asks for the end. */
  onStopRequest(): void
}

export interface RunningServer {
  readonly listeners: readonly Listener[]
  readonly controlPaths: readonly string[]
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
  const { config, log, version } = options
  const node = `gatehouse@${hostname()}`
  let state: AdminServer['state'] = 'starting'

  const folder = await openDataFolder(config.data_dir)
  parts.add(() => folder.release())
  const storage = await openStorage('sqlite', { file: folder.database })
  parts.add(() => storage.close())

  const hooks = new HookRegistry(log)
  const router = new Router(hooks, log)
  const iqs = new IqHandlers(log)
  const hosts = new Map<string, VirtualHost>()
  const accountExists = async (user: string, host: string): Promise<boolean> =>
    (await hosts.get(host)?.authenticator.exists(user)) ?? false
  const sessions = new SessionManager(router, iqs, hooks, accountExists, {
    maxUserSessions: config.max_user_sessions,
    conflict: config.resource_conflict,
    iqNeedsPresence: config.iq_needs_presence,
  })
  const localRouter = new LocalRouter(router, sessions, iqs, hooks)
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

  const admin: AdminServer = {
    version,
    node,
    pid: options.pid,
    startedAt: Date.now(),
    get state() {
      return state
    },
    get hosts() {
      return [...hosts.keys()]
    },
    storage,
    sessions,
    hooks,
    log,
    logDestination: options.logDestination,
    logFile: config.log_file,
    cookie: createHmac('sha256', folder.secret).update('cluster cookie').digest('hex'),
    authenticator: (host) => hosts.get(host)?.authenticator,
    provided: (host, name) => managed.provided(host, name),
    route: (stanza) => router.route(stanza),
    removeAccount: (user, host) => removeAccount(user, host),
    stop: options.onStopRequest,
  }

  async function removeAccount(user: string, host: string): Promise<boolean> {
    const authenticator = hosts.get(host)?.authenticator
    const answer = await authenticator?.remove(user, AbortSignal.timeout(removeTimeout))
    if (!answer || (!answer.ok && answer.reason === 'unknown')) return false
    if (!answer.ok)
      throw new Error(`the accounts of ${host} are kept elsewhere and cannot be removed from here`)
    for (const session of sessions.ofUser(user, host)) session.tell({ type: 'account-removed' })
    await hooks.run('remove_user', host, { user, host })
    await storage.removeAccount(user, host)
    return true
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

  for (const name of config.hosts) {
    const options = hostConfig(config, name)
    const host = await VirtualHost.open({
      name,
      options,
      dataDir: config.data_dir,
      secret: folder.secret,
      storage,
      log,
      offline: () => managed.provided(name, 'offline'),
      certificateExpires: (host, files, days) => void hooks.run('cert_expiring', '', { host, files, days }),
    })
    hosts.set(name, host)
    parts.add(() => host.close())
    parts.add(() => managed.stopAll(name))
    await managed.startAll(name, {
      ...(config.modules ?? defaultModules),
      ...config.host_config[name]?.modules,
    })
    parts.add(router.registerLocalRoute(name, (stanza) => localRouter.route(stanza)))
    await hooks.run('host_up', '', { host: name })
    parts.add(() => hooks.run('host_down', '', { host: name }))
  }

  const connected = new Set<C2s>()
  const c2sServer: C2sServer = {
    config,
    node,
    defaultHost: config.hosts[0] ?? 'localhost',
    host: (name) => hosts.get(name),
    router,
    sessions,
    hooks,
    limits: new AddressLimits({
      connectionsPerAddress: config.connections_per_address,
      failedLoginsPerMinute: config.failed_logins_per_minute,
    }),
    resumable: new ResumableSessions(),
    log,
  }
  parts.add(watchIdle(sessions, config))
  parts.add(() => drain(connected))
  const listeners: Listener[] = []
  parts.add(() => {
    for (const listener of listeners) listener.close()
  })
  const context = { hooks, limits: c2sServer.limits, connectionLimits: connectionLimits(config), log }
  for (const entry of config.listen) {
    const listener = await listen(entry, context, (connection) => {
      const session = new C2s(c2sServer, entry, connection, (over) => connected.delete(over))
      connected.add(session)
    })
    listeners.push(listener)
    log.info({ module: 'c2s', ip: listener.ip, port: listener.port, tls: listener.tls }, 'listening')
  }

  state = 'started'
  await hooks.run('server_started', '', {})
  return {
    listeners,
    controlPaths: control.paths,
    async stop() {
      state = 'stopping'
      await hooks.run('server_stopping', '', {})
      await parts.undoAll()
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
