/** Stanzas as they are kept: whole, as text that can be read without the stream that they came through. */
import { attr, Element, withAttributes } from '../xml/element.ts'
import { parseElement } from '../xml/parser.ts'
import { elementToString } from '../xml/serialize.ts'
import { ns } from './namespaces.ts'
import { stanzaKind } from './stanza.ts'

/** The stream's default namespace is written down: nothing else says it later. */
export function stanzaText(element: Element): string {
  return elementToString(withAttributes(element, { xmlns: ns.client }))
}

/** Undefined for a text that is no stanza: nothing that is kept should be, but data may come from elsewhere. */
export function readStanzaText(text: string): Element | undefined {
  const { element } = parseElement(text)
  if (element === undefined || stanzaKind(element) === undefined) return undefined
  return attr(element, 'xmlns') === undefined ? element : withoutDeclaration(element)
}

/** The namespace stays what it is; it is the stream's own again, so it need not be written. */
function withoutDeclaration(element: Element): Element {
  const attributes = element.attributes.filter(([name]) => name !== 'xmlns')
  return new Element(element.name, attributes, element.children, element.ns, element.content)
}
