/**
 * service_cache: what was looked up a moment ago, so that it is not looked up again. Bounded in number and age; what has not
 * been asked for longest goes first.
 */
import { count, duration } from '../config/fields.ts'
import type { CacheService, Looked } from '../extend/provided.ts'
import { defineService } from '../extend/services.ts'
import { valueKey } from './value-key.ts'

export const serviceCache = defineService({
  name: 'service_cache',
  doc: 'Keeps what other parts have looked up, for a while',
  options: {
    max_entries: count(1, 10_000_000).default(10_000).describe('values that are kept at most'),
    lifetime: duration({ min: 1, infinity: true }).default(300_000).describe('how long a value is kept'),
  },
  start(service, options) {
    const cache = new Cache(options.max_entries, options.lifetime)
    service.provide('cache', cache)
    service.hook('memory_holders', (all) => [
      ...all,
      { name: 'values in the cache', count: cache.size, bytes: undefined },
    ])
    service.onStop(() => cache.clear())
  },
})

export class Cache implements CacheService {
  readonly #kept = new Map<string, { readonly value: unknown; readonly until: number }>()
  readonly #running = new Map<string, Promise<Looked<unknown>>>()
  readonly #maxEntries: number
  readonly #lifetime: number
  readonly #now: () => number

  /** `now` gives milliseconds that only grow. */
  constructor(maxEntries: number, lifetime: number, now: () => number = () => performance.now()) {
    this.#maxEntries = maxEntries
    this.#lifetime = lifetime
    this.#now = now
  }

  /** `find` has its own deadline: whoever asks for the key meanwhile waits with it. */
  async lookup<T>(key: unknown, find: () => Looked<T> | Promise<Looked<T>>): Promise<Looked<T>> {
    const id = valueKey(key)
    const kept = this.#kept.get(id)
    if (kept !== undefined && this.#now() < kept.until) {
      this.#kept.delete(id)
      this.#kept.set(id, kept)
      return { ok: true, value: kept.value as T }
    }
    const running = this.#running.get(id)
    if (running !== undefined) return running as Promise<Looked<T>>
    const found = Promise.resolve().then(find)
    this.#running.set(id, found)
    try {
      const looked = await found
      if (looked.ok && this.#running.get(id) === found) this.#keep(id, looked.value)
      return looked
    } finally {
      if (this.#running.get(id) === found) this.#running.delete(id)
    }
  }

  /** What is being looked up now is not kept either: it may be from before the change. */
  forget(key: unknown): void {
    const id = valueKey(key)
    this.#kept.delete(id)
    this.#running.delete(id)
  }

  clear(): void {
    this.#kept.clear()
    this.#running.clear()
  }

  get size(): number {
    return this.#kept.size
  }

  #keep(id: string, value: unknown): void {
    this.#kept.delete(id)
    this.#kept.set(id, { value, until: this.#now() + this.#lifetime })
    if (this.#kept.size <= this.#maxEntries) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }
}
