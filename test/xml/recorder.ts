/** Runs documents through the XML stream and through saxes, and tells what came out in the same words. */
import { SaxesParser } from 'saxes'
import { type Attribute, Element, type Node } from '../../server-core/xml/element.ts'
import { type XmlError, type XmlHandler, type XmlLimits, XmlStream } from '../../server-core/xml/parser.ts'

export const limits: XmlLimits = {
  maxStanzaSize: 262_144,
  maxElements: 4096,
  maxDepth: 256,
  maxAttributes: 100,
  maxNameBytes: 1024,
}

export const streamHeader =
  "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' " +
  "xmlns:stream='http://etherx.jabber.org/streams'>"

/** An element without what cannot be seen in its text: name, resolved namespace, attributes, children. */
export type Tree = { name: string; ns: string; attributes: Attribute[]; children: (Tree | string)[] }

export function tree(element: Element): Tree {
  return {
    name: element.name,
    ns: element.ns,
    attributes: [...element.attributes],
    children: element.children.map((child) => (typeof child === 'string' ? child : tree(child))),
  }
}

export class Recorder implements XmlHandler {
  root: Element | undefined
  readonly elements: Element[] = []
  isEnded = false
  readonly errors: XmlError[] = []
  stream: XmlStream | undefined
  /** How many bytes of the chunk came behind the end. */
  bytesBehind = 0

  onStreamStart(name: string, attributes: readonly Attribute[], element: Element): void {
    if (name !== element.name || attributes !== element.attributes) throw new Error('the root is not itself')
    this.root = element
  }

  onElement(element: Element): void {
    if (this.errors.length > 0 || this.isEnded) throw new Error('an element came behind the end')
    this.elements.push(element)
  }

  onStreamEnd(): void {
    this.isEnded = true
    this.bytesBehind = this.stream?.unparsed ?? 0
  }

  onError(error: XmlError): void {
    this.errors.push(error)
  }

  /** What happened, for comparisons. */
  get story() {
    return {
      root: this.root && tree(this.root),
      elements: this.elements.map(tree),
      isEnded: this.isEnded,
      errors: this.errors.map(({ condition, appCondition, message, offset }) => ({
        condition,
        appCondition,
        message,
        offset,
      })),
    }
  }

  get condition(): string | undefined {
    return this.errors[0]?.condition
  }
}

/** The document in chunks of these sizes, the last one again and again. */
export function record(
  document: string | Buffer,
  sizes: readonly number[] = [],
  changed: Partial<XmlLimits> = {},
): Recorder {
  const recorder = new Recorder()
  const stream = new XmlStream(recorder, { ...limits, ...changed })
  recorder.stream = stream
  const bytes = Buffer.from(document)
  for (const chunk of chunks(bytes, sizes)) stream.parse(chunk)
  return recorder
}

/** Each chunk is overwritten as soon as the next is asked for: nobody may keep one. */
export function* chunks(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0
  for (let n = 0; at < bytes.length; n++) {
    const size = sizes[Math.min(n, sizes.length - 1)] ?? bytes.length
    const chunk = Buffer.from(bytes.subarray(at, at + size))
    yield chunk
    chunk.fill(0xff)
    at += size
  }
}

/** saxes cuts white space around a namespace off, which no specification knows. */
export function trimmed(element: Tree): Tree {
  const children = element.children.map((child) => (typeof child === 'string' ? child : trimmed(child)))
  return { ...element, ns: element.ns.trim(), children }
}

/** What saxes makes of a whole document: the trees of the first level, and whether it found any error. */
export function oracle(document: string): { elements: Tree[]; isValid: boolean } {
  const parser = new SaxesParser({ xmlns: true, position: false })
  const elements: Tree[] = []
  const open: Tree[] = []
  let isValid = true
  const addText = (text: string) => {
    const children = open.length > 1 ? open.at(-1)?.children : undefined
    if (children === undefined || text === '') return
    const last = children.at(-1)
    if (typeof last === 'string') children[children.length - 1] = last + text
    else children.push(text)
  }
  parser.on('error', () => {
    isValid = false
  })
  parser.on('opentag', (tag) => {
    const attributes = Object.values(tag.attributes).map(({ name, value }): Attribute => [name, value])
    open.push({ name: tag.name, ns: tag.uri, attributes, children: [] })
  })
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => {
    const element = open.pop()
    if (element === undefined || !isValid) return
    if (open.length > 1) open.at(-1)?.children.push(element)
    else if (open.length === 1) elements.push(element)
  })
  parser.write(document).close()
  return { elements, isValid }
}

/** The element as code would make it: without what the parser knows of its bytes. */
export function asMade(element: Element): Element {
  const children: Node[] = element.children.map((child) =>
    typeof child === 'string' ? child : asMade(child),
  )
  return new Element(element.name, element.attributes, children, element.ns)
}
