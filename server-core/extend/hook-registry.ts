/**
 * Runs hooks: lower numbers first, equal ones in the order of adding. A handler that throws, or does not answer in time, is
 * logged and counted, and the next one runs with the accumulator unchanged.
 */
import type { Logger } from '../log.ts'
import { Element } from '../xml/element.ts'
import { Stanza } from '../xmpp/stanza.ts'
import { type Acc, type HookListener, type HookName, type HookTracer, type Info, Stop } from './hooks.ts'
import { within } from './within.ts'

interface Entry {
  readonly seq: number
  readonly owner: string
  readonly handler: (acc: unknown, info: unknown) => unknown
}

const nobody: readonly Entry[] = []

/** So many failures of one handler are logged in so many milliseconds; the others are only counted. */
const failuresLogged = 10
const failureWindow = 10_000

/** How often the handlers of one module have failed in one hook. */
export interface HookFailures {
  readonly hook: string
  readonly module: string
  readonly count: number
}

interface Failures {
  readonly hook: string
  readonly module: string
  count: number
  windowBegan: number
  inWindow: number
}

export interface HookOptions {
  /** How long a handler that waits may take, in milliseconds; looked at each time. */
  readonly handlerTimeout: number
}

/**
 * The hooks of a server. Host hooks are kept by host, global ones under ''. A hook that nobody listens to costs one look-up;
 * one whose handlers all answer at once gives its result at once, not in a promise.
 */
export class HookRegistry {
  readonly #entries = new Map<string, Map<string, readonly Entry[]>>()
  readonly #log: Logger
  readonly #options: HookOptions
  readonly #tracers = new Set<HookTracer>()
  readonly #failures = new Map<string, Failures>()

  constructor(log: Logger, options: HookOptions = { handlerTimeout: 30_000 }) {
    this.#log = log
    this.#options = options
  }

  /** Adds a handler; adding the same again does nothing. Returns what takes it away. */
  add<N extends HookName>(name: N, host: string, handler: HookListener<N>, seq = 50, owner = ''): () => void {
    const entry: Entry = { seq, owner, handler: handler as Entry['handler'] }
    let hosts = this.#entries.get(name)
    if (!hosts) {
      hosts = new Map()
      this.#entries.set(name, hosts)
    }
    const list = hosts.get(host) ?? nobody
    if (!list.some((other) => other.handler === entry.handler && other.seq === seq)) {
      hosts.set(
        host,
        [...list, entry].sort((a, b) => a.seq - b.seq),
      )
    }
    return () => this.delete(name, host, handler, seq)
  }

  delete<N extends HookName>(name: N, host: string, handler: HookListener<N>, seq = 50): void {
    const hosts = this.#entries.get(name)
    const list = hosts?.get(host)
    if (!hosts || !list) return
    const left = list.filter((entry) => entry.handler !== handler || entry.seq !== seq)
    if (left.length > 0) hosts.set(host, left)
    else hosts.delete(host)
  }

  /** How long a handler that waits may take, in milliseconds. */
  get handlerTimeout(): number {
    return this.#options.handlerTimeout
  }

  /** Whether anybody listens, for callers that can spare making the arguments. */
  has(name: HookName, host: string): boolean {
    return this.#tracers.size > 0 || (this.#entries.get(name)?.has(host) ?? false)
  }

  /** Tells a tracer of every run of every hook, until what this returns is called. */
  trace(tracer: HookTracer): () => void {
    this.#tracers.add(tracer)
    return () => this.#tracers.delete(tracer)
  }

  /** How many handlers an owner has: modules that stopped must have none. */
  ownedBy(owner: string): number {
    let count = 0
    for (const hosts of this.#entries.values()) {
      for (const list of hosts.values()) count += list.filter((entry) => entry.owner === owner).length
    }
    return count
  }

