import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCommandLine } from '../../ctl/command-line.ts'
import { meaningOf, UsageError } from '../../ctl/words.ts'

async function texts(...argv: string[]): Promise<string[]> {
  return (await parseCommandLine(argv)).words.map(({ text }) => text)
}

describe('options are long names, anywhere before --', () => {
  test('before, between and behind the words', async () => {
    const { options, words } = await parseCommandLine([
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

  test('what is no option of ours is a word, in its place', async () => {
    expect(await texts('a', '-x', '--what', 'b', '--yes', '-5', '--', '--yes', '--')).toEqual([
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
  ])('%j is wrong usage', async (argv, message) => {
    await expect(parseCommandLine(argv)).rejects.toThrow(UsageError)
    await expect(parseCommandLine(argv)).rejects.toThrow(message)
  })
})

test('words behind -- come through whatever they are', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' })), async (words) => {
      const line = await parseCommandLine(['stats', '--', ...words])
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
