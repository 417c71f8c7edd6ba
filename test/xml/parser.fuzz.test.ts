import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { asMade, oracle, record, streamHeader, tree, trimmed } from './recorder.ts'

const name = fc.constantFrom('a', 'b', 'body', 'x-1', 'ö', '名', '_', 'a.b', 'xmlnsx', 'long'.repeat(20))
const prefix = fc.constantFrom('', '', '', '', 'p:', 'q:', 'xml:', 'stream:', 'x:')
const uri = fc.constantFrom('urn:a', 'urn:b', 'jabber:client', 'http://ü/', 'urn:a&amp;b', 'a'.repeat(80))

const piece = fc.oneof(
  fc.constantFrom(
    ' ',
    '\t',
    '\n',
    '\r\n',
    '\r',
    ']',
    ']]',
    '>',
    '&amp;',
    '&lt;',
    '&gt;',
    '&quot;',
    '&apos;',
    '&#10;',
    '&#xD;',
    '&#x1F600;',
    '&#65;',
    '😀',
    'ü',
    '中文',
    '，',
    '\u2028',
    '\ufdd0',
    '\u{10fffe}',
    '\ufeff',
    '\u0085',
    'some words ',
    'x'.repeat(300),
  ),
  fc.stringMatching(/^[\w .,;:/=?!()-]{0,20}$/),
)
const text = fc.array(piece, { maxLength: 5 }).map((list) => list.join(''))
const quoted = fc
  .tuple(text, fc.constantFrom("'", '"'), fc.constantFrom("it's", 'a "word"', ''))
  .map(([value, quote, other]) => quote + (value + other).replaceAll(quote, '') + quote)
const space = fc.constantFrom(' ', '  ', '\n', '\r\n\t')
const noSpace = fc.constantFrom('', '', '', ' ', '\n')
const attribute = fc
  .tuple(
    space,
    fc.oneof(
      fc.tuple(prefix, name).map(([p, n]) => p + n),
      fc.constantFrom('to', 'from', 'type', 'id'),
    ),
    noSpace,
    noSpace,
    quoted,
  )
  .map(([s, n, a, b, v]) => `${s}${n}${a}=${b}${v}`)
const declaration = fc
  .tuple(space, fc.constantFrom('xmlns', 'xmlns', 'xmlns:p', 'xmlns:q', 'xmlns:stream'), uri)
  .map(([s, n, u]) => `${s}${n}='${u}'`)
const attributes = fc
  .array(fc.oneof({ weight: 2, arbitrary: attribute }, { weight: 1, arbitrary: declaration }), {
    maxLength: 4,
  })
  .map((list) => list.join(''))

const { element } = fc.letrec<{ element: string; content: string }>((tie) => ({
  element: fc
    .tuple(fc.tuple(prefix, name), attributes, noSpace, fc.option(tie('content')), noSpace)
    .map(([[p, n], a, s, content, e]) =>
      content === null ? `<${p}${n}${a}${s}/>` : `<${p}${n}${a}${s}>${content}</${p}${n}${e}>`,
    ),
  content: fc
    .array(
      fc.oneof(
        { maxDepth: 4 },
        text,
        tie('element'),
        text.map((t) => `<![CDATA[${t.replaceAll(']]>', '')}]]>`),
      ),
      { maxLength: 4 },
    )
    .map((list) => list.join('')),
}))

const stanzas = fc
  .array(fc.oneof({ weight: 6, arbitrary: element }, { weight: 1, arbitrary: fc.constant(' \r\n') }), {
    maxLength: 4,
  })
  .map((list) => list.join(''))
const document = stanzas.map((list) => `${streamHeader}${list}</stream:stream>`)

/** Edits that break documents in interesting ways, and some that do not. */
const edit = fc.record({
  at: fc.nat({ max: 10_000 }),
  drop: fc.nat({ max: 3 }),
  insert: fc.constantFrom(
    ...[
      '',
      '<',
      '>',
      '/',
      "'",
      '"',
      '&',
      ';',
      '=',
      ' ',
      ':',
      ']]>',
      '<!--',
      '-->',
      '<?x?>',
      '<!D',
      '<![CDATA[',
    ],
    ...[
      '&foo;',
      '&#0;',
      '&#xD800;',
      '&#;',
      '&#x;',
      'x',
      '\u0001',
      '\ufffe',
      '\uffff',
      '</a>',
      '<a>',
      'xmlns',
    ],
    ...[
      " xmlns:p=''",
      " xmlns:xml='urn:a'",
      ' a=',
      " a='1' a='2'",
      '\u00d7',
      '\u0300',
      '1',
      '-',
      '\u037e',
      '</',
    ],
    ...[" xmlns='http://www.w3.org/XML/1998/namespace'", " xmlns:p='urn:a' xmlns:q='urn:a' p:a='' q:a=''"],
  ),
})
const edited = fc.tuple(document, fc.array(edit, { minLength: 1, maxLength: 3 })).map(([whole, edits]) => {
  for (const { at, drop, insert } of edits) {
    const place = at % (whole.length + 1)
    whole = whole.slice(0, place) + insert + whole.slice(place + drop)
  }
  return whole.toWellFormed()
})
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 })

