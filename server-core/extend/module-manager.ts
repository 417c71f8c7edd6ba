/** Starts, stops and reloads the modules of each host (server-behaviour: modules). */
import { isDeepStrictEqual } from 'node:util'
import { byText } from '../admin/order.ts'
import type { Fields, Values } from '../config/fields.ts'
import { nearest } from '../config/nearest.ts'
import type { Logger } from '../log.ts'
import type { Router } from '../routing/router.ts'
import type { Sessions } from '../routing/session.ts'
import type { Storage } from '../storage/storage.ts'
import { type CommandSpec, checkCommand } from './command.ts'
import type { IqHandlers } from './gen-iq-handler.ts'
import type { HostContext, ModuleSpec } from './gen-mod.ts'
import type { HookRegistry } from './hook-registry.ts'
import { hookNames } from './hooks.ts'
import { moduleStore } from './module-store.ts'
import type { Provided } from './provided.ts'
import { Registrar } from './registrar.ts'
import {
  checkOptions,
  StartError,
  startOrder,
  startTimeout,
  stopTimeout,
  unknownName,
} from './start-order.ts'
import { every, later } from './timer.ts'
import { Turns } from './turns.ts'
import { within } from './within.ts'

export type ModuleOptions = Readonly<Record<string, unknown>> | null

/** What the modules of all hosts work with. */
export interface ModuleEnvironment {
  readonly table: readonly ModuleSpec[]
  /** Of this program. */
  readonly version: string
  readonly storage: Storage
  readonly sessions: Sessions
  readonly router: Router
  readonly iqs: IqHandlers
  readonly hooks: HookRegistry
  readonly log: Logger
  accountExists(user: string, host: string): Promise<boolean>
  /** Adds a command for that host; returns what takes it away. */
  addCommand(spec: CommandSpec, host: string): () => void
}

/** Names of modules. */
export interface ModuleDifference {
  readonly stop: readonly string[]
  readonly start: readonly string[]
  readonly reload: readonly string[]
}

interface Loaded {
  readonly spec: ModuleSpec
  /** As they were given. */
  given: ModuleOptions
  options: Values<Fields>
  readonly context: HostContext
  readonly registrar: Registrar
  readonly ending: AbortController
}

export class ModuleManager {
  /** In the order of their start. */
  readonly #loaded = new Map<string, Map<string, Loaded>>()
  readonly #provided = new Map<string, Partial<Provided>>()
  /** Two administrators at once must not start one module twice: one change of a host after the other. */
  readonly #turns = new Turns()
  readonly #env: ModuleEnvironment
  #external: ReadonlyMap<string, ModuleSpec> = new Map()

  constructor(env: ModuleEnvironment) {
    this.#env = env
  }

