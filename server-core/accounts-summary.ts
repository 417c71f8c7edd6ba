/** What `gatehouse check` tells of the accounts that are there: whether they can be served with SCRAM. */
import { existsSync } from 'node:fs'
import { servesScram } from './accounts/formats/scram.ts'
import { type Config, hostConfig } from './config/schema.ts'
import { databaseIn } from './data-folder.ts'
import { openStorage } from './storage/index.ts'
import { StorageUnavailable } from './storage/storage.ts'

const hash = 'SHA-256'

function sum(sets: readonly { readonly accounts: number }[]): number {
  return sets.reduce((total, { accounts }) => total + accounts, 0)
}

/** A line for each host where accounts keep SCRAM from being offered. Looks only; a server may run meanwhile. */
export async function accountsSummary(config: Config): Promise<readonly string[]> {
  const file = databaseIn(config.data_dir)
  if (!existsSync(file)) return []
  try {
    const storage = await openStorage('sqlite', { file, look: true })
    try {
      const lines: string[] = []
      for (const host of new Set(config.hosts)) {
        if (!hostConfig(config, host).auth_method.includes('internal')) continue
        const sets = await storage.accounts.formatSets(host)
        const all = sum(sets)
        const without = sum(sets.filter(({ formats }) => !servesScram(formats, hash)))
        if (without === 0) continue
        const [have, they] = without === 1 ? ['has', 'it has'] : ['have', 'they have']
        lines.push(
          `${without} of ${all} accounts of ${host} ${have} no keys for SCRAM-${hash}: it is not offered before ${they} logged in once`,
        )
      }
      return lines
    } finally {
      await storage.close()
    }
  } catch (error) {
    // the start says it better
    if (error instanceof StorageUnavailable) return []
    throw error
  }
}
