/** Starts services once, before the modules, and stops them after those (server-behaviour: services). */
import { isDeepStrictEqual } from 'node:util'
import type { AdminServer } from '../admin/admin-server.ts'
import type { Fields, Values } from '../config/fields.ts'
import type { Logger } from '../log.ts'
import type { Storage } from '../storage/storage.ts'
import type { CommandSpec } from './command.ts'
import type { HookRegistry } from './hook-registry.ts'
import type { ProvidedByServices } from './provided.ts'
import { Registrar } from './registrar.ts'
import type { ServiceContext, ServiceSpec } from './services.ts'
import {
  checkOptions,
  StartError,
  startOrder,
  startTimeout,
  stopTimeout,
  unknownName,
} from './start-order.ts'
import { every } from './timer.ts'
import { within } from './within.ts'

export type ServiceOptions = Readonly<Record<string, unknown>> | null

export interface ServiceEnvironment {
  readonly table: readonly ServiceSpec[]
  readonly storage: Storage
  readonly hooks: HookRegistry
  readonly admin: AdminServer
  readonly log: Logger
  addCommand(spec: CommandSpec): () => void
}

/** Names of services. */
export interface ServiceDifference {
  readonly stop: readonly string[]
  readonly start: readonly string[]
  readonly reload: readonly string[]
}

interface Loaded {
  readonly spec: ServiceSpec
  readonly given: ServiceOptions
  readonly options: Values<Fields>
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
    for (const spec of this.#closure(wanted)) await this.#start(spec, wanted[spec.name] ?? null)
  }

  /** What is wanted and what that needs, in the order of their start. */
  #closure(wanted: Readonly<Record<string, ServiceOptions>>): readonly ServiceSpec[] {
    const specs = new Map<string, ServiceSpec>()
    const want = (name: string, by: string | undefined): void => {
      if (specs.has(name)) return
      const spec = this.#env.table.find((other) => other.name === name)
      if (!spec) throw unknownName('service', name, this.#env.table)
      if (by && !(name in wanted)) this.#env.log.info({ service: name }, `started because ${by} needs it`)
      specs.set(name, spec)
      for (const needed of spec.requires ?? []) want(needed, name)
    }
    for (const name of Object.keys(wanted)) want(name, undefined)
    return startOrder([...specs.values()])
  }

  /** What has to be done so that exactly these services run, with these options: each list in the order of doing. */
  difference(wanted: Readonly<Record<string, ServiceOptions>>): ServiceDifference {
    const names: string[] = this.#closure(wanted).map(({ name }) => name)
    return {
      stop: [...this.#loaded.keys()].reverse().filter((name) => !names.includes(name)),
      start: names.filter((name) => !this.#loaded.has(name)),
      reload: names.filter((name) => {
        const loaded = this.#loaded.get(name)
        return loaded && !isDeepStrictEqual(loaded.given ?? {}, wanted[name] ?? {})
      }),
    }
  }

  /** Throws StartError. */
  async start(name: string, options: ServiceOptions): Promise<void> {
    const spec = this.#env.table.find((other) => other.name === name)
    if (!spec) throw unknownName('service', name, this.#env.table)
    if (this.#loaded.has(name)) throw new StartError(`${name} runs already`)
    await this.#start(spec, options)
  }

  /**
   * New options for a service that runs: by its own reload, else by stopping and starting it. When it does not start with
   * them, it runs on with those that it had.
   */
  async reload(name: string, options: ServiceOptions): Promise<void> {
    const loaded = this.#loaded.get(name)
    if (!loaded) throw new StartError(`${name} does not run`)
    const { spec, context, given } = loaded
    const checked = checkOptions(spec, options)
    if (spec.reload) {
      await within(startTimeout, spec.reload(context, checked, loaded.options))
      this.#loaded.set(name, { ...loaded, given: options, options: checked })
      return
    }
    await this.stop(name)
    try {
      await this.#start(spec, options)
    } catch (error) {
      await this.#start(spec, given)
      throw error
    }
  }

  async #start(spec: ServiceSpec, options: ServiceOptions): Promise<void> {
    const log = this.#env.log.child({ service: spec.name })
    const registrar = new Registrar(spec.name, log, stopTimeout)
    const context = this.#context(spec.name, log, registrar)
    const checked = checkOptions(spec, options)
    try {
      await within(startTimeout, spec.start(context, checked))
    } catch (error) {
      await registrar.undoAll()
      if (error instanceof StartError) throw error
      throw new StartError(`${spec.name} did not start: ${(error as Error).message}`, { cause: error })
    }
    this.#loaded.set(spec.name, { spec, given: options, options: checked, context, registrar })
  }

  async stopAll(): Promise<void> {
    for (const name of [...this.#loaded.keys()].reverse()) await this.stop(name)
  }

  /** False when it did not run. */
  async stop(name: string): Promise<boolean> {
    const loaded = this.#loaded.get(name)
    if (!loaded) return false
    const { spec, context, registrar } = loaded
    this.#loaded.delete(name)
    try {
      await within(stopTimeout, spec.stop?.(context))
    } catch (err) {
      context.log.error({ err }, 'a service failed to stop')
    }
    await registrar.undoAll()
    return true
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
        return registrar.add(() => {
          if (provided[name] === value) delete provided[name]
        })
      },
      provided: (name) => provided[name],
      every: (ms, call) => registrar.add(every(ms, call, log)),
      onStop: (undo) => registrar.add(undo),
    }
  }
}
