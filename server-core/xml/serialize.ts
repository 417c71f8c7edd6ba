/** Elements as text. Everything that could not be read back is refused here, before it reaches a stream. */
import type { Attribute, Element, Node } from './element.ts'

/** Thrown for a tree that has no text in XML: a mistake of the code that made it. */
export class UnserializableError extends Error {
  override readonly name = 'UnserializableError'
}

/** XML 1.0 §2.2: characters that no document can hold, lone surrogates among them. */
const forbidden = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u

/** Whether XML can hold this text; to be asked before text of unknown origin is put into a tree. */
export function isXmlText(text: string): boolean {
  return !forbidden.test(text)
}

const specialInText = /[&<>"'\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]/
const specialInValue = /[&<>"'\x00-\x1f\ud800-\udfff\ufffe\uffff]/

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}

/** Character data as it is written: & < > " ' and CR as references. Characters that XML forbids are an error. */
export function crypt(text: string): string {
  return specialInText.test(text) ? escaped(text, /[&<>"'\r]/g) : text
}

/** An attribute's value as it is written: also TAB and LF as references, else they would be read as spaces. */
export function cryptValue(text: string): string {
  return specialInValue.test(text) ? escaped(text, /[&<>"'\t\n\r]/g) : text
}

function escaped(text: string, special: RegExp): string {
  if (forbidden.test(text)) throw new UnserializableError('a text holds a character that XML forbids')
  return text.replace(special, (char) => references[char] as string)
}

/** `<name a='v'>`, for an element that stays open: a stream header. */
export function startTag(element: Element): string {
  return `${openTag(element)}>`
}

function openTag(element: Element): string {
  let text = `<${element.name}`
  for (const [name, value] of element.attributes as readonly Attribute[])
    text += ` ${name}='${cryptValue(value)}'`
  return text
}

/** The whole element. Children that are as they were received are written as they were received. */
export function elementToString(element: Element): string {
  const { content } = element
  if (content !== undefined) {
    return content === '' ? `${openTag(element)}/>` : `${openTag(element)}>${content}</${element.name}>`
  }
  let text = openTag(element)
  if (element.children.length === 0) return `${text}/>`
  // A stack of our own: a tree may be deeper than the call stack.
  const above: { element: Element; next: number }[] = []
  let current = element
  let next = 0
  text += '>'
  for (;;) {
    const child: Node | undefined = current.children[next++]
    if (child === undefined) {
      text += `</${current.name}>`
      const up = above.pop()
      if (up === undefined) return text
      current = up.element
      next = up.next
    } else if (typeof child === 'string') {
      text += crypt(child)
    } else {
      text += openTag(child)
      if (child.content !== undefined && child.content !== '') text += `>${child.content}</${child.name}>`
      else if (child.children.length === 0) text += '/>'
      else {
        text += '>'
        above.push({ element: current, next })
        current = child
        next = 0
      }
    }
  }
}
