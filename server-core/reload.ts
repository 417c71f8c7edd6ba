/**
 * A changed configuration while the server runs. First everything that the new one needs is opened; when any of it fails,
 * nothing is changed. Then it is put in place, part by part, and the three lists say what has come of each change.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ReloadReport } from './admin/admin-server.ts'
import type { Control } from './admin/control-socket.ts'
import type { Config, HostOptions } from './config/schema.ts'
import type { ModuleSpec } from './extend/gen-mod.ts'
import type { HookRegistry } from './extend/hook-registry.ts'
import type { ModuleDifference, ModuleManager, ModuleOptions } from './extend/module-manager.ts'
import type { ServiceManager } from './extend/service-manager.ts'
import type { ExternalModules } from './external/external-modules.ts'
import { type Hosts, modulesOf, optionsOf } from './hosts.ts'
import type { Listeners, ListenersChange } from './listeners.ts'
import { type Logger, logFileOf, logLevelOf, reopenLog, setLogLevel } from './log.ts'
import { changedOptions, type HostChange, isOfCertificate, type VirtualHost } from './virtual-host.ts'

/** What a change of an option does: works at once, for new connections, only behind a restart; or a part below knows it. */
type Effect = 'applied' | 'new connections' | 'restart' | 'part'

type ServerOption = Exclude<keyof Config, keyof HostOptions>

/** Complete: a new option is not forgotten here. Those of hosts are compared host by host. */
const effects: Readonly<Record<ServerOption, Effect>> = {
  hosts: 'part',
  data_dir: 'restart',
  loglevel: 'part',
  log_file: 'part',
  listen: 'part',
  control: 'part',
  modules: 'part',
  external_modules: 'part',
  services: 'part',
  host_config: 'part',
  resource_conflict: 'applied',
  max_user_sessions: 'applied',
  auth_attempts: 'applied',
  bind_attempts: 'applied',
  tls_handshake_timeout: 'new connections',
  state_timeout: 'applied',
  negotiation_timeout: 'new connections',
  send_timeout: 'new connections',
  close_timeout: 'new connections',
  ping_interval: 'applied',
  ping_timeout: 'applied',
  resume_timeout: 'applied',
  ack_timeout: 'applied',
  max_unacked: 'applied',
  max_unacked_bytes: 'applied',
  max_output_bytes: 'new connections',
  max_mailbox: 'new connections',
  max_mailbox_bytes: 'new connections',
  max_directed: 'applied',
  connections_per_address: 'applied',
  disable_sasl_scram_downgrade_protection: 'applied',
  max_user_sessions_action: 'applied',
  failed_login_delay: 'applied',
  trusted_proxies: 'applied',
  failed_logins_per_minute: 'applied',
  iq_needs_presence: 'applied',
  hook_timeout: 'applied',
}

/** The parts of the server that a configuration changes. */
export interface Reloadable {
  readonly hosts: Hosts
  readonly modules: ModuleManager
  readonly external: ExternalModules
  readonly services: ServiceManager
  readonly listeners: Listeners
  readonly control: Control
  readonly hooks: HookRegistry
  readonly log: Logger
  /** The configuration that the server runs with. */
  current(): Config
  setCurrent(config: Config): void
}

interface Lists {
  readonly applied: string[]
  readonly newConnections: string[]
  readonly restart: string[]
  readonly failed: string[]
}

/** What reloading would do, without doing it. */
export async function planReload(server: Reloadable, config: Config): Promise<ReloadReport> {
  return plan(server, config, await server.external.all(config.external_modules))
}

function plan(server: Reloadable, config: Config, external: readonly ModuleSpec[]): ReloadReport {
  const lists: Lists = { applied: [], newConnections: [], restart: [], failed: [] }
  options(server, config, lists)
  const { added, removed, changed, later } = server.listeners.difference(config.listen)
  const place = ({ ip, port }: { readonly ip: string; readonly port: number }) => `${ip} ${port}`
  lists.applied.push(...added.map(([, entry]) => `listen: ${place(entry)} opened`))
  lists.applied.push(...removed.map(({ entry }) => `listen: ${place(entry)} closed`))
  lists.newConnections.push(...changed.map(({ entry }) => `listen: ${place(entry)} changed`))
  lists.restart.push(...later.map(({ entry }) => `listen: backlog of ${place(entry)}`))
  const control = server.control.difference(config.control)
  lists.applied.push(...control.opened.map((path) => `control: ${path} opened`))
  lists.applied.push(...control.closed.map((path) => `control: ${path} closed`))
  lists.newConnections.push(...control.changed.map((path) => `control: ${path} changed`))
  for (const name of server.hosts.names) {
    if (!config.hosts.includes(name)) lists.applied.push(`hosts: ${name} removed`)
  }
  for (const name of new Set(config.hosts)) {
    const host = server.hosts.get(name)
    if (!host) {
      lists.applied.push(`hosts: ${name} added`)
      continue
    }
    ofHost(host, config, lists)
    const { stop, start, reload } = server.modules.difference(name, modulesOf(config, name), external)
    lists.applied.push(...stop.map((module) => `modules: ${module} stopped on ${name}`))
    lists.applied.push(...start.map((module) => `modules: ${module} started on ${name}`))
    lists.applied.push(...reload.map((module) => `modules: ${module} reloaded on ${name}`))
  }
  const { stop, start, reload } = server.services.difference(config.services)
  lists.applied.push(...stop.map((service) => `services: ${service} stopped`))
  lists.applied.push(...start.map((service) => `services: ${service} started`))
  lists.applied.push(...reload.map((service) => `services: ${service} reloaded`))
  return lists
}

