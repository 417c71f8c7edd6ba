/** What administrators may do with the modules of the hosts. */
import type { AdminModules } from './admin/admin-server.ts'
import type { Config } from './config/schema.ts'
import type { ModuleManager } from './extend/module-manager.ts'
import type { ExternalModules } from './external/external-modules.ts'
import { type Hosts, modulesOf } from './hosts.ts'

export interface AdminModulesEnvironment {
  readonly managed: ModuleManager
  readonly hosts: Hosts
  readonly external: ExternalModules
  config(): Config
}

export function adminModules({ managed, hosts, external, config }: AdminModulesEnvironment): AdminModules {
  const configured = (host: string, name: string) => modulesOf(config(), host)[name] ?? null
  const mustBeServed = (host: string): void => {
    if (!hosts.get(host)) throw new Error(`${host} is not a host of this server (${hosts.names.join(', ')})`)
  }
  const mustRun = (host: string, name: string): void => {
    mustBeServed(host)
    if (!managed.isLoaded(host, name)) throw new Error(`${name} does not run on ${host}`)
  }
  const dependents = (host: string, name: string): string[] =>
    managed
      .loaded(host)
      .filter((other) => managed.known.find((spec) => spec.name === other)?.requires?.includes(name))
  /** A module of others is what its file is now. */
  const refresh = async (name: string): Promise<void> => {
    const file = config().external_modules[name]
    if (file === undefined) return
    const spec = await external.load(name, file)
    const others = managed.external.filter((other) => other.name !== name)
    managed.setExternal([...others, spec])
  }
  return {
    get known() {
      return managed.known.map(({ name, doc }) => ({ name, doc }))
    },
    running: (host) => managed.loaded(host),
    async load(host, name, options) {
      mustBeServed(host)
      await refresh(name)
      await managed.start(host, name, options ?? configured(host, name))
    },
    async unload(host, name) {
      mustRun(host, name)
      const needing = dependents(host, name)
      if (needing.length > 0) throw new Error(`${needing.join(', ')} on ${host} needs ${name}`)
      await managed.stop(host, name)
    },
    async reload(host, name, options) {
      mustRun(host, name)
      await refresh(name)
      await managed.reload(host, name, options ?? configured(host, name))
    },
    async restart(host, name) {
      mustRun(host, name)
      await refresh(name)
      await managed.restart(host, name)
    },
  }
}
