/** Client sessions over real sockets with real routers, in this process: tests can add hooks and watch. */
import { type AddressInfo, createServer } from 'node:net'
import { createSecureContext } from 'node:tls'
import { type Logger, pino } from 'pino'
import { Authenticator } from '../../server-core/auth/authenticator.ts'
import type { AuthBackend } from '../../server-core/auth/backend.ts'
import { Throttle } from '../../server-core/auth/throttle.ts'
import { C2s } from '../../server-core/c2s/c2s.ts'
import type { C2sServer } from '../../server-core/c2s/c2s-server.ts'
import { ResumableSessions } from '../../server-core/c2s/stream-management.ts'
import { configSchema } from '../../server-core/config/schema.ts'
import { IqHandlers } from '../../server-core/extend/gen-iq-handler.ts'
import type { ModuleSpec } from '../../server-core/extend/gen-mod.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { ModuleManager, type ModuleOptions } from '../../server-core/extend/module-manager.ts'
import type { OfflineService } from '../../server-core/extend/provided.ts'
import { silentLogger } from '../../server-core/log.ts'
import { AddressLimits } from '../../server-core/net/address-limits.ts'
import { Connection } from '../../server-core/net/connection.ts'
import { LocalRouter } from '../../server-core/routing/local-router.ts'
import { Router } from '../../server-core/routing/router.ts'
import { SessionManager } from '../../server-core/routing/session-manager.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { TestClient } from '../harness/client.ts'
import { temporaryFolder } from '../harness/folder.ts'

export const host = 'localhost'

export interface RigOptions {
  /** Where clients seem to come from. */
  readonly address?: string
  readonly checkPassword?: AuthBackend['checkPassword']
}

/** Modules that run in a rig, on a storage of its own. */
export interface RigModules {
  readonly storage: Storage
  readonly manager: ModuleManager
  stop(): Promise<void>
}

export class Rig {
  readonly port: number
  readonly hooks: HookRegistry
  readonly iqs: IqHandlers
  readonly router: Router
  readonly sessions: SessionManager
  /** Every session that has not ended, in the order of connecting. */
  readonly connected: readonly C2s[]
  /** What was logged, as objects. */
  readonly log: readonly Record<string, unknown>[]
  readonly throttle: Throttle
  readonly #close: () => void

  private constructor(parts: Omit<Rig, 'login' | 'close' | 'session' | 'startModules'>, close: () => void) {
    this.port = parts.port
    this.hooks = parts.hooks
    this.iqs = parts.iqs
    this.router = parts.router
    this.sessions = parts.sessions
    this.log = parts.log
    this.throttle = parts.throttle
    this.connected = parts.connected
    this.#close = close
  }

  /** @param options of gatehouse.yml @param offline what the offline module would provide */
  static async start(
    options: Record<string, unknown> = {},
    offline?: OfflineService,
    { address, checkPassword = async () => ({ ok: true }) }: RigOptions = {},
  ): Promise<Rig> {
    const lines: Record<string, unknown>[] = []
    const log: Logger = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) })
    const config = configSchema.parse({
      listen: [
        { port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none', allow_unencrypted_plain_auth: true },
      ],
      ...options,
    })
    const [entry] = config.listen
    if (!entry) throw new Error('no listener')
    const hooks = new HookRegistry(log)
    const iqs = new IqHandlers(log)
    const router = new Router(hooks, log)
    const exists = async (): Promise<boolean> => true
    const sessions = new SessionManager(router, iqs, hooks, exists, {
      maxUserSessions: config.max_user_sessions,
      whenFull: config.max_user_sessions_action,
      conflict: config.resource_conflict,
      iqNeedsPresence: config.iq_needs_presence,
    })
    const local = new LocalRouter(router, sessions, iqs, hooks)
    router.registerLocalRoute(host, (stanza) => local.route(stanza))
    const backend = { checkPassword, accountExists: exists }
    const served = {
      name: host,
      authenticator: new Authenticator(host, [{ name: 'anybody', backend }] as never, log),
      serverSecret: Buffer.alloc(32),
      secureContext: createSecureContext(),
      asksForCertificate: false,
      sharesAnonymousNames: false,
      legacyAuth: false,
      offline,
    }
    const server: C2sServer = {
      config,
      node: 'test',
      defaultHost: host,
      host: (name) => (name === host ? served : undefined),
      asksForCertificates: false,
      noteAnonymous: async () => undefined,
      purgeAnonymous: async () => undefined,
      router,
      sessions,
      hooks,
      resumable: new ResumableSessions(),
      throttle: new Throttle(config.failed_login_delay),
      limits: new AddressLimits({ connectionsPerAddress: 1_000, failedLoginsPerMinute: 60, exempt: [] }),
      log,
    }
    const connected: C2s[] = []
    const limits = {
      sendTimeout: config.send_timeout,
      maxOutputBytes: config.max_output_bytes,
      closeTimeout: config.close_timeout,
      tlsHandshakeTimeout: config.tls_handshake_timeout,
    }
    const listener = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      if (address !== undefined) Object.defineProperty(socket, 'remoteAddress', { value: address })
      const connection = new Connection(socket, limits)
      connected.push(
        new C2s(server, entry, connection, (over) => {
          connected.splice(connected.indexOf(over), 1)
        }),
      )
      connection.resume()
    })
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    const { port } = listener.address() as AddressInfo
    return new Rig(
      { throttle: server.throttle, port, hooks, iqs, router, sessions, connected, log: lines },
      () => {
        listener.close()
        for (const session of connected) session.connection.destroy('the test is over')
      },
    )
  }

  /** Any password will do. */
  login(user: string, more: { resource?: string; available?: boolean } = {}): Promise<TestClient> {
    return TestClient.login({
      port: this.port,
      tls: 'none',
      user,
      password: 'pw',
      mechanism: 'PLAIN',
      resource: 'r',
      ...more,
    })
  }

  /** Starts modules of the host, before anybody logs in. */
  async startModules(
    table: readonly ModuleSpec[],
    options: Readonly<Record<string, ModuleOptions>>,
  ): Promise<RigModules> {
    const { hooks, iqs, router, sessions } = this
    const folder = temporaryFolder('rig')
    const storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
    const manager = new ModuleManager({
      table,
      version: '0.0.0',
      storage,
      sessions,
      router,
      iqs,
      hooks,
      log: silentLogger(),
      accountExists: async () => true,
      addCommand: () => () => undefined,
    })
    await manager.startAll(host, options)
    return {
      storage,
      manager,
      async stop() {
        await manager.stopAll(host)
        await storage.close()
        folder.remove()
      },
    }
  }

  /** The server's side of a client. */
  session(client: TestClient): C2s {
    const session = this.connected.find((one) => one.bound && one.jid.text === client.jid)
    if (!session) throw new Error(`no session of ${client.jid}`)
    return session
  }

  close(): void {
    this.#close()
  }
}
