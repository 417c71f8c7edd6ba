/** The table of storages: name in the configuration → how it is opened. */
import { SqliteStorage } from './sqlite/index.ts'
import type { Storage } from './storage.ts'

export interface StorageOptions {
  /** Where an embedded storage keeps its data. */
  readonly file: string
  /** Make missing folders. */
  readonly makeFolder?: boolean
  /** How long a call waits before it rejects with StorageUnavailable, in milliseconds. */
  readonly deadline?: number
  /** Nothing is made, changed or migrated: for those who only look. */
  readonly look?: boolean
}

const storages = {
  sqlite: async ({ look, ...options }: StorageOptions): Promise<Storage> => {
    const looking = look ? { mustExist: true, foreign: { readOnly: true } } : {}
    const storage = new SqliteStorage({ ...options, ...looking })
    await storage.open()
    return storage
  },
} satisfies Record<string, (options: StorageOptions) => Promise<Storage>>

export type StorageName = keyof typeof storages

export const storageNames = Object.keys(storages) as StorageName[]

/** Opens a storage; rejects with StorageUnavailable when it cannot be used now. */
export async function openStorage(name: StorageName, options: StorageOptions): Promise<Storage> {
  return storages[name](options)
}
