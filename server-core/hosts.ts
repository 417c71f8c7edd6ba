/** The served domains while the server runs: brought up, changed, taken down, each with its modules and its route. */
import { sideBySide } from './admin/side-by-side.ts'
import type { Authenticator } from './auth/authenticator.ts'
import type { C2s } from './c2s/c2s.ts'
import { type Config, type HostOptions, hostConfig } from './config/schema.ts'
import type { HookRegistry } from './extend/hook-registry.ts'
import type { ModuleManager, ModuleOptions } from './extend/module-manager.ts'
import type { Logger } from './log.ts'
import { defaultModules } from './modules/index.ts'
import type { LocalRouter } from './routing/local-router.ts'
import type { Router } from './routing/router.ts'
import type { Storage } from './storage/storage.ts'
import { VirtualHost } from './virtual-host.ts'
import { StreamError } from './xmpp/errors.ts'

export interface HostsEnvironment {
  readonly dataDir: string
  readonly secret: Buffer
  readonly storage: Storage
  readonly hooks: HookRegistry
  readonly router: Router
  readonly localRouter: LocalRouter
  readonly modules: ModuleManager
  /** Every client connection there is. */
  readonly connected: ReadonlySet<C2s>
  /** Whether somebody without an account is connected under that name. */
  isAnonymous(user: string, host: string): boolean
  /** Removes everything that is kept for somebody who had no account. */
  purgeAnonymous(user: string, host: string): Promise<void>
  readonly log: Logger
}

/** How long the sessions of a domain that goes may take to end, in milliseconds. */
const goneTimeout = 5_000

export class Hosts {
  readonly #env: HostsEnvironment
  readonly #hosts = new Map<string, VirtualHost>()
  /** Those that are going: no new streams, but what their sessions leave behind is still theirs. */
  readonly #leaving = new Map<string, VirtualHost>()
  readonly #routes = new Map<string, () => void>()

  constructor(env: HostsEnvironment) {
    this.#env = env
  }

  get(name: string): VirtualHost | undefined {
    return this.#hosts.get(name)
  }

  /** Also of a domain whose last sessions are ending. */
  authenticator(name: string): Authenticator | undefined {
    return (this.#hosts.get(name) ?? this.#leaving.get(name))?.authenticator
  }

  /** In the order in which they were brought up. */
  get names(): readonly string[] {
    return [...this.#hosts.keys()]
  }

  /** Opens accounts and certificate of a domain that is not served yet. Rejects with an Error that says what is wrong. */
  open(name: string, options: HostOptions): Promise<VirtualHost> {
    const { dataDir, secret, storage, hooks, modules, isAnonymous, log } = this.#env
    return VirtualHost.open({
      name,
      options,
      dataDir,
      secret,
      storage,
      isAnonymous,
      log,
      offline: () => modules.provided(name, 'offline'),
      legacyAuth: () => modules.provided(name, 'legacyAuth') ?? false,
      certificateExpires: (host, files, days) => void hooks.run('cert_expiring', '', { host, files, days }),
    })
  }

  /** Starts its modules and its route. Rejects, with nothing left of it, when one does not start. */
  async up(host: VirtualHost, modules: Readonly<Record<string, ModuleOptions>>): Promise<void> {
    const { name } = host
    const { router, localRouter, hooks } = this.#env
    this.#hosts.set(name, host)
    try {
      await this.#env.modules.startAll(name, modules)
      this.#routes.set(
        name,
        router.registerLocalRoute(name, (stanza) => localRouter.route(stanza)),
      )
    } catch (error) {
      await this.#env.modules.stopAll(name)
      this.#hosts.delete(name)
      await host.close()
      throw error
    }
    await this.#removeLeftovers(host)
    await hooks.run('host_up', '', { host: name })
    host.tellDaysLeft()
  }

  /** Who had no account and was connected when the server was killed has left what was kept for him. */
  async #removeLeftovers({ name, authenticator }: VirtualHost): Promise<void> {
    const { storage, isAnonymous, purgeAnonymous, log } = this.#env
    try {
      const users = (await storage.anonymous.list(name)).filter((user) => !isAnonymous(user, name))
      if (users.length === 0) return
      await sideBySide(users, async (user) => {
        // the name may be an account's by now, whose data nobody touches
        if (await authenticator.exists(user)) await storage.anonymous.remove(user, name)
        else await purgeAnonymous(user, name)
      })
      log.info({ host: name, users: users.length }, 'removed what people without an account had left')
    } catch (err) {
      log.error({ host: name, err }, 'what people without an account have left stays until the next start')
    }
  }

  /** Ends its sessions, then its route and its modules, last first. */
  async down(name: string): Promise<void> {
    const host = this.#hosts.get(name)
    if (!host) return
    this.#hosts.delete(name)
    this.#leaving.set(name, host)
    await this.#endSessions(name)
    await this.#env.hooks.run('host_down', '', { host: name })
    this.#routes.get(name)?.()
    this.#routes.delete(name)
    await this.#env.modules.stopAll(name)
    this.#leaving.delete(name)
    await host.close()
  }

  /** Last first. */
  async downAll(): Promise<void> {
    for (const name of [...this.names].reverse()) await this.down(name)
  }

  async #endSessions(name: string): Promise<void> {
    const sessions = [...this.#env.connected].filter((session) => session.host?.name === name)
    if (sessions.length === 0) return
    for (const session of sessions) {
      session.fail(new StreamError('host-gone', `${name} is not served here any more`))
    }
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, goneTimeout)
    })
    await Promise.race([Promise.all(sessions.map((session) => session.over)), deadline])
    clearTimeout(timer)
  }
}

/** The modules of a host with their options: those of all hosts (or the usual ones), and its own over them. */
export function modulesOf(config: Config, host: string): Readonly<Record<string, ModuleOptions>> {
  return { ...(config.modules ?? defaultModules), ...config.host_config[host]?.modules }
}

/** The options of one host without those of its modules. */
export function optionsOf(config: Config, host: string): HostOptions {
  return hostConfig(config, host)
}
