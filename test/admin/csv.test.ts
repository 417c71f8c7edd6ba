import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { csvRecords } from '../../server-core/admin/csv.ts'

async function* portions(text: string, size: number): AsyncGenerator<string> {
  const chars = [...text]
  for (let at = 0; at < chars.length; at += size) yield chars.slice(at, at + size).join('')
}

async function records(text: string, size = 1_000): Promise<(readonly string[])[]> {
  const all: (readonly string[])[] = []
  for await (const record of csvRecords(portions(text, size))) all.push(record)
  return all
}

test.each([
  [
    'a,b,c\nd,e,f',
    [
      ['a', 'b', 'c'],
      ['d', 'e', 'f'],
    ],
  ],
  [
    'a,b\r\nc,\r\n',
    [
      ['a', 'b'],
      ['c', ''],
    ],
  ],
  ['"a,b","say ""hi""","two\nlines"\r\n', [['a,b', 'say "hi"', 'two\nlines']]],
  ['\n\na\n\n', [['a']]],
  [',\n', [['', '']]],
  ['a "quoted" word,b', [['a "quoted" word', 'b']]],
])('%j', async (text, wanted) => {
  expect(await records(text)).toEqual(wanted)
})

test('a quote that is never closed is an error, early', async () => {
  await expect(records('a,b\n"c""\n')).rejects.toThrow('line 2: a quote is opened here and never closed')
  await expect(records(`x\na,"${'b\n'.repeat(100_000)}`)).rejects.toThrow(/^line 2: .* is a quote missing\?/)
})

test('whatever is written comes back, in any portions', async () => {
  const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' ', 'é', '👋') })
  const table = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(table, fc.integer({ min: 1, max: 7 }), async (rows, size) => {
      const quoted = rows.map(
        (row) => `${row.map((text) => `"${text.replaceAll('"', '""')}"`).join(',')}\r\n`,
      )
      expect(await records(quoted.join(''), size)).toEqual(rows)
    }),
  )
})
