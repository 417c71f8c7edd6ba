import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Attribute,
  appendSubtags,
  Element,
  el,
  type Node,
  withAttributes,
} from '../../server-core/xml/element.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import {
  crypt,
  cryptValue,
  elementToString,
  isXmlText,
  startTag,
  UnserializableError,
} from '../../server-core/xml/serialize.ts'
import { tree } from './recorder.ts'

describe('an element', () => {
  test('without children is one tag', () => {
    expect(elementToString(el('presence'))).toBe('<presence/>')
    expect(elementToString(new Element('a', [], [], '', ''))).toBe('<a/>')
  })

  test('has its attributes in order and in single quotes', () => {
    const element = new Element('a', [
      ['z', '1'],
      ['b', '2'],
      ['xmlns', 'urn:a'],
    ])
    expect(elementToString(element)).toBe("<a z='1' b='2' xmlns='urn:a'/>")
  })

  test('has its children in order', () => {
    const element = el('a', {}, 'one ', el('b', { c: 'd' }, el('e'), 'two'), ' three', '', el('f', {}, ''))
    expect(elementToString(element)).toBe("<a>one <b c='d'><e/>two</b> three<f></f></a>")
  })

  test('that stays open is its start tag', () => {
    expect(startTag(el('stream:stream', { to: "o'neill.example" }, 'never'))).toBe(
      "<stream:stream to='o&apos;neill.example'>",
    )
  })

  test('may be deeper than the call stack', () => {
    let element = el('a')
    for (let n = 0; n < 100_000; n++) element = el('a', {}, element)
    const text = elementToString(element)
    expect(text).toHaveLength(7 * 100_000 + 4)
    expect(text.startsWith('<a><a><a>')).toBe(true)
  })
})

describe('what was received', () => {
  const received = parseElement(
    '<message to="a"><body>don\'t</body><x xmlns="urn:x"  a = "1" /></message>',
  ).element
  if (received === undefined) throw new Error('it is well-formed')

  test('is written as it was received, but for the first tag', () => {
    expect(elementToString(received)).toBe(
      '<message to=\'a\'><body>don\'t</body><x xmlns="urn:x"  a = "1" /></message>',
    )
  })

  test('also with other attributes', () => {
    expect(elementToString(withAttributes(received, { from: 'b', to: undefined }))).toBe(
      '<message from=\'b\'><body>don\'t</body><x xmlns="urn:x"  a = "1" /></message>',
    )
  })

  test('also with more behind it', () => {
    const delayed = appendSubtags(received, [el('delay', { by: "o'" }), "isn't"])
    expect(elementToString(delayed)).toBe(
      "<message to='a'><body>don't</body><x xmlns=\"urn:x\"  a = \"1\" /><delay by='o&apos;'/>isn&apos;t</message>",
    )
    expect(delayed.children).toHaveLength(4)
    expect(elementToString(appendSubtags(el('a'), [el('b')]))).toBe('<a><b/></a>')
  })

  test('also inside of what we made', () => {
    expect(elementToString(el('forwarded', {}, received, parseElement('<a></a>').element))).toBe(
      '<forwarded><message to=\'a\'><body>don\'t</body><x xmlns="urn:x"  a = "1" /></message><a/></forwarded>',
    )
  })
})

describe('characters with a meaning', () => {
  test('are written as references', () => {
    expect(crypt(`<a & "b" 'c'>`)).toBe('&lt;a &amp; &quot;b&quot; &apos;c&apos;&gt;')
    expect(cryptValue(`<a & "b" 'c'>`)).toBe('&lt;a &amp; &quot;b&quot; &apos;c&apos;&gt;')
    expect(crypt('nothing to do: 😀 ü')).toBe('nothing to do: 😀 ü')
  })

  test('white space that a parser would change, too', () => {
    expect(crypt('a\tb\nc\rd')).toBe('a\tb\nc&#13;d')
    expect(cryptValue('a\tb\nc\rd e')).toBe('a&#9;b&#10;c&#13;d e')
  })
})

