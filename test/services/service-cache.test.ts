import { describe, expect, it, vi } from 'vitest'
import type { Looked } from '../../server-core/extend/provided.ts'
import { Cache } from '../../server-core/services/service-cache.ts'

const found = (value: string): Looked<string> => ({ ok: true, value })

function later<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

describe('lookup', () => {
  it('asks once and then remembers', async () => {
    const cache = new Cache(10, 1_000)
    const find = vi.fn(() => found('one'))
    expect(await cache.lookup('key', find)).toEqual(found('one'))
    expect(await cache.lookup('key', find)).toEqual(found('one'))
    expect(find).toHaveBeenCalledTimes(1)
  })

  it('compares keys by value', async () => {
    const cache = new Cache(10, 1_000)
    const find = vi.fn(() => found('one'))
    await cache.lookup({ user: 'romeo', hosts: ['a', 'b'] }, find)
    await cache.lookup({ hosts: ['a', 'b'], user: 'romeo' }, find)
    expect(find).toHaveBeenCalledTimes(1)
    await cache.lookup({ hosts: ['b', 'a'], user: 'romeo' }, find)
    expect(find).toHaveBeenCalledTimes(2)
  })

  it('gives an error back and does not keep it', async () => {
    const cache = new Cache(10, 1_000)
    const find = vi.fn((): Looked<string> => ({ ok: false, error: 'not there' }))
    expect(await cache.lookup('key', find)).toEqual({ ok: false, error: 'not there' })
    await cache.lookup('key', find)
    expect(find).toHaveBeenCalledTimes(2)
  })

  it.each([
    () => {
      throw new Error('broken')
    },
    () => Promise.reject(new Error('broken')),
  ])('passes a throw on and does not keep it', async (find) => {
    const cache = new Cache(10, 1_000)
    await expect(cache.lookup('key', find)).rejects.toThrow('broken')
    expect(await cache.lookup('key', () => found('whole'))).toEqual(found('whole'))
  })

  it('runs one function for all who ask at the same time', async () => {
    const cache = new Cache(10, 1_000)
    const answer = later<Looked<string>>()
    const find = vi.fn(() => answer.promise)
    const asked = [cache.lookup(['k'], find), cache.lookup(['k'], find), cache.lookup(['k'], find)]
    answer.resolve(found('same'))
    expect(await Promise.all(asked)).toEqual([found('same'), found('same'), found('same')])
    expect(find).toHaveBeenCalledTimes(1)
  })

  it('gives a failure to all who asked at the same time', async () => {
    const cache = new Cache(10, 1_000)
    const answer = later<Looked<string>>()
    const asked = [cache.lookup('k', () => answer.promise), cache.lookup('k', () => answer.promise)]
    answer.reject(new Error('down'))
    const results = await Promise.allSettled(asked)
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
  })

  it('asks again when the lifetime is over', async () => {
    let now = 0
    const cache = new Cache(10, 100, () => now)
    const find = vi.fn(() => found('one'))
    await cache.lookup('key', find)
    now = 99
    await cache.lookup('key', find)
    expect(find).toHaveBeenCalledTimes(1)
    now = 100
    await cache.lookup('key', find)
    expect(find).toHaveBeenCalledTimes(2)
  })

  it('holds no more than it may, and lets go what was not asked for longest', async () => {
    const cache = new Cache(2, Number.POSITIVE_INFINITY)
    await cache.lookup('a', () => found('a'))
    await cache.lookup('b', () => found('b'))
    await cache.lookup('a', () => found('not asked'))
    await cache.lookup('c', () => found('c'))
    expect(cache.size).toBe(2)
    expect(await cache.lookup('a', () => found('asked again'))).toEqual(found('a'))
    expect(await cache.lookup('b', () => found('asked again'))).toEqual(found('asked again'))
  })
})

describe('forget', () => {
  it('makes the next one ask', async () => {
    const cache = new Cache(10, 1_000)
    await cache.lookup({ a: 1 }, () => found('old'))
    cache.forget({ a: 1 })
    expect(await cache.lookup({ a: 1 }, () => found('new'))).toEqual(found('new'))
  })

  it('also drops what is being looked up: it may be from before the change', async () => {
    const cache = new Cache(10, 1_000)
    const answer = later<Looked<string>>()
    const first = cache.lookup('key', () => answer.promise)
    cache.forget('key')
    const second = cache.lookup('key', () => found('new'))
    answer.resolve(found('old'))
    expect(await first).toEqual(found('old'))
    expect(await second).toEqual(found('new'))
    expect(await cache.lookup('key', () => found('asked'))).toEqual(found('new'))
  })
})
