import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Pattern, PatternError } from '../../server-core/admin/pattern.ts'

describe('patterns match as regular expressions do that cover the whole text', () => {
  const part = fc.oneof(
    fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '[a-c]', '\\d', '\\S', '\\.', '\\w'),
    fc.constantFrom('1', '_', '-'),
  )
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      part,
      fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => a + b),
      fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `(${a}|${b})`),
      fc
        .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '*?'))
        .map(([a, times]) => `(?:${a})${times}`),
    ),
  }))
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '.', '_', '-'), maxLength: 8 })

  test('any of them, any text', () => {
    fc.assert(
      fc.property(pattern, text, (source, sample) => {
        let own: Pattern
        try {
          own = new Pattern(source)
        } catch (error) {
          expect((error as Error).message).toBe('the pattern is too large')
          return
        }
        expect(own.matches(sample)).toBe(new RegExp(`^(?:${source})$`).test(sample))
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    ['a|ab', 'ab', true],
    ['^a$', 'a', true],
    ['a^b', 'ab', false],
    ['', '', true],
    ['.*', '', true],
    ['ALICE', 'alice', true],
    ['[A-C]+', 'abc', true],
    ['a{x}', 'a{x}', true],
    ['[]a]', ']', true],
    ['👋+', '👋👋', true],
  ])('%s on %s: %s', (source, sample, wanted) => {
    expect(new Pattern(source).matches(sample)).toBe(wanted)
  })
})

test.each([
  '(a',
  'a)',
  '[a',
  '*a',
  'a\\',
  '(?=a)',
  '(a)\\1',
  '[b-a]',
  'a{3,1}',
  '(a{999}){999}',
  '('.repeat(100),
])('%s is an error', (source) => {
  expect(() => new Pattern(source)).toThrow(PatternError)
})

test('a hostile pattern costs no more than its size', () => {
  const pattern = new Pattern('(a*)*(a|aa)+(a?){20}a{20}b')
  expect(pattern.matches('a'.repeat(500))).toBe(false)
})
