import { beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { AdminServer } from '../../server-core/admin/admin-server.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { ServiceManager } from '../../server-core/extend/service-manager.ts'
import { defineService, type ServiceSpec } from '../../server-core/extend/services.ts'
import { silentLogger } from '../../server-core/log.ts'
import type { Storage } from '../../server-core/storage/storage.ts'

let life: string[]
let hooks: HookRegistry
beforeEach(() => {
  life = []
  hooks = new HookRegistry(silentLogger())
})

function manager(...table: ServiceSpec[]): ServiceManager {
  return new ServiceManager({
    table,
    storage: {} as Storage,
    hooks,
    admin: {} as AdminServer,
    log: silentLogger(),
    addCommand: () => () => undefined,
  })
}

function service(name: `service_${string}`, more: Partial<ServiceSpec> = {}): ServiceSpec {
  return defineService({
    name,
    doc: '',
    options: { size: z.number().default(1) },
    start(context, { size }) {
      life.push(`${name} starts with ${size}`)
      context.hook('server_started', () => undefined)
      context.provide('cache', { forget: () => undefined, lookup: () => Promise.reject(new Error('no')) })
    },
    stop() {
      life.push(`${name} stops`)
    },
    ...more,
  })
}

describe('services', () => {
  it('start in the order of their needs, once, and stop in reverse', async () => {
    const services = manager(service('service_a', { requires: ['service_b'] }), service('service_b'))
    await services.startAll({ service_a: { size: 2 }, service_b: null })
    expect(services.loaded()).toEqual(['service_b', 'service_a'])
    await services.stopAll()
    expect(life).toEqual([
      'service_b starts with 1',
      'service_a starts with 2',
      'service_a stops',
      'service_b stops',
    ])
    expect(hooks.has('server_started', '')).toBe(false)
  })

  it('start with their defaults what they need and nobody configured', async () => {
    const services = manager(service('service_a', { requires: ['service_b'] }), service('service_b'))
    await services.startAll({ service_a: null })
    expect(life).toEqual(['service_b starts with 1', 'service_a starts with 1'])
  })

  it('refuse a name that there is not, an option that is wrong, and a cycle', async () => {
    await expect(manager().startAll({ service_x: null })).rejects.toThrow('there is no service service_x')
    await expect(manager(service('service_a')).startAll({ service_a: { size: 'big' } })).rejects.toThrow(
      /service_a, option size/,
    )
    const cycle = manager(
      service('service_a', { requires: ['service_b'] }),
      service('service_b', { requires: ['service_a'] }),
    )
    await expect(cycle.startAll({ service_a: null })).rejects.toThrow(/service_a → service_b → service_a/)
    expect(life).toEqual([])
  })

  it('leave nothing behind when one fails half-way', async () => {
    const broken = service('service_a', {
      start(context) {
        context.hook('server_started', () => undefined)
        throw new Error('no memory')
      },
    })
    const services = manager(broken)
    await expect(services.startAll({ service_a: null })).rejects.toThrow('service_a did not start: no memory')
    expect(hooks.has('server_started', '')).toBe(false)
    expect(services.loaded()).toEqual([])
  })

  it('say what differs from what is wanted, needs included', async () => {
    const services = manager(
      service('service_a', { requires: ['service_b'] }),
      service('service_b'),
      service('service_c'),
    )
    await services.startAll({ service_a: { size: 2 }, service_c: null })
    expect(services.difference({ service_a: { size: 2 }, service_c: {} })).toEqual({
      stop: [],
      start: [],
      reload: [],
    })
    expect(services.difference({ service_a: { size: 3 } })).toEqual({
      stop: ['service_c'],
      start: [],
      reload: ['service_a'],
    })
    expect(services.difference({ service_c: null })).toEqual({
      stop: ['service_a', 'service_b'],
      start: [],
      reload: [],
    })
  })

  it('take new options, and run on with the old ones where they do not start with the new', async () => {
    const services = manager(
      service('service_a', {
        start(_, { size }) {
          life.push(`starts with ${size}`)
          if (size === 13) throw new Error('unlucky')
        },
      }),
      service('service_b', {
        reload: (_, now, before) => {
          life.push(`from ${before['size']} to ${now['size']}`)
        },
      }),
    )
    await services.startAll({ service_a: { size: 2 }, service_b: null })
    life = []
    await services.reload('service_b', { size: 5 })
    await services.reload('service_b', { size: 6 })
    await expect(services.reload('service_a', { size: 13 })).rejects.toThrow('unlucky')
    await expect(services.reload('service_a', { size: 'x' })).rejects.toThrow(/service_a, option size/)
    expect(life).toEqual(['from 1 to 5', 'from 5 to 6', 'service_a stops', 'starts with 13', 'starts with 2'])
    expect(services.difference({ service_a: { size: 2 }, service_b: { size: 6 } }).reload).toEqual([])
    await expect(services.start('service_a', null)).rejects.toThrow('service_a runs already')
    await expect(services.reload('service_c', null)).rejects.toThrow('service_c does not run')
  })
})
