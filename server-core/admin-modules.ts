/** What administrators may do with the modules of the hosts. */
import type { AdminModules } from './admin/admin-server.ts'
import type { Config } from './config/schema.ts'
import type { ModuleManager } from './extend/module-manager.ts'
import { type Hosts, modulesOf } from './hosts.ts'
import { modules } from './modules/index.ts'

export function adminModules(managed: ModuleManager, hosts: Hosts, config: () => Config): AdminModules {
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
      .filter((other) => modules.find((spec) => spec.name === other)?.requires?.includes(name))
  return {
    known: modules.map(({ name, doc }) => ({ name, doc })),
    running: (host) => managed.loaded(host),
    async load(host, name, options) {
      mustBeServed(host)
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
      await managed.reload(host, name, options ?? configured(host, name))
    },
    async restart(host, name) {
      mustRun(host, name)
      const given = managed.given(host, name) ?? null
      await managed.stop(host, name)
      await managed.start(host, name, given)
    },
  }
}
