/**
 * Domains that administrators add, change and remove by command while the server runs. They are kept in the storage, and are
 * hosts like those of the configuration, over which they are laid.
 */
import type { AdminDomains } from './admin/admin-server.ts'
import { formatComplaint, type LoadedConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import type { Caller } from './extend/command.ts'
import type { ModuleManager } from './extend/module-manager.ts'
import { type Hosts, modulesOf, optionsOf } from './hosts.ts'
import type { Logger } from './log.ts'
import { changeModules } from './reload.ts'
import type { Domain, Storage } from './storage/storage.ts'

export interface DomainsEnvironment {
  readonly storage: Storage
  readonly hosts: Hosts
  readonly modules: ModuleManager
  readonly log: Logger
  /** Checks the options of one more host, and lays it over a configuration. */
  withDomain(config: Config, host: string, options: Domain['options']): Promise<LoadedConfig>
  /** The configuration that the server runs with, domains of ours included. */
  current(): Config
  setCurrent(config: Config): void
  removeAccount(user: string, host: string): Promise<boolean>
  /** One change of what is served after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
}

export class Domains implements AdminDomains {
  readonly #env: DomainsEnvironment
  #added: readonly Domain[] = []

  constructor(env: DomainsEnvironment) {
    this.#env = env
  }

  list(): readonly Domain[] {
    return this.#added
  }

  has(host: string): boolean {
    return this.#added.some((domain) => domain.host === host)
  }

  /** A configuration with all domains that were added. One whose options do not fit any more is logged and left out. */
  async over(config: Config): Promise<Config> {
    const { storage, log } = this.#env
    this.#added = await storage.domains.list()
    let all = config
    for (const { host, options } of this.#added) {
      if (config.hosts.includes(host)) {
        log.warn(
          { host },
          'added by command, and in the configuration too: what the configuration says holds',
        )
        continue
      }
      const loaded = await this.#env.withDomain(all, host, options)
      if (loaded.ok) all = loaded.config
      else log.error({ host, problems: said(loaded) }, 'a domain that was added by command is not served')
    }
    return all
  }

  insert(host: string): Promise<void> {
    const { hosts, storage } = this.#env
    return this.#env.inTurn(async () => {
      if (hosts.get(host)) throw new Error(`${host} is served already`)
      if (this.has(host)) throw new Error(`${host} was added already, and cannot be served; the log says why`)
      const config = await this.#with(this.#env.current(), { host, options: {} })
      await hosts.up(await hosts.open(host, optionsOf(config, host)), modulesOf(config, host))
      try {
        await storage.domains.set({ host, options: {} })
      } catch (error) {
        await hosts.down(host)
        throw error
      }
      this.#added = [...this.#added, { host, options: {} }]
      this.#env.setCurrent(config)
    })
  }

  configure(host: string, options: Domain['options']): Promise<readonly string[]> {
    const { hosts, storage, modules, log } = this.#env
    return this.#env.inTurn(async () => {
      this.#mustBeOurs(host)
      const config = await this.#with(without(this.#env.current(), host), { host, options })
      const failed: string[] = []
      const served = hosts.get(host)
      if (served) {
        const change = await served.prepare(optionsOf(config, host))
        change.commit()
        await changeModules(modules, host, modulesOf(config, host), async (what, work) => {
          try {
            await work()
          } catch (error) {
            failed.push(`${what}: ${(error as Error).message}`)
          }
        })
      } else {
        await hosts.up(await hosts.open(host, optionsOf(config, host)), modulesOf(config, host))
      }
      await storage.domains.set({ host, options })
      this.#added = this.#added.map((domain) => (domain.host === host ? { host, options } : domain))
      this.#env.setCurrent(config)
      log.info({ host, failed }, 'a domain has other options')
      return failed
    })
  }

  remove(host: string, withAccounts: boolean, caller: Pick<Caller, 'signal' | 'progress'>): Promise<number> {
    const { hosts, storage } = this.#env
    return this.#env.inTurn(async () => {
      this.#mustBeOurs(host)
      let removed = 0
      if (withAccounts) {
        const total = await storage.accounts.count(host)
        for await (const user of storage.accounts.list(host)) {
          caller.signal.throwIfAborted()
          if (await this.#env.removeAccount(user, host)) removed++
          caller.progress(removed, total)
        }
      }
      await hosts.down(host)
      await storage.domains.remove(host)
      // what is kept for people whose accounts are elsewhere, or who came in meanwhile
      if (withAccounts) await storage.removeHost(host)
      this.#added = this.#added.filter((domain) => domain.host !== host)
      this.#env.setCurrent(without(this.#env.current(), host))
      return removed
    })
  }

  async #with(config: Config, { host, options }: Domain): Promise<Config> {
    const loaded = await this.#env.withDomain(config, host, options)
    if (loaded.ok) return loaded.config
    throw new Error(said(loaded).join('\n'))
  }

  #mustBeOurs(host: string): void {
    if (this.has(host)) return
    throw new Error(
      this.#env.hosts.get(host)
        ? `${host} is a host of the configuration: change it there, then run reload_config`
        : `${host} was not added by insert_domain`,
    )
  }
}

function said({ complaints }: LoadedConfig & { readonly ok: false }): string[] {
  return complaints.map(formatComplaint)
}

function without(config: Config, host: string): Config {
  const { [host]: _, ...others } = config.host_config
  return { ...config, hosts: config.hosts.filter((name) => name !== host), host_config: others }
}
