/**
 * Modules: one per host, with that host's options. A module talks to the server only through the HostContext that it is
 * given; whatever it registers there is taken back when it stops, even if it forgets (Prosody's way). What registers returns
 * what takes that back earlier.
 */
import type { z } from 'zod'
import type { Fields, Values } from '../config/fields.ts'
import type { Logger } from '../log.ts'
import type { Sessions } from '../routing/session.ts'
import type { Storage } from '../storage/storage.ts'
import type { Element } from '../xml/element.ts'
import { prepareHost } from '../xmpp/jid.ts'
import type { Stanza } from '../xmpp/stanza.ts'
import type { CommandSpec } from './command.ts'
import type { IqComponent, IqDiscipline, IqHandler } from './gen-iq-handler.ts'
import type { HookListener, HookName, Hooks, HookTracer } from './hooks.ts'
import type { ModuleStore } from './module-store.ts'
import type { Provided } from './provided.ts'
import type { Undo } from './registrar.ts'

export interface HostContext {
  readonly host: string
  /** Of this program. */
  readonly version: string
  readonly log: Logger
  readonly storage: Storage
  /** What the module keeps for itself on this host, by keys; see module-store.ts. */
  store<T>(schema: z.ZodType<T>): ModuleStore<T>
  /** The same for an account of this host, with which it goes. */
  storeOf<T>(user: string, schema: z.ZodType<T>): ModuleStore<T>
  readonly sessions: Sessions
  /** Whether the host has that account; rejects when that cannot be found out. */
  accountExists(user: string): Promise<boolean>
  /** Whether a module runs on this host. */
  isLoaded(module: string): boolean
  /** The modules of this host, in the order of their start. */
  loadedModules(): readonly string[]
  /** Hands a stanza to the router. */
  route(stanza: Stanza): void | Promise<void>
  /** An IQ of the server's own; resolves with the result's element, rejects with StanzaError or after 32 s. */
  request(stanza: Stanza): Promise<Element>
  /** A hook of this host. */
  hook<N extends HookName>(name: N, handler: HookListener<N>, seq?: number): Undo
  /** A hook of the whole server. */
  globalHook<N extends HookName>(name: N, handler: HookListener<N>, seq?: number): Undo
  /** Sees every run of every hook of the server. */
  traceHooks(tracer: HookTracer): Undo
  /** Runs a hook of this host, where the module is the one that knows when: each handler gets what the last one left. */
  fold<N extends HookName>(
    name: N,
    acc: Hooks[N]['acc'],
    info: Hooks[N]['info'],
  ): Hooks[N]['acc'] | Promise<Hooks[N]['acc']>
  /** The same for a hook that only tells; true when a handler has taken care of it. */
  run<N extends HookName>(name: N, info: Hooks[N]['info']): boolean | Promise<boolean>
  /** The handler of a namespace: for the host (`local`) or for the bare JIDs of its accounts (`sm`). */
  iq(component: IqComponent, namespace: string, handler: IqHandler, discipline?: IqDiscipline): Undo
  /** Feature of the host and of its accounts in service discovery. */
  feature(component: IqComponent, ...namespaces: readonly string[]): Undo
  /** A domain of the module's own. */
  localRoute(domain: string, handler: (stanza: Stanza) => void | Promise<void>): Undo
  command(spec: CommandSpec): Undo
  /** Gives other modules and commands something to call; typed in provided.ts. */
  provide<K extends keyof Provided>(name: K, value: Provided[K]): Undo
  provided<K extends keyof Provided>(name: K): Provided[K] | undefined
  /** Calls again and again, so many milliseconds after the end of the call before; never twice at the same time. */
  every(ms: number, call: () => void | Promise<void>): Undo
  /** Calls once, so many milliseconds from now. */
  later(ms: number, call: () => void | Promise<void>): Undo
  onStop(undo: () => void | Promise<void>): Undo
  /** Aborted when the module stops: for requests to elsewhere that nobody waits for then. */
  readonly signal: AbortSignal
}

/** The option of that name, or the fallback where it is not given. */
export function getOpt<T>(key: string, options: Readonly<Record<string, unknown>>, fallback: T): T {
  const value = options[key]
  return value === undefined ? fallback : (value as T)
}

/** A domain from the option `host`, in which @HOST@ stands for the host; prepared. Throws an Error when it is none. */
export function getOptHost(
  host: string,
  options: Readonly<Record<string, unknown>>,
  fallback: string,
): string {
  const domain = getOpt('host', options, fallback).replaceAll('@HOST@', host)
  const prepared = prepareHost(domain)
  if (prepared === undefined) throw new Error(`${domain} is not a host name`)
  return prepared
}

/** A name for what a module has on a host, unlike that of any other: `base_host`. */
export function getModuleProc(host: string, base: string): string {
  return `${base}_${host}`
}

/** `start(...)` in method form, so that a ModuleSpec of particular options fits into a table of all. */
export interface ModuleSpec<F extends Fields = Fields> {
  readonly name: `mod_${string}`
  readonly doc: string
  readonly options: F
  /** Must run before it; missing is an error. */
  readonly requires?: readonly string[]
  /** Starts behind these when they are there. */
  readonly after?: readonly string[]
  start(host: HostContext, options: Values<F>): void | Promise<void>
  stop?(host: HostContext): void | Promise<void>
  reload?(host: HostContext, now: Values<F>, before: Values<F>): void | Promise<void>
}

/** Returns its argument; it is there so that the types of `options` reach `start`. */
export function defineModule<F extends Fields>(spec: ModuleSpec<F>): ModuleSpec {
  return spec as unknown as ModuleSpec
}