describe('what XML cannot hold is refused', () => {
  test.each(['\0', '\x0b', '\x1f', '\ufffe', '\uffff', '\ud800', 'a\udc00', '\ude00\ud83d'])(
    'the character %j',
    (char) => {
      expect(isXmlText(`a${char}b`)).toBe(false)
      for (const refused of [
        () => crypt(char),
        () => cryptValue(char),
        () => elementToString(el('a', {}, char)),
        () => elementToString(el('a', { b: char })),
      ])
        expect(refused).toThrow(UnserializableError)
    },
  )

  test('the other characters are not', () => {
    for (const char of [
      '\t',
      '\n',
      '\r',
      ' ',
      '\x7f',
      '\x85',
      '\ud7ff',
      '\ue000',
      '\ufffd',
      '\ufdd0',
      '😀',
      '\u{10ffff}',
    ]) {
      expect(isXmlText(char)).toBe(true)
      expect(parseElement(elementToString(el('a', { b: char }, char))).element?.children).toEqual([char])
    }
  })

  test.each([
    '',
    ' ',
    'a b',
    '1',
    '-a',
    'a>',
    'a/',
    'a:',
    ':a',
    'a:b:c',
    'a:1',
    "a'",
    'a=',
    'a\n',
    '×',
    'a\ud800',
  ])('the name %j', (name) => {
    expect(() => elementToString(el(name))).toThrow(UnserializableError)
    expect(() => elementToString(el('a', { [name]: '' }))).toThrow(UnserializableError)
    expect(() => elementToString(el('a', {}, el(name)))).toThrow(UnserializableError)
    expect(() => startTag(el(name))).toThrow(UnserializableError)
  })

  test.each([[5], [true], [null], [{}], [['a']], [el], [new Date(0)]])(
    'a child that is neither element nor text: %j',
    (child) => {
      expect(() => elementToString(el('a', {}, 'text', child as never))).toThrow(UnserializableError)
      expect(() => elementToString(el('a', {}, el('b', {}, child as never)))).toThrow(UnserializableError)
    },
  )

  test.each([[5], [true], [null], [{}]])('an attribute that is no text: %j', (value) => {
    expect(() => elementToString(el('a', { b: value as never }))).toThrow(UnserializableError)
    expect(() => startTag(el('a', { b: value as never }))).toThrow(UnserializableError)
  })

  test('an attribute that comes twice', () => {
    const twice: Attribute[] = [
      ['a', '1'],
      ['b', '2'],
      ['a', '1'],
    ]
    expect(() => elementToString(new Element('a', twice))).toThrow(UnserializableError)
  })
})

test('what is written is read as the same element, neighbouring texts joined and empty ones dropped', () => {
  const name = fc.stringMatching(/^[A-Z_a-zäöü][-.0-9A-Z_a-zäöü]{0,6}$/).filter((text) => text !== 'xmlns')
  const text = fc.string({ unit: 'binary' }).filter(isXmlText)
  const attributes = fc.uniqueArray(fc.tuple(name, text), { maxLength: 4, selector: ([key]) => key })
  const xmlns = fc.option(fc.constantFrom('urn:a', 'urn:b', "it's & more"))
  const { element } = fc.letrec<{ element: Element; node: Node }>((tie) => ({
    element: fc
      .tuple(name, xmlns, attributes, fc.array(tie('node'), { maxLength: 4 }))
      .map(([key, uri, list, children]) => {
        const all: Attribute[] = uri === null ? list : [...list, ['xmlns', uri]]
        return new Element(key, all, children)
      }),
    node: fc.oneof({ maxDepth: 4 }, text, fc.constant(''), tie('element')),
  }))
  fc.assert(
    fc.property(element, (made) => {
      const read = parseElement(elementToString(made)).element
      expect(read && tree(read)).toEqual(expected(made, ''))
    }),
    { numRuns: 500 },
  )
})

/** As it is read: with the namespaces that the parents give, neighbouring texts joined. */
function expected(element: Element, outer: string): ReturnType<typeof tree> {
  const ns = element.ns || outer
  const children: ReturnType<typeof tree>['children'] = []
  for (const child of element.children) {
    const last = children.at(-1)
    if (typeof child !== 'string') children.push(expected(child, ns))
    else if (typeof last === 'string') children[children.length - 1] = last + child
    else if (child !== '') children.push(child)
  }
  return { name: element.name, ns, attributes: [...element.attributes], children }
}