  /** All that there are, by name: the server's own and those of others. */
  get known(): readonly ModuleSpec[] {
    const all = [...this.#env.table, ...this.#external.values()]
    return all.sort((one, other) => byText(one.name, other.name))
  }

  /** Modules of others. */
  get external(): readonly ModuleSpec[] {
    return [...this.#external.values()]
  }

  /** Modules of others. Those that run already go on as they are until they are reloaded. */
  setExternal(specs: readonly ModuleSpec[]): void {
    this.#external = new Map(specs.map((spec) => [spec.name, spec]))
  }

  /** Starts a host's modules, those first that others need. The first that fails ends it; throws StartError. */
  async startAll(host: string, wanted: Readonly<Record<string, ModuleOptions>>): Promise<void> {
    const specs = Object.keys(wanted).map((name) => this.#spec(name))
    for (const spec of startOrder(specs)) await this.start(host, spec.name, wanted[spec.name] ?? null)
  }

  #spec(name: string, external: ReadonlyMap<string, ModuleSpec> = this.#external): ModuleSpec {
    const spec = this.#env.table.find((other) => other.name === name) ?? external.get(name)
    if (!spec) throw unknownName('module', name, this.known)
    return spec
  }

  start(host: string, name: string, options: ModuleOptions): Promise<void> {
    return this.#turns.take(host, () => this.#start(host, name, options))
  }

  async #start(
    host: string,
    name: string,
    options: ModuleOptions,
    spec: ModuleSpec = this.#spec(name),
  ): Promise<void> {
    const modules = this.#of(host)
    if (modules.has(name)) throw new StartError(`${name} runs on ${host} already`)
    const checked = this.#checked(host, spec, options)
    const log = this.#env.log.child({ module: name, host })
    const registrar = new Registrar(`${name} on ${host}`, log, stopTimeout)
    const ending = new AbortController()
    const context = this.#context(host, name, log, registrar, ending.signal)
    try {
      await within(startTimeout, spec.start(context, checked))
    } catch (error) {
      ending.abort()
      await registrar.undoAll()
      throw new StartError(`${name} on ${host} did not start: ${(error as Error).message}`, { cause: error })
    }
    modules.set(name, { spec, given: options, options: checked, context, registrar, ending })
  }

  /** The options with their defaults. Throws StartError when they are wrong, or what it needs does not run. */
  #checked(host: string, spec: ModuleSpec, options: ModuleOptions): Values<Fields> {
    for (const needed of spec.requires ?? []) {
      if (this.#of(host).has(needed)) continue
      throw new StartError(`${spec.name} needs ${needed}, which does not run on ${host}`)
    }
    return checkOptions(spec, options)
  }

  /** False when it did not run. */
  stop(host: string, name: string): Promise<boolean> {
    return this.#turns.take(host, () => this.#stop(host, name))
  }

  async #stop(host: string, name: string): Promise<boolean> {
    const loaded = this.#of(host).get(name)
    if (!loaded) return false
    this.#of(host).delete(name)
    loaded.ending.abort()
    try {
      await within(stopTimeout, loaded.spec.stop?.(loaded.context))
    } catch (err) {
      loaded.context.log.error({ err }, 'a module failed to stop')
    }
    await loaded.registrar.undoAll()
    return true
  }

  /**
   * New options, or new code, for a module that runs: options by its own reload; else, and for new code, by stopping and
   * starting it. When it does not start, it runs on as it was.
   */
  reload(host: string, name: string, options: ModuleOptions): Promise<void> {
    return this.#turns.take(host, () => this.#reload(host, name, options))
  }

