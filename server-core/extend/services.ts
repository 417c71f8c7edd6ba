/**
 * Services: started once for the whole server, before the modules, and stopped after them. The contract is a module's,
 * without a host.
 */
import type { AdminServer } from '../admin/admin-server.ts'
import type { Fields, Values } from '../config/fields.ts'
import type { Logger } from '../log.ts'
import type { Storage } from '../storage/storage.ts'
import type { CommandSpec } from './command.ts'
import type { HookListener, HookName } from './hooks.ts'
import type { ProvidedByServices } from './provided.ts'
import type { Undo } from './registrar.ts'

export interface ServiceContext {
  readonly log: Logger
  readonly storage: Storage
  readonly admin: AdminServer
  /** A hook of the whole server. */
  hook<N extends HookName>(name: N, handler: HookListener<N>, seq?: number): Undo
  command(spec: CommandSpec): Undo
  provide<K extends keyof ProvidedByServices>(name: K, value: ProvidedByServices[K]): Undo
  provided<K extends keyof ProvidedByServices>(name: K): ProvidedByServices[K] | undefined
  /** Calls again and again; never twice at the same time. */
  every(ms: number, call: () => void | Promise<void>): Undo
  onStop(undo: Undo): Undo
}

/** `start(...)` in method form, so that a ServiceSpec of particular options fits into a table of all. */
export interface ServiceSpec<F extends Fields = Fields> {
  readonly name: `service_${string}`
  readonly doc: string
  readonly options: F
  /** Started before it, with their defaults when they are not configured. */
  readonly requires?: readonly string[]
  readonly after?: readonly string[]
  start(service: ServiceContext, options: Values<F>): void | Promise<void>
  stop?(service: ServiceContext): void | Promise<void>
  reload?(service: ServiceContext, now: Values<F>, before: Values<F>): void | Promise<void>
}

/** Returns its argument; it is there so that the types of `options` reach `start`. */
export function defineService<F extends Fields>(spec: ServiceSpec<F>): ServiceSpec {
  return spec as unknown as ServiceSpec
}