function options({ current, log }: Reloadable, config: Config, lists: Lists): void {
  const before = current()
  for (const name of Object.keys(effects) as ServerOption[]) {
    if (isDeepStrictEqual(before[name], config[name])) continue
    if (effects[name] === 'applied') lists.applied.push(name)
    if (effects[name] === 'new connections') lists.newConnections.push(name)
    if (effects[name] === 'restart') lists.restart.push(name)
  }
  if (logLevelOf(log) !== config.loglevel) lists.applied.push(`loglevel: ${config.loglevel}`)
  if (logFileOf(log) !== config.log_file) {
    const both = logFileOf(log) !== undefined && config.log_file !== undefined
    if (both) lists.applied.push(`log_file: ${config.log_file}`)
    else lists.restart.push('log_file')
  }
}

function ofHost(host: VirtualHost, config: Config, lists: Lists): void {
  const changed = changedOptions(host.options, optionsOf(config, host.name))
  for (const option of changed) {
    if (isOfCertificate(option)) lists.newConnections.push(`${option} of ${host.name}`)
    else lists.applied.push(`${option} of ${host.name}`)
  }
}

/** Rejects with an Error, and nothing is changed, when something that the configuration needs cannot be had. */
export async function reload(server: Reloadable, config: Config): Promise<ReloadReport> {
  const external = await server.external.all(config.external_modules)
  const report = plan(server, config, external)
  const prepared = await prepare(server, config)
  // What follows is meant to succeed; what does not is said, and the rest goes on.
  const attempt = async (what: string, work: () => void | Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      const { message } = error as Error
      server.log.error({ what, reason: message }, 'a part of the new configuration could not be put in place')
      report.failed.push(`${what}: ${message}`)
    }
  }
  server.setCurrent(config)
  setLogLevel(server.log, config.loglevel)
  if (logFileOf(server.log) !== undefined && config.log_file !== undefined) {
    await attempt('log_file', () => void reopenLog(server.log, config.log_file))
  }
  await attempt('listen', () => prepared.listeners.commit())
  for (const name of [...server.hosts.names].reverse()) {
    if (!config.hosts.includes(name)) await attempt(`host ${name}`, () => server.hosts.down(name))
  }
  for (const { change } of prepared.changed) change.commit()
  server.modules.setExternal(external)
  for (const name of server.hosts.names) {
    const wanted = modulesOf(config, name)
    await changeModules(server.modules, name, wanted, attempt)
  }
  for (const host of prepared.added) {
    await attempt(`host ${host.name}`, () => server.hosts.up(host, modulesOf(config, host.name)))
  }
  await changeServices(server.services, config, attempt)
  await server.hooks.run('config_reloaded', '', {})
  return report
}

interface Prepared {
  readonly added: readonly VirtualHost[]
  readonly changed: readonly { readonly change: HostChange }[]
  readonly listeners: ListenersChange
}

async function prepare({ hosts, listeners, control }: Reloadable, config: Config): Promise<Prepared> {
  const added: VirtualHost[] = []
  const changed: { change: HostChange }[] = []
  let ports: ListenersChange | undefined
  try {
    for (const name of new Set(config.hosts)) {
      const host = hosts.get(name)
      const own = optionsOf(config, name)
      if (!host) added.push(await hosts.open(name, own))
      else if (changedOptions(host.options, own).length > 0) changed.push({ change: await host.prepare(own) })
    }
    ports = await listeners.prepare(config.listen)
    await control.change(config.control)
    return { added, changed, listeners: ports }
  } catch (error) {
    ports?.discard()
    for (const host of added) await host.close()
    for (const { change } of changed) await change.discard()
    throw error
  }
}

type Attempt = (what: string, work: () => void | Promise<void>) => Promise<void>

/** Has exactly these modules run on a host. */
export async function changeModules(
  modules: ModuleManager,
  host: string,
  wanted: Readonly<Record<string, ModuleOptions>>,
  attempt: Attempt,
): Promise<void> {
  const { stop, start, reload: changed }: ModuleDifference = modules.difference(host, wanted)
  for (const name of stop) await modules.stop(host, name)
  for (const name of changed) {
    await attempt(`${name} on ${host}`, () => modules.reload(host, name, wanted[name] ?? null))
  }
  for (const name of start) {
    await attempt(`${name} on ${host}`, () => modules.start(host, name, wanted[name] ?? null))
  }
}

async function changeServices(services: ServiceManager, config: Config, attempt: Attempt): Promise<void> {
  const { stop, start, reload: changed } = services.difference(config.services)
  for (const name of stop) await services.stop(name)
  for (const name of changed) await attempt(name, () => services.reload(name, config.services[name] ?? null))
  for (const name of start) await attempt(name, () => services.start(name, config.services[name] ?? null))
}
