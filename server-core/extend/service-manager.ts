/** Starts services once, before the modules, and stops them after those (server-behaviour: services). */
import type { AdminServer } from '../admin/admin-server.ts'
import type { Logger } from '../log.ts'
import type { Storage } from '../storage/storage.ts'
import type { CommandSpec } from './command.ts'
import type { HookRegistry } from './hooks.ts'
import type { ProvidedByServices } from './provided.ts'
import { Registrar } from './registrar.ts'
import type { ServiceContext, ServiceSpec } from './services.ts'
import { checkOptions, StartError, startOrder } from './start-order.ts'
import { every } from './timer.ts'

export type ServiceOptions = Readonly<Record<string, unknown>> | null

export interface ServiceEnvironment {
  readonly table: readonly ServiceSpec[]
  readonly storage: Storage
  readonly hooks: HookRegistry
  readonly admin: AdminServer
  readonly log: Logger
  addCommand(spec: CommandSpec): () => void
}

interface Loaded {
  readonly spec: ServiceSpec
  readonly context: ServiceContext
  readonly registrar: Registrar
}

export class ServiceManager {
  readonly #env: ServiceEnvironment
  readonly #loaded = new Map<string, Loaded>()
  readonly #provided: Partial<ProvidedByServices> = {}

  constructor(env: ServiceEnvironment) {
    this.#env = env
  }

  /** Starts what is configured and, with its defaults, what that needs. Throws StartError. */
  async startAll(wanted: Readonly<Record<string, ServiceOptions>>): Promise<void> {
    const specs = new Map<string, ServiceSpec>()
    const want = (name: string, by: string | undefined): void => {
      if (specs.has(name)) return
      const spec = this.#env.table.find((other) => other.name === name)
      if (!spec) throw new StartError(`there is no service ${name}`)
      if (by && !(name in wanted)) this.#env.log.info({ service: name }, `started because ${by} needs it`)
      specs.set(name, spec)
      for (const needed of spec.requires ?? []) want(needed, name)
    }
    for (const name of Object.keys(wanted)) want(name, undefined)
    for (const spec of startOrder([...specs.values()])) await this.#start(spec, wanted[spec.name] ?? null)
  }

  async #start(spec: ServiceSpec, options: ServiceOptions): Promise<void> {
    const log = this.#env.log.child({ service: spec.name })
    const registrar = new Registrar(spec.name, log)
    const context = this.#context(spec.name, log, registrar)
    try {
      await spec.start(context, checkOptions(spec, options))
    } catch (error) {
      await registrar.undoAll()
      if (error instanceof StartError) throw error
      throw new StartError(`${spec.name} did not start: ${(error as Error).message}`, { cause: error })
    }
    this.#loaded.set(spec.name, { spec, context, registrar })
  }

  async stopAll(): Promise<void> {
    for (const { spec, context, registrar } of [...this.#loaded.values()].reverse()) {
      this.#loaded.delete(spec.name)
      try {
        await spec.stop?.(context)
      } catch (err) {
        context.log.error({ err }, 'a service failed to stop')
      }
      await registrar.undoAll()
    }
  }

  loaded(): readonly string[] {
    return [...this.#loaded.keys()]
  }

  #context(owner: string, log: Logger, registrar: Registrar): ServiceContext {
    const { hooks, storage, admin } = this.#env
    const provided = this.#provided
    return {
      log,
      storage,
      admin,
      hook: (name, handler, seq) => registrar.add(hooks.add(name, '', handler, seq, owner)),
      command: (spec) => registrar.add(this.#env.addCommand(spec)),
      provide: (name, value) => {
        provided[name] = value
        registrar.add(() => {
          if (provided[name] === value) delete provided[name]
        })
      },
      provided: (name) => provided[name],
      every: (ms, call) => registrar.add(every(ms, call, log)),
      onStop: (undo) => registrar.add(undo),
    }
  }
}
