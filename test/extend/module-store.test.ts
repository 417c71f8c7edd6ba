/** What a module of others keeps: its own values, checked by its own schema, within limits. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { defineModule, type HostContext } from '../../server-core/extend/gen-mod.ts'
import { StoreFull } from '../../server-core/extend/module-store.ts'
import { here, startHost, type TestHost } from '../modules/host.ts'

let host: TestHost
let first: HostContext
let second: HostContext

function keeps(name: 'mod_one' | 'mod_two', take: (context: HostContext) => void) {
  return defineModule({ name, doc: 'Keeps something', options: {}, start: take })
}

beforeEach(async () => {
  const table = [
    keeps('mod_one', (context) => {
      first = context
    }),
    keeps('mod_two', (context) => {
      second = context
    }),
  ]
  host = await startHost(table, { mod_one: {}, mod_two: {} })
})
afterEach(() => host.stop())

const visit = z.object({ count: z.number(), last: z.string().optional() })

it('is there again after the module was started again, for the host and for each account', async () => {
  await first.store(visit).set('all', { count: 1 })
  await first.storeOf('ann', visit).set('all', { count: 2, last: 'today' })
  await host.modules.restart(here, 'mod_one')
  expect(await first.store(visit).get('all')).toEqual({ count: 1 })
  expect(await first.storeOf('ann', visit).get('all')).toEqual({ count: 2, last: 'today' })
  expect(await first.storeOf('bob', visit).get('all')).toBeUndefined()
  expect(await second.store(visit).get('all')).toBeUndefined()
})

it('goes with the account, and stays with the host', async () => {
  await first.store(visit).set('ann', { count: 1 })
  await first.storeOf('ann', visit).set('k', { count: 2 })
  await host.storage.removeAccount('ann', here)
  expect(await first.storeOf('ann', visit).entries()).toEqual([])
  expect(await first.store(visit).entries()).toEqual([['ann', { count: 1 }]])
})

it('changes one after the other, however many ask at once', async () => {
  const store = first.store(visit)
  const results = await Promise.all(
    Array.from({ length: 50 }, () => store.update('k', (old) => ({ count: (old?.count ?? 0) + 1 }))),
  )
  expect(new Set(results.map((now) => now?.count)).size).toBe(50)
  expect(await store.update('k', () => undefined)).toBeUndefined()
  expect(await store.delete('k')).toBe(false)
})

it('is of the schema on its way in and on its way out', async () => {
  const store = first.store(visit)
  await expect(store.set('k', { count: 'many' } as never)).rejects.toThrow(
    /^mod_one: the value of k\.count does not fit/,
  )
  await expect(store.update('k', () => ({}) as never)).rejects.toThrow(TypeError)
  expect(await store.get('k')).toBeUndefined()
  await store.set('k', { count: 1 })
  const other = first.store(z.string())
  await expect(other.get('k')).rejects.toThrow(/^mod_one: the value of k does not fit/)
  await expect(other.entries()).rejects.toThrow(TypeError)
  // but it can be replaced and deleted
  expect(await other.delete('k')).toBe(true)
})

it.each([
  ['', 'empty'],
  ['ü'.repeat(512), 'more than 1,023 bytes'],
  ['a\0b', 'a control character'],
  ['\ud800', 'half a character'],
])('has no key %j: %s', async (key) => {
  await expect(first.store(visit).set(key, { count: 1 })).rejects.toThrow(/^a key is a text/)
  await expect(first.store(visit).get(key)).rejects.toThrow(TypeError)
})

it('is of an account as addresses have it, or somebody’s data would outlive him', async () => {
  expect(() => first.storeOf('Ann', visit)).toThrow(/take it from a Jid/)
  expect(() => first.storeOf('', visit)).toThrow(/store\(\) is for the host/)
})

it('is at most a mebibyte for each account and module', async () => {
  const ann = first.storeOf('ann', z.string())
  await ann.set('a', 'x'.repeat(1_000_000))
  await expect(ann.set('b', 'x'.repeat(100_000))).rejects.toThrow(StoreFull)
  await expect(ann.set('b', 'x'.repeat(100_000))).rejects.toThrow(
    'mod_one keeps at most 1000 keys and 1048576 bytes for ann@montague.example',
  )
  await first.storeOf('bob', z.string()).set('b', 'x'.repeat(100_000))
  await second.storeOf('ann', z.string()).set('b', 'x'.repeat(100_000))
  await ann.set('a', 'short')
  await ann.set('b', 'x'.repeat(100_000))
})

it('is at most a thousand keys', async () => {
  const store = first.store(z.number())
  await Promise.all(Array.from({ length: 1_000 }, (_, n) => store.set(`k${n}`, n)))
  await expect(store.set('one more', 1)).rejects.toThrow(StoreFull)
  expect(await store.entries()).toHaveLength(1_000)
})
