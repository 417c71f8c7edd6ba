import { expect, test } from 'vitest'
import { declared } from '../../server-core/xml/declared.ts'
import { type Element, el, removeCdata } from '../../server-core/xml/element.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'

/** The first child of the first child and so on, and what is around it. */
function inner(text: string, depth: number): [Element, ...Element[]] {
  let found: [Element, ...Element[]] = [parseElement(text).element ?? el('none')]
  for (let n = 0; n < depth; n++) found = [removeCdata(found[0].children)[0] ?? el('none'), ...found]
  return found
}

test.each([
  ["<a xmlns='urn:a'><b/></a>", 1, "<b xmlns='urn:a'/>"],
  ["<a xmlns='urn:a'><b xmlns='urn:b'/></a>", 1, "<b xmlns='urn:b'/>"],
  ["<a xmlns='urn:a'><b xmlns=''/></a>", 1, "<b xmlns=''/>"],
  ['<a><b/></a>', 1, '<b/>'],
  ["<a xmlns:p='urn:p'><p:b/></a>", 1, "<p:b xmlns:p='urn:p'/>"],
  ["<a xmlns:p='urn:p'><p:b xmlns:p='urn:q'/></a>", 1, "<p:b xmlns:p='urn:q'/>"],
  ["<a xmlns:p='urn:p' xmlns:q='urn:q'><b><c p:d=''/></b></a>", 1, "<b xmlns:p='urn:p'><c p:d=''/></b>"],
  ["<a xmlns:p='urn:p'><b xmlns:p='urn:q'><c><p:d/></c></b></a>", 2, "<c xmlns:p='urn:q'><p:d/></c>"],
  ["<a xmlns:p='urn:p'><b><c xmlns:p='urn:q'><p:d/></c></b></a>", 1, "<b><c xmlns:p='urn:q'><p:d/></c></b>"],
  [
    "<a xmlns:p='urn:p' xmlns='urn:a'><b xml:lang='en'><p:c/></b></a>",
    1,
    "<b xml:lang='en' xmlns:p='urn:p' xmlns='urn:a'><p:c/></b>",
  ],
])('out of %s', (text, depth, expected) => {
  const [element, ...around] = inner(text, depth)
  const free = declared(element, ...around)
  expect(elementToString(free)).toBe(expected)
  expect(parseElement(expected).error).toBeUndefined()
  expect(declared(free)).toBe(free)
})

test('what was made by code has the namespace that it will stand in', () => {
  const made = el('a', {}, el('b'))
  expect(declared(made, el('c', { xmlns: 'urn:c' }))).toBe(made)
})
