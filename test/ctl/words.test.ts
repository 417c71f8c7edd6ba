import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { meaningOf, parseCommandLine, UsageError } from '../../ctl/words.ts'

function texts(...argv: string[]): string[] {
  return parseCommandLine(argv).words.map(({ text }) => text)
}

describe('options are long names, anywhere before --', () => {
  test('before, between and behind the words', () => {
    const { options, words } = parseCommandLine([
      '--output',
      'json',
      'stats',
      '--yes',
      'onlineusers',
      '--timeout=5',
    ])
    expect(options).toEqual({ output: 'json', yes: true, timeout: 5 })
    expect(words.map(({ text }) => text)).toEqual(['stats', 'onlineusers'])
  })

  test('what is no option of ours is a word, in its place', () => {
    expect(texts('a', '-x', '--what', 'b', '--yes', '-5', '--', '--yes', '--')).toEqual([
      'a',
      '-x',
      '--what',
      'b',
      '-5',
      '--yes',
      '--',
    ])
  })

  test.each([
    [['--output', 'yaml'], 'Allowed choices are text, table'],
    [['--timeout', 'soon'], 'It is a number of seconds'],
    [['--timeout', '0'], 'It is a number of seconds'],
    [['--socket'], 'argument missing'],
  ])('%j is wrong usage', (argv, message) => {
    expect(() => parseCommandLine(argv)).toThrow(UsageError)
    expect(() => parseCommandLine(argv)).toThrow(message)
  })
})

test('words behind -- come through whatever they are', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (words) => {
      const line = parseCommandLine(['stats', '--', ...words])
      expect(line.words.slice(1)).toEqual(words.map((text) => ({ text, literal: true })))
    }),
  )
})

test.each([
  ['-', { kind: 'stdin' }],
  ['@/etc/motd', { kind: 'file', path: '/etc/motd' }],
  ['@./motd', { kind: 'file', path: './motd' }],
  ['@../motd', { kind: 'file', path: '../motd' }],
  ['@bob hi', { kind: 'text', text: '@bob hi' }],
  ['@', { kind: 'text', text: '@' }],
  ['@@./motd', { kind: 'text', text: '@./motd' }],
  ['--', { kind: 'text', text: '--' }],
])('%s', (text, meaning) => {
  expect(meaningOf({ text, literal: false })).toEqual(meaning)
  expect(meaningOf({ text, literal: true })).toEqual({ kind: 'text', text })
})
