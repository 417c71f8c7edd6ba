import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { checkOptions, StartError, startOrder } from '../../server-core/extend/start-order.ts'

interface Part {
  readonly name: string
  readonly options: Readonly<Record<string, z.ZodType>>
  readonly requires?: readonly string[]
  readonly after?: readonly string[]
}

function part(name: string, needs: Pick<Part, 'requires' | 'after'> = {}): Part {
  return { name, options: {}, ...needs }
}

const names = (parts: readonly Part[]) => startOrder(parts).map(({ name }) => name)

describe('the order of starting', () => {
  it('is the order given where nobody needs anything', () => {
    expect(names([part('c'), part('a'), part('b')])).toEqual(['c', 'a', 'b'])
  })

  it('puts what is required before, at any depth', () => {
    const parts = [part('a', { requires: ['b'] }), part('x'), part('b', { requires: ['c'] }), part('c')]
    expect(names(parts)).toEqual(['c', 'b', 'a', 'x'])
  })

  it('follows `after` when that is there, and only then', () => {
    expect(names([part('a', { after: ['b', 'gone'] }), part('b')])).toEqual(['b', 'a'])
  })

  it('starts each once, however many need it', () => {
    const parts = [part('a', { requires: ['c'] }), part('b', { requires: ['c'], after: ['a'] }), part('c')]
    expect(names(parts)).toEqual(['c', 'a', 'b'])
  })

  it('refuses what needs something that is not wanted, naming both', () => {
    expect(() => startOrder([part('mod_a', { requires: ['mod_b'] })])).toThrow(
      new StartError('mod_a needs mod_b, which is not configured'),
    )
  })

  it('names a cycle, without what only leads to it', () => {
    const parts = [
      part('way', { requires: ['a'] }),
      part('a', { requires: ['b'] }),
      part('b', { after: ['c'] }),
      part('c', { requires: ['a'] }),
    ]
    expect(() => startOrder(parts)).toThrow('these need each other: a → b → c → a')
  })

  it('names one that needs itself', () => {
    expect(() => startOrder([part('a', { requires: ['a'] })])).toThrow('a → a')
  })
})

describe('options', () => {
  const spec: Part = { name: 'mod_x', options: { limit: z.number().min(1).default(5) } }

  it('have their defaults, also when nothing is said', () => {
    expect(checkOptions(spec, null)).toEqual({ limit: 5 })
    expect(checkOptions(spec, {})).toEqual({ limit: 5 })
    expect(checkOptions(spec, { limit: 7 })).toEqual({ limit: 7 })
  })

  it('are refused by the name of the module and of the option', () => {
    expect(() => checkOptions(spec, { limit: 0 })).toThrow(/mod_x, option limit: /)
    expect(() => checkOptions(spec, { limit: '7' })).toThrow(StartError)
  })

  it('are all named when several are wrong, unknown ones with the nearest known', () => {
    expect(() => checkOptions(spec, { limt: 7, limit: 0 })).toThrow(
      new StartError(
        "mod_x, option limit: must be at least 1, not 0; option limt: unknown option, did you mean 'limit'?",
      ),
    )
    expect(() => checkOptions(spec, { colour: 1 })).toThrow(
      /option colour: unknown option; known here: limit/,
    )
  })
})
