/** Elements that leave the element, or the stream, that they came in. */
import { type Attribute, attr, type Element, withAttributes } from './element.ts'

/**
 * The element with all that it has from outside written on it: its namespace, if it had it from its parent, and the prefixes that it
 * or anything in it uses and that the elements around it (innermost first) declare. First-level elements do not need it, the
 * parser has done it; what is taken out of one does, or nobody can read it elsewhere.
 */
export function declared(element: Element, ...around: readonly Element[]): Element {
  const added: Record<string, string> = {}
  for (const prefix of around.some(declaresPrefix) ? openPrefixes(element) : []) {
    const name = `xmlns:${prefix}`
    const declaring = around.find((outer) => attr(outer, name) !== undefined)
    const uri = declaring && attr(declaring, name)
    if (uri !== undefined) added[name] = uri
  }
  const colon = element.name.indexOf(':')
  const own = colon < 0 ? 'xmlns' : `xmlns:${element.name.slice(0, colon)}`
  if (element.ns !== '' && attr(element, own) !== element.ns) added[own] = element.ns
  return Object.keys(added).length === 0 ? element : withAttributes(element, added)
}

function declaresPrefix(element: Element): boolean {
  return element.attributes.some(([name]) => name.startsWith('xmlns:'))
}

/** The prefixes that are used in an element where nothing in it declares them. */
function openPrefixes(root: Element): Set<string> {
  const open = new Set<string>()
  const waiting: { readonly element: Element; readonly known: ReadonlySet<string> }[] = [
    { element: root, known: new Set(['xml', 'xmlns']) },
  ]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const { element } = at
    const own = element.attributes.filter(([name]) => name.startsWith('xmlns:'))
    const known = own.length === 0 ? at.known : new Set([...at.known, ...own.map(prefixDeclared)])
    for (const name of [element.name, ...element.attributes.map(([key]) => key)]) {
      const colon = name.indexOf(':')
      if (colon > 0 && !known.has(name.slice(0, colon))) open.add(name.slice(0, colon))
    }
    for (const child of element.children)
      if (typeof child !== 'string') waiting.push({ element: child, known })
  }
  return open
}

function prefixDeclared([name]: Attribute): string {
  return name.slice('xmlns:'.length)
}