declare global {
  interface String {
    toWellFormed(): string
  }
}

function agree(whole: string): void {
  const ours = record(whole)
  const bytes = Buffer.from(whole)
  const theirs = oracle(bytes.toString('utf8', 0, bytes.length - ours.bytesBehind))
  switch (ours.condition) {
    case undefined:
      // A document without its end is no error yet.
      if (ours.isEnded) expect(theirs.isValid).toBe(true)
      break
    case 'not-well-formed':
    case 'bad-namespace-prefix':
      // saxes takes any character of a name behind the colon; Namespaces in XML wants one that may be the first.
      if (!/:[\u0300\-1]/.test(whole)) expect(theirs.isValid).toBe(false)
      break
    // The others are well-formed, or may be.
  }
  if (!ours.isEnded) return
  const found = ours.elements.map(tree).map((element, n) => {
    // A first-level element takes along what it uses of the root's declarations.
    const { attributes } = theirs.elements[n] ?? { attributes: [] }
    const added = element.attributes.splice(attributes.length)
    expect(ours.root?.attributes).toEqual(expect.arrayContaining(added))
    return trimmed(element)
  })
  expect(found).toEqual(theirs.elements)
}

test('a well-formed stream gives the trees that saxes builds', () => {
  fc.assert(fc.property(document, agree), { numRuns: 500 })
})

test('what saxes calls an error is one, and nothing else is called not well-formed', () => {
  fc.assert(fc.property(edited, agree), { numRuns: 1200 })
})

/** Ends a tag whatever quote is open in it: what is wrong with a long one may show only then. */
const endOfAnyTag = `'>">'>`

test('where chunks end makes no difference, errors and their places included', () => {
  fc.assert(
    fc.property(edited, sizes, (whole, split) => {
      const decided = `${whole}${endOfAnyTag}`
      const expected = record(decided).story
      expect(record(decided, split).story).toEqual(expected)
      expect(record(decided, [1]).story).toEqual(expected)
    }),
    { numRuns: 500 },
  )
})

test('bytes that are no UTF-8 end the stream at the same place however they come', () => {
  const bytes = fc.constantFrom(0x80, 0xbf, 0xc0, 0xc1, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff, 0x41)
  const broken = fc.tuple(document, fc.nat({ max: 10_000 }), fc.array(bytes, { minLength: 1, maxLength: 3 }))
  fc.assert(
    fc.property(broken, sizes, ([whole, at, inserted], split) => {
      const good = Buffer.from(whole)
      const place = at % (good.length + 1)
      const bad = Buffer.concat([good.subarray(0, place), Buffer.from(inserted), good.subarray(place)])
      const expected = record(bad).story
      expect(record(bad, split).story).toEqual(expected)
      expect(record(bad, [1]).story).toEqual(expected)
      if (!expected.isEnded) return
      const decoder = new TextDecoder('utf-8', { fatal: true })
      expect(() => decoder.decode(bad.subarray(0, bad.lastIndexOf('>') + 1))).not.toThrow()
    }),
    { numRuns: 500 },
  )
})

test('an element stands for itself: its text is read as the element that it was', () => {
  fc.assert(
    fc.property(document, sizes, (whole, split) => {
      for (const element of record(whole, split).elements) {
        for (const text of [elementToString(element), elementToString(asMade(element))]) {
          const again = parseElement(withDefault(text, element.name)).element
          expect(again && tree(again)).toEqual(tree(withNs(element)))
        }
      }
    }),
    { numRuns: 500 },
  )
})

/** Alone it has not the default namespace of the stream. */
function withDefault(text: string, name: string): string {
  return /^<[^>]*?\sxmlns=/.test(text) ? text : text.replace(name, `${name} xmlns='jabber:client'`)
}

function withNs(element: Parameters<typeof tree>[0]): Parameters<typeof tree>[0] {
  const has = element.attributes.some(([key]) => key === 'xmlns')
  const made = asMade(element)
  return has
    ? made
    : Object.assign(made, { attributes: [['xmlns', 'jabber:client'] as const, ...made.attributes] })
}
