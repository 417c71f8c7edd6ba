/**
 * What a module keeps for itself: values by keys, for the host or for one account, in the server's database. Values are JSON
 * and pass the module's own schema on their way in and out.
 */
import type { z } from 'zod'
import type { ModuleDataOwner, ModuleDataStore } from '../storage/storage.ts'
import { isXmlText } from '../xml/serialize.ts'
import { prepareUser } from '../xmpp/jid.ts'

/** Everything that one module keeps under one owner, the host or an account. */
const limits = { keys: 1_000, bytes: 1_048_576 }
const maxKeyBytes = 1_023

/** Nothing was changed: the owner would have more than 1,000 keys or 1 MiB, keys included. */
export class StoreFull extends Error {
  override readonly name = 'StoreFull'
}

/**
 * Keys are texts of 1 to 1,023 bytes without control characters. Every call rejects with StorageUnavailable when it cannot be carried out, and with an
 * Error when a value, new or kept, is not one of the schema's. What was written is durable when its promise resolves.
 */
export interface ModuleStore<T> {
  get(key: string): Promise<T | undefined>
  /** Rejects with StoreFull too. */
  set(key: string, value: T): Promise<void>
  /**
   * Changes one with nothing in between: `change` gets the value and returns what it shall be, undefined to delete it; it
   * must not wait, and may be called more than once. Resolves with what is kept then. Rejects with StoreFull too.
   */
  update(key: string, change: (old: T | undefined) => T | undefined): Promise<T | undefined>
  /** False when there was nothing. */
  delete(key: string): Promise<boolean>
  /** All of them, in order of the key. */
  entries(): Promise<readonly (readonly [key: string, value: T])[]>
}

export function moduleStore<T>(
  data: ModuleDataStore,
  owner: ModuleDataOwner,
  schema: z.ZodType<T>,
): ModuleStore<T> {
  if (owner.user !== '' && prepareUser(owner.user) !== owner.user) {
    throw new TypeError(`${owner.user} is not the user of an address as it is compared: take it from a Jid`)
  }
  const read = (key: string, text: string): T => checked(schema, JSON.parse(text), owner, key)
  const write = (key: string, value: T): string => JSON.stringify(checked(schema, value, owner, key))

  async function change(key: string, to: (old: string | undefined) => string | undefined): Promise<void> {
    checkKey(key)
    if ((await data.update(owner, key, to, limits)) === 'done') return
    const whose = owner.user === '' ? owner.host : `${owner.user}@${owner.host}`
    throw new StoreFull(
      `${owner.module} keeps at most ${limits.keys} keys and ${limits.bytes} bytes for ${whose}`,
    )
  }

  return {
    async get(key) {
      checkKey(key)
      const text = await data.get(owner, key)
      return text === undefined ? undefined : read(key, text)
    },
    async set(key, value) {
      const text = write(key, value)
      await change(key, () => text)
    },
    async update(key, to) {
      let now: T | undefined
      await change(key, (old) => {
        now = to(old === undefined ? undefined : read(key, old))
        return now === undefined ? undefined : write(key, now)
      })
      return now
    },
    async delete(key) {
      let existed = false
      await change(key, (old) => {
        existed = old !== undefined
        return undefined
      })
      return existed
    },
    async entries() {
      return (await data.list(owner)).map(({ key, value }) => [key, read(key, value)] as const)
    },
  }
}

function checkKey(key: string): void {
  const bytes = typeof key === 'string' && isXmlText(key) ? Buffer.byteLength(key) : 0
  if (bytes < 1 || bytes > maxKeyBytes)
    throw new TypeError(`a key is a text of 1 to ${maxKeyBytes} bytes without control characters`)
}

function checked<T>(schema: z.ZodType<T>, value: unknown, { module }: ModuleDataOwner, key: string): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'not of the schema' }
  throw new TypeError(`${module}: the value of ${[key, ...path].join('.')} does not fit: ${message}`)
}
