/** Who has how much memory, for the command `memory`. */
import { getHeapSpaceStatistics } from 'node:v8'
import type { C2s } from './c2s/c2s.ts'
import type { HookRegistry } from './extend/hook-registry.ts'
import type { MemoryHolder } from './extend/hooks.ts'
import type { ModuleManager } from './extend/module-manager.ts'
import type { Hosts } from './hosts.ts'
import type { SessionManager } from './routing/session-manager.ts'
import type { Storage } from './storage/storage.ts'

export interface MemorySources {
  readonly usage: NodeJS.MemoryUsage
  readonly sessions: SessionManager
  readonly connected: ReadonlySet<C2s>
  readonly hosts: Hosts
  readonly modules: ModuleManager
  readonly storage: Storage
  readonly hooks: HookRegistry
}

export async function memoryHolders(sources: MemorySources): Promise<readonly MemoryHolder[]> {
  const { usage, sessions, connected, hosts, modules, storage, hooks } = sources
  const perHost = hosts.names.map((name) => ({
    name: `sessions of ${name}`,
    count: sessions.count(name),
    bytes: undefined,
  }))
  const spaces = getHeapSpaceStatistics().map((space) => ({
    name: `heap ${space.space_name}`,
    count: undefined,
    bytes: space.space_used_size,
  }))
  const kept: MemoryHolder[] = [...(await hooks.fold('memory_holders', '', [], {}))]
  for (const name of hosts.names) {
    const ofHost = await hooks.fold('memory_holders', name, [], {})
    kept.push(...ofHost.map((holder) => ({ ...holder, name: `${holder.name} of ${name}` })))
  }
  let contacts = 0
  const unacknowledged = { count: 0, bytes: 0 }
  for (const { own, management } of connected) {
    contacts += own.contacts
    unacknowledged.count += management?.waiting.count ?? 0
    unacknowledged.bytes += management?.waiting.bytes ?? 0
  }
  const loaded = hosts.names.reduce((sum, name) => sum + modules.loaded(name).length, 0)
  return [
    { name: 'process (rss)', count: undefined, bytes: usage.rss },
    { name: 'heap, used', count: undefined, bytes: usage.heapUsed },
    { name: 'heap, reserved', count: undefined, bytes: usage.heapTotal },
    { name: 'outside of the heap', count: undefined, bytes: usage.external },
    { name: 'buffers of bytes', count: undefined, bytes: usage.arrayBuffers },
    { name: 'client connections', count: connected.size, bytes: undefined },
    { name: 'sessions', count: sessions.count(), bytes: undefined },
    ...perHost,
    { name: 'rosters: contacts that sessions know', count: contacts, bytes: undefined },
    { name: 'stanzas that clients have not acknowledged', ...unacknowledged },
    ...kept,
    { name: 'modules', count: loaded, bytes: undefined },
    { name: 'changes that wait for the storage', count: storage.waiting, bytes: undefined },
    ...spaces,
  ]
}
