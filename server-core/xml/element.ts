/**
 * XML as this project sees it: elements, attributes, character data. Nothing else can occur in a stream (RFC 6120 §11.1).
 * Elements are never changed; what changes them makes a new one.
 */
import { nodesToString } from './serialize.ts'

export type Attribute = readonly [name: string, value: string]

/** A child is an element or, as a plain string, character data (unescaped). */
export type Node = Element | string

export class Element {
  /** As written, prefix included. */
  readonly name: string
  /** In the order written; namespace declarations are attributes like any other. */
  readonly attributes: readonly Attribute[]
  readonly children: readonly Node[]
  /** The namespace that the name is in; '' on elements made by code without `xmlns`: the parent's. */
  readonly ns: string
  /**
   * The children exactly as received, when they may be written into another stream as they are: set by the parser on
   * first-level elements whose content uses no prefix declared outside of it. Spares serialising what nobody changed.
   */
  readonly content: string | undefined

  constructor(
    name: string,
    attributes: readonly Attribute[] = [],
    children: readonly Node[] = [],
    ns?: string,
    content?: string,
  ) {
    this.name = name
    this.attributes = attributes
    this.children = children
    this.ns = ns ?? getAttrS('xmlns', attributes)
    this.content = content
  }
}

/** Makes an element; attributes that are undefined and children that are undefined are left out. */
export function el(
  name: string,
  attributes: Readonly<Record<string, string | undefined>> = {},
  ...children: readonly (Node | undefined)[]
): Element {
  const list: Attribute[] = []
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined) list.push([key, value])
  }
  return new Element(
    name,
    list,
    children.filter((child) => child !== undefined),
  )
}

/** The first attribute of that name, or false. */
export function getAttr(name: string, attributes: readonly Attribute[]): { value: string } | false {
  for (const attribute of attributes) if (attribute[0] === name) return { value: attribute[1] }
  return false
}

/** The value of the first attribute of that name, or ''. */
export function getAttrS(name: string, attributes: readonly Attribute[]): string {
  for (const attribute of attributes) if (attribute[0] === name) return attribute[1]
  return ''
}

export function getTagAttr(name: string, element: Element): { value: string } | false {
  return getAttr(name, element.attributes)
}

export function getTagAttrS(name: string, element: Element): string {
  return getAttrS(name, element.attributes)
}

/** The value of an attribute, or undefined: for code that must tell "absent" from "empty". */
export function attr(element: Element, name: string): string | undefined {
  for (const attribute of element.attributes) if (attribute[0] === name) return attribute[1]
  return undefined
}

/** The elements among the children, order kept. */
export function removeCdata(children: readonly Node[]): Element[] {
  return children.filter((child) => typeof child !== 'string')
}

/** The direct texts, joined. */
export function getCdata(children: readonly Node[]): string {
  let text = ''
  for (const child of children) if (typeof child === 'string') text += child
  return text
}

export function getTagCdata(element: Element): string {
  return getCdata(element.children)
}

/** The first child element of that name, or false. */
export function getSubtag(element: Element, name: string): Element | false {
  for (const child of element.children) if (typeof child !== 'string' && child.name === name) return child
  return false
}

/** The text of the first child element of that name, or ''. */
export function getSubtagCdata(element: Element, name: string): string {
  const child = getSubtag(element, name)
  return child ? getTagCdata(child) : ''
}

/** The name without its prefix. */
export function localName(element: Element): string {
  const colon = element.name.indexOf(':')
  return colon < 0 ? element.name : element.name.slice(colon + 1)
}

/** The first child element with that local name in that namespace (a child made without one is in its parent's). */
export function getChild(parent: Element, name: string, ns: string): Element | undefined {
  for (const child of parent.children) {
    if (typeof child !== 'string' && (child.ns || parent.ns) === ns && localName(child) === name) return child
  }
  return undefined
}

/** A new element with these children behind the others, which stay as received. */
export function appendSubtags(element: Element, list: readonly Node[]): Element {
  const { name, attributes, children, ns, content } = element
  const all = [...children, ...list]
  return new Element(
    name,
    attributes,
    all,
    ns,
    content === undefined ? undefined : content + nodesToString(list),
  )
}

/** A new element whose attribute has that value; added at the end if it was absent. The content stays as received. */
export function replaceTagAttr(name: string, value: string, element: Element): Element {
  return withAttributes(element, { [name]: value })
}

/** A new element with these attributes replaced, added, or (undefined) taken away. The content stays as received. */
export function withAttributes(
  element: Element,
  changes: Readonly<Record<string, string | undefined>>,
): Element {
  const list: Attribute[] = []
  for (const attribute of element.attributes) if (!(attribute[0] in changes)) list.push(attribute)
  for (const name in changes) {
    const value = changes[name]
    if (value !== undefined) list.push([name, value])
  }
  return new Element(element.name, list, element.children, changes['xmlns'] ?? element.ns, element.content)
}

export type PathStep = { readonly elem: string } | { readonly attr: string } | 'cdata'

/** Follows a path of element names; `attr` and `cdata` may only stand last. [] is the element itself; nothing there is ''. */
export function getPathS(element: Element, path: readonly PathStep[]): Element | string {
  const wrong = path.slice(0, -1).find((step) => step === 'cdata' || 'attr' in step)
  if (wrong !== undefined) throw new Error(`a path cannot go on behind ${JSON.stringify(wrong)}`)
  let place = element
  for (const step of path) {
    if (step === 'cdata') return getTagCdata(place)
    if ('attr' in step) return getTagAttrS(step.attr, place)
    const child = getSubtag(place, step.elem)
    if (!child) return ''
    place = child
  }
  return place
}
