import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { valueKey } from '../../server-core/services/value-key.ts'

const anyKey = fc.anything({
  maxDepth: 4,
  withBigInt: true,
  withDate: true,
  withTypedArray: false,
  withNullPrototype: false,
  values: [
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.uint8Array(),
  ],
})

/** The same value with the names of every object in another order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date || value instanceof Uint8Array) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  )
}

it('is equal for equal values, whatever the order of names', () => {
  fc.assert(
    fc.property(anyKey, (value) => {
      expect(valueKey(reversed(value))).toBe(valueKey(value))
    }),
  )
})

it('differs for values that differ', () => {
  fc.assert(
    fc.property(anyKey, anyKey, (one, other) => {
      if (valueKey(one) === valueKey(other)) expect(isDeepStrictEqual(normal(one), normal(other))).toBe(true)
    }),
  )
})

/** isDeepStrictEqual tells 0 from -0 and -0 has no place in a key. */
function normal(value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, normal(member)]))
}

it('tells apart what looks alike', () => {
  const values = [
    1,
    '1',
    1n,
    [1],
    ['1'],
    { 1: 1 },
    null,
    'null',
    undefined,
    'undefined',
    {},
    [],
    '',
    new Date(1),
    'date:1',
    Buffer.from('a'),
    'bytes:YQ==',
    ['a', 'b'],
    ['a,b'],
    ['a","b'],
    { a: undefined },
  ]
  expect(new Set(values.map((value) => valueKey(value))).size).toBe(values.length)
})

it('refuses what has no value', () => {
  const loop: unknown[] = []
  loop.push(loop)
  for (const value of [() => 1, Symbol('x'), new Map(), new (class Bag {})(), loop]) {
    expect(() => valueKey(value)).toThrow(TypeError)
  }
})