  async #reload(host: string, name: string, options: ModuleOptions): Promise<void> {
    const loaded = this.#of(host).get(name)
    if (!loaded) throw new StartError(`${name} does not run on ${host}`)
    const spec = this.#spec(name)
    const checked = this.#checked(host, spec, options)
    if (spec === loaded.spec && spec.reload) {
      await within(startTimeout, spec.reload(loaded.context, checked, loaded.options))
      loaded.given = options
      loaded.options = checked
      return
    }
    await this.#replace(host, loaded, spec, options)
  }

  /** Stops a module that runs and starts it again with the options that it has. */
  restart(host: string, name: string): Promise<void> {
    return this.#turns.take(host, async () => {
      const loaded = this.#of(host).get(name)
      if (!loaded) throw new StartError(`${name} does not run on ${host}`)
      await this.#replace(host, loaded, this.#spec(name), loaded.given)
    })
  }

  async #replace(host: string, loaded: Loaded, spec: ModuleSpec, options: ModuleOptions): Promise<void> {
    this.#checked(host, spec, options)
    await this.#stop(host, spec.name)
    try {
      await this.#start(host, spec.name, options, spec)
    } catch (error) {
      await this.#startAgain(host, loaded, error as Error)
      throw error
    }
  }

  async #startAgain(host: string, { spec, given }: Loaded, { message }: Error): Promise<void> {
    try {
      await this.#start(host, spec.name, given, spec)
    } catch (error) {
      throw new StartError(`${message}; nor does it start again as it was: ${(error as Error).message}`)
    }
  }

  /** Last first. */
  async stopAll(host: string): Promise<void> {
    for (const name of [...this.#of(host).keys()].reverse()) await this.stop(host, name)
  }

  /**
   * What has to be done so that exactly these modules run, with these options and, where it is other people's, this code: each
   * list in the order of doing.
   */
  difference(
    host: string,
    wanted: Readonly<Record<string, ModuleOptions>>,
    external: readonly ModuleSpec[] = this.external,
  ): ModuleDifference {
    const running = this.#of(host)
    const byName = new Map(external.map((spec) => [spec.name, spec]))
    const specs = startOrder(Object.keys(wanted).map((name) => this.#spec(name, byName)))
    return {
      stop: [...running.keys()].reverse().filter((name) => !Object.hasOwn(wanted, name)),
      start: specs.map(({ name }) => name).filter((name) => !running.has(name)),
      reload: specs
        .filter((spec) => {
          const loaded = running.get(spec.name)
          if (!loaded) return false
          return loaded.spec !== spec || !isDeepStrictEqual(loaded.given ?? {}, wanted[spec.name] ?? {})
        })
        .map(({ name }) => name),
    }
  }

  /** The options that a module was given; undefined when it does not run. */
  given(host: string, name: string): ModuleOptions | undefined {
    return this.#of(host).get(name)?.given
  }

  isLoaded(host: string, name: string): boolean {
    return this.#of(host).has(name)
  }

  loaded(host: string): readonly string[] {
    return [...this.#of(host).keys()]
  }

  /** What a module of that host provides. */
  provided<K extends keyof Provided>(host: string, name: K): Provided[K] | undefined {
    return this.#provided.get(host)?.[name]
  }

  #of(host: string): Map<string, Loaded> {
    let modules = this.#loaded.get(host)
    if (!modules) {
      modules = new Map()
      this.#loaded.set(host, modules)
    }
    return modules
  }

  /** A module that does not answer holds up whoever sent it something no longer than a hook may. */
  #limited(done: void | Promise<void>): void | Promise<void> {
    return done instanceof Promise ? within(this.#env.hooks.handlerTimeout, done) : done
  }

  /** Everything that a module can do; what it registers is taken back when it stops. */
  #context(host: string, owner: string, log: Logger, registrar: Registrar, signal: AbortSignal): HostContext {
    const { hooks, iqs, router, sessions, storage } = this.#env
    const provided = this.#provided.get(host) ?? {}
    this.#provided.set(host, provided)
    const context: HostContext = {
      host,
      version: this.#env.version,
      log,
      storage,
      store: (schema) => moduleStore(storage.moduleData, { module: owner, user: '', host }, schema),
      storeOf: (user, schema) => {
        if (user === '') throw new TypeError('an account has a user; store() is for the host')
        return moduleStore(storage.moduleData, { module: owner, user, host }, schema)
      },
      sessions,
      accountExists: (user) => this.#env.accountExists(user, host),
      isLoaded: (module) => this.isLoaded(host, module),
      loadedModules: () => this.loaded(host),
      route: (stanza) => router.route(stanza),
      request: (stanza) => router.request(stanza),
      hook: (name, handler, seq) => {
        hintAtName(name, log)
        return registrar.add(hooks.add(name, host, handler, seq, owner))
      },
      globalHook: (name, handler, seq) => {
        hintAtName(name, log)
        return registrar.add(hooks.add(name, '', handler, seq, owner))
      },
      traceHooks: (tracer) => registrar.add(hooks.trace(tracer)),
      fold: (name, acc, info) => hooks.fold(name, host, acc, info),
      run: (name, info) => hooks.run(name, host, info),
      iq: (component, namespace, handler, discipline) =>
        registrar.add(iqs.add(component, host, namespace, handler, discipline)),
      feature: (component, ...namespaces) => {
        const hook = component === 'local' ? 'disco_local_features' : 'disco_sm_features'
        return context.hook(hook, (list, { node }) => (node === '' ? [...list, ...namespaces] : list))
      },
      localRoute: (domain, handler) =>
        registrar.add(router.registerLocalRoute(domain, (stanza) => this.#limited(handler(stanza)))),
      command: (spec) => {
        checkCommand(spec)
        return registrar.add(this.#env.addCommand(spec, host))
      },
      provide: (name, value) => {
        provided[name] = value
        return registrar.add(() => {
          if (provided[name] === value) delete provided[name]
        })
      },
      provided: (name) => provided[name],
      every: (ms, call) => registrar.add(every(ms, call, log)),
      later: (ms, call) => {
        const undo = registrar.add(
          later(
            ms,
            () => {
              undo()
              return call()
            },
            log,
          ),
        )
        return undo
      },
      onStop: (undo) => registrar.add(undo),
      signal,
    }
    return context
  }
}

/** Modules may have hooks of their own: only a name that looks like a known one is worth a word. */
function hintAtName(name: string, log: Logger): void {
  const near = hookNames.includes(name) ? undefined : nearest(name, hookNames)
  if (near !== undefined) log.warn({ hook: name }, `there is no hook ${name}; is ${near} meant?`)
}