  /** Runs the handlers of a host in turn; the result is the accumulator that the last one, or `stop`, left. */
  fold<N extends HookName>(name: N, host: string, acc: Acc<N>, info: Info<N>): Acc<N> | Promise<Acc<N>> {
    const list = this.#entries.get(name)?.get(host)
    if (list === undefined && this.#tracers.size === 0) return acc
    const result = this.#all(name, host, list ?? nobody, acc, info)
    if (result instanceof Promise) return result.then((end) => end.acc as Acc<N>)
    return result.acc as Acc<N>
  }

  /** Tells everybody; true when a handler ended it with `stop`: it has taken care. */
  run<N extends HookName>(name: N, host: string, info: Info<N>): boolean | Promise<boolean> {
    const list = this.#entries.get(name)?.get(host)
    if (list === undefined && this.#tracers.size === 0) return false
    const result = this.#all(name, host, list ?? nobody, undefined, info)
    return result instanceof Promise ? result.then((end) => end.stopped) : result.stopped
  }

  #all(name: string, host: string, list: readonly Entry[], acc: unknown, info: unknown): End | Promise<End> {
    if (this.#tracers.size === 0) return this.#from(name, list, 0, acc, info)
    this.#tell((tracer) => tracer.before?.(name, host, acc, info))
    const result = this.#from(name, list, 0, acc, info)
    const after = (end: End): End => {
      this.#tell((tracer) => tracer.after?.(name, host, end.acc, end.stopped))
      return end
    }
    return result instanceof Promise ? result.then(after) : after(result)
  }

  #tell(what: (tracer: HookTracer) => void): void {
    for (const tracer of this.#tracers) {
      try {
        what(tracer)
      } catch (err) {
        this.#log.error({ err }, 'a tracer of hooks failed')
      }
    }
  }

  #from(
    name: string,
    list: readonly Entry[],
    start: number,
    acc: unknown,
    info: unknown,
  ): End | Promise<End> {
    for (let i = start; i < list.length; i++) {
      const entry = list[i] as Entry
      let result: unknown
      try {
        result = entry.handler(acc, info)
      } catch (error) {
        this.#failed(name, entry, error)
        continue
      }
      if (result === undefined) continue
      if (result instanceof Promise) return this.#later(name, list, i, acc, info, result)
      const end = this.#taken(name, entry, acc, result)
      if (end.stopped) return end
      acc = end.acc
    }
    return { acc, stopped: false }
  }

  /** What a handler's result means for those behind it. */
  #taken(name: string, entry: Entry, acc: unknown, result: unknown): End {
    const value = result instanceof Stop ? result.value : result
    if (!mayFollow(acc, value)) {
      this.#failed(name, entry, new TypeError(`${kindOf(value)} was returned in place of ${kindOf(acc)}`))
      return { acc, stopped: false }
    }
    if (result === undefined || (result === null && acc === undefined)) return { acc, stopped: false }
    return { acc: value, stopped: result instanceof Stop || result === null }
  }

  async #later(
    name: string,
    list: readonly Entry[],
    i: number,
    acc: unknown,
    info: unknown,
    pending: Promise<unknown>,
  ): Promise<End> {
    try {
      const result = await within(this.handlerTimeout, pending)
      const end = this.#taken(name, list[i] as Entry, acc, result)
      if (end.stopped) return end
      acc = end.acc
    } catch (error) {
      this.#failed(name, list[i] as Entry, error)
    }
    return this.#from(name, list, i + 1, acc, info)
  }

  /** All that have failed since the start. */
  get failures(): Iterable<HookFailures> {
    return this.#failures.values()
  }

  /** A handler on the path of every message may fail as often: its log must not drown the rest. */
  #failed(hook: string, { owner: module }: Entry, err: unknown): void {
    const key = `${hook} ${module}`
    let failures = this.#failures.get(key)
    if (!failures) {
      failures = { hook, module, count: 0, windowBegan: 0, inWindow: 0 }
      this.#failures.set(key, failures)
    }
    failures.count++
    const now = performance.now()
    if (failures.inWindow === 0 || now - failures.windowBegan >= failureWindow) {
      failures.windowBegan = now
      failures.inWindow = 0
    }
    if (++failures.inWindow > failuresLogged) return
    this.#log.error(
      { hook, module, failures: failures.count, err },
      'a hook handler failed; the others go on',
    )
  }
}

interface End {
  readonly acc: unknown
  readonly stopped: boolean
}

/**
 * Whether a value can take the place of an accumulator: whoever ran the hook works with it, and must not fall over another
 * one's mistake. null is for packets only; hooks that tell have no accumulator, and what their handlers return is nothing.
 */
function mayFollow(acc: unknown, value: unknown): boolean {
  if (value === undefined || acc === undefined) return true
  if (value === null || acc === null) return acc === null || acc instanceof Stanza || acc instanceof Element
  if (acc instanceof Stanza) return value instanceof Stanza
  if (acc instanceof Element) return value instanceof Element
  return typeof acc === typeof value && Array.isArray(acc) === Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value !== 'object' || value === null) return `${value}`
  return value instanceof Stanza ? 'a stanza' : value instanceof Element ? 'an element' : 'an object'
}
