import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AdminServer } from '../../server-core/admin/admin-server.ts'
import { extraFamilies } from '../../server-core/admin/commands/index.ts'
import type { CommandSpec } from '../../server-core/extend/command.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { ServiceManager } from '../../server-core/extend/service-manager.ts'
import { silentLogger } from '../../server-core/log.ts'
import { services } from '../../server-core/services/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'

let commands: Map<string, CommandSpec>
let manager: ServiceManager

beforeEach(() => {
  commands = new Map()
  manager = new ServiceManager({
    table: services,
    storage: {} as Storage,
    hooks: new HookRegistry(silentLogger()),
    admin: {} as AdminServer,
    log: silentLogger(),
    addCommand: (spec) => {
      commands.set(spec.name, spec)
      return () => commands.delete(spec.name)
    },
  })
})
afterEach(() => manager.stopAll())

const namesOf = (families: readonly (keyof typeof extraFamilies)[]): Set<string> =>
  new Set(families.flatMap((family) => extraFamilies[family]({} as AdminServer).map((spec) => spec.name)))

describe('service_admin_extra', () => {
  it('brings all families unless told otherwise, and the cache that it needs', async () => {
    await manager.startAll({ service_admin_extra: null })
    expect(manager.loaded()).toEqual(['service_cache', 'service_admin_extra'])
    expect(new Set(commands.keys())).toEqual(namesOf(Object.keys(extraFamilies) as never))
  })

  it('brings only the families that are named, once', async () => {
    await manager.startAll({ service_admin_extra: { submods: ['sessions', 'stats', 'stats'] } })
    expect(new Set(commands.keys())).toEqual(namesOf(['sessions', 'stats']))
    expect(new Set([...commands.values()].map((spec) => spec.category))).toEqual(
      new Set(['sessions', 'stats']),
    )
  })

  it('refuses a family that it does not know, with the list', async () => {
    const wanted = { service_admin_extra: { submods: ['session'] } }
    await expect(manager.startAll(wanted)).rejects.toThrow(
      /option submods\[0\]: must be 'accounts'.*'stats'.*, not 'session'; did you mean 'sessions'\?/,
    )
    expect(commands.size).toBe(0)
  })

  it('takes its commands away when it stops', async () => {
    await manager.startAll({ service_admin_extra: null })
    await manager.stopAll()
    expect(commands.size).toBe(0)
    await manager.startAll({ service_admin_extra: { submods: ['stats'] } })
    expect(new Set(commands.keys())).toEqual(namesOf(['stats']))
  })
})

it.each(services)('$name says what it is and what each option does', (spec) => {
  expect(spec.doc).toMatch(/^[A-Z].{10,}[^.]$/)
  for (const [name, option] of Object.entries(spec.options)) {
    expect(option.description, name).toBeTruthy()
    expect(option.safeParse(undefined).success).toBe(true)
  }
})
