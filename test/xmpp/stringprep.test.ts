import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nameprep, nodeprep, resourceprep, saslprep } from '../../server-core/xmpp/stringprep.ts'

const profiles = { nodeprep, nameprep, resourceprep, saslprep }

const file = new URL('../../fixtures/stringprep/vectors.json', import.meta.url)
const { digests, vectors } = JSON.parse(readFileSync(file, 'utf8')) as {
  digests: Record<string, string>
  vectors: Record<string, [text: string, prepared: string | null][]>
}

describe.each(Object.entries(profiles))('%s', (name, prepare) => {
  test('prepares every text of the vectors as they say', () => {
    const wrong = (vectors[name] ?? []).filter(([text, prepared]) => (prepare(text) ?? null) !== prepared)
    expect(wrong).toEqual([])
    expect(vectors[name]?.length).toBeGreaterThan(400)
  })

  test('prepares every single code point as the vectors say', () => {
    const hash = createHash('sha256')
    for (let code = 0; code <= 0xe01ff; code++) {
      if (code === 0xd800) code = 0xe000
      if (code === 0x30000) code = 0xe0000
      hash.update(`${code.toString(16)}:${prepare(String.fromCodePoint(code)) ?? '!'}\n`)
    }
    expect(hash.digest('hex')).toBe(digests[name])
  })

  test('refuses half characters', () => {
    for (const half of ['\ud800', '\udfff', 'a\ud83d', '\ude00b']) expect(prepare(half)).toBeUndefined()
  })

  test('leaves alone what it has prepared', () => {
    const char = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      fc.integer({ min: 0x80, max: 0x2fff }).map((code) => String.fromCodePoint(code)),
    )
    fc.assert(
      fc.property(fc.array(char, { maxLength: 6 }), (chars) => {
        const prepared = prepare(chars.join(''))
        if (prepared !== undefined) expect(prepare(prepared)).toBe(prepared)
      }),
      { numRuns: 1000 },
    )
  })
})

test('emoji are characters like any other', () => {
  for (const prepare of Object.values(profiles)) expect(prepare('a🏠😀')).toBe('a🏠😀')
})

test('addresses that look the same are the same', () => {
  expect(nodeprep('JULIET')).toBe('juliet')
  expect(nodeprep('ＪＵＬＩＥＴ')).toBe('juliet')
  expect(nodeprep('Straße')).toBe('strasse')
  expect(nodeprep('ΣΊΣΥΦΟΣ')).toBe('σίσυφοσ')
  expect(nodeprep('ﬁona')).toBe('fiona')
  expect(resourceprep('Balcony')).toBe('Balcony')
})

test('a user cannot hold what has a meaning in addresses, in whatever disguise', () => {
  for (const text of [
    'a@b',
    'a＠b',
    'a/b',
    'a／b',
    "a'b",
    'a"b',
    'a b',
    'a\u00a0b',
    'a&b',
    'a<b',
    'a:b',
    'a\nb',
  ])
    expect(nodeprep(text)).toBeUndefined()
})
