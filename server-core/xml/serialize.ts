/** Elements as text. What could not be read back is refused here, before it reaches a stream. */
import type { Attribute, Element, Node } from './element.ts'
import { isQualifiedName } from './names.ts'

/** Thrown for a tree that no document can hold: a mistake of the code that made it. */
export class UnserializableError extends Error {
  override readonly name = 'UnserializableError'
}

/** XML 1.0 §2.2: characters that no document can hold; halves of surrogate pairs are none at all. */
const forbidden = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u

/** Whether XML can hold this text; to be asked before text of unknown origin is put into a tree. */
export function isXmlText(text: string): boolean {
  return !forbidden.test(text)
}

// One look at each text: nearly none has anything to write in another way, or to look at twice.
const unusualInText = /[&<>"'\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]/
const unusualInValue = /[&<>"'\0-\x1f\ud800-\udfff\ufffe\uffff]/

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

/** Character data as it is written: & < > " ' and CR as references. */
export function crypt(text: string): string {
  return unusualInText.test(text) ? escaped(text, /[&<>"'\r]/g) : text
}

/** An attribute's value as it is written: TAB and LF as references too, else they would be read as spaces. */
export function cryptValue(text: string): string {
  return unusualInValue.test(text) ? escaped(text, /[&<>"'\t\n\r]/g) : text
}

function escaped(text: string, special: RegExp): string {
  if (forbidden.test(text)) throw new UnserializableError('a text has a character that XML forbids')
  return text.replace(special, (char) => references[char] as string)
}

/** `<name a='v'>`, for an element that stays open: a stream header. */
export function startTag(element: Element): string {
  return `${openTag(element)}>`
}

/** The whole element. Children that are as they were received are written as they were received. */
export function elementToString(element: Element): string {
  const { content } = element
  if (content === undefined) return treeToString(element)
  return content === '' ? `${openTag(element)}/>` : `${openTag(element)}>${content}</${element.name}>`
}

/** Elements and texts, one behind the other. */
export function nodesToString(nodes: readonly Node[]): string {
  let text = ''
  for (const node of nodes) text += typeof node === 'string' ? crypt(node) : elementToString(node)
  return text
}

/** With a stack of our own, as trees may be deeper than the call stack. */
function treeToString(root: Element): string {
  let text = openTag(root)
  if (root.children.length === 0) return `${text}/>`
  text += '>'
  const above: { readonly element: Element; readonly next: number }[] = []
  let element = root
  let next = 0
  for (;;) {
    if (next === element.children.length) {
      text += `</${element.name}>`
      const outer = above.pop()
      if (outer === undefined) return text
      element = outer.element
      next = outer.next
      continue
    }
    const child = element.children[next++] as Node
    if (typeof child === 'string') {
      text += crypt(child)
    } else if (!isElement(child)) {
      throw new UnserializableError(`<${element.name}/> has a child that is neither element nor text`)
    } else if (child.content !== undefined || child.children.length === 0) {
      text += child.content ? elementToString(child) : `${openTag(child)}/>`
    } else {
      text += `${openTag(child)}>`
      above.push({ element, next })
      element = child
      next = 0
    }
  }
}

/** Types do not hold for everybody's code. */
function isElement(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'children' in value && 'attributes' in value
}

function openTag(element: Element): string {
  const { name, attributes } = element
  if (!isKnownName(name)) refuseName(name)
  let text = `<${name}`
  for (let n = 0; n < attributes.length; n++) {
    const [key, value] = attributes[n] as Attribute
    if (!isKnownName(key)) refuseName(key)
    if (typeof value !== 'string')
      throw new UnserializableError(`the attribute "${key}" of <${name}/> is no text`)
    for (let k = 0; k < n; k++) {
      if ((attributes[k] as Attribute)[0] === key)
        throw new UnserializableError(`<${name}/> has two "${key}"`)
    }
    text += ` ${key}='${cryptValue(value)}'`
  }
  return text
}

/** Names that were found right: there are few, and they come all the time. */
const names = new Set<string>()
const maxNames = 2000

function isKnownName(name: string): boolean {
  if (names.has(name)) return true
  if (!isQualifiedName(name)) return false
  if (names.size < maxNames && name.length <= 64) names.add(copy(name))
  return true
}

function refuseName(name: string): never {
  throw new UnserializableError(`${JSON.stringify(name)} is no name in XML`)
}

/** The same text in memory of its own: a slice would keep the whole text alive that it was cut from. */
function copy(text: string): string {
  return Buffer.from(text).toString()
}
