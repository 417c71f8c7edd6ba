/** Who has how much memory, for the command `memory`. */
import { getHeapSpaceStatistics } from 'node:v8'
import type { MemoryHolder } from './admin/admin-server.ts'
import type { C2s } from './c2s/c2s.ts'
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
}

export function memoryHolders(sources: MemorySources): readonly MemoryHolder[] {
  const { usage, sessions, connected, hosts, modules, storage } = sources
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
    { name: 'modules', count: loaded, bytes: undefined },
    { name: 'changes that wait for the storage', count: storage.waiting, bytes: undefined },
    ...spaces,
  ]
}
