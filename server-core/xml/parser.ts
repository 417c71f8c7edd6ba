/**
 * XML streams, bytes to elements: XML 1.0 (5th edition) and Namespaces in XML 1.0 as far as streams allow them (RFC 6120
 * §11.1), with limits that hold while bytes arrive. A chunk may end anywhere. What is not finished waits as bytes, and no byte
 * is looked at more than a few times however small the chunks are.
 */
import { type Attribute, Element, type Node } from './element.ts'
import { ByteInput } from './input.ts'
import * as lexis from './lexis.ts'
import { hashOf, intern, isQualifiedName } from './names.ts'

export interface XmlLimits {
  /** Bytes of one first-level element, or of everything up to the end of the root's start tag. */
  readonly maxStanzaSize: number
  /** Elements in one first-level element, itself included. */
  readonly maxElements: number
  /** The first-level element is at depth 1. */
  readonly maxDepth: number
  /** On one element, namespace declarations included. */
  readonly maxAttributes: number
  /** Bytes of the name of an element or attribute. */
  readonly maxNameBytes: number
}

/** What the names mean as stream errors: RFC 6120 §4.9.3. */
export type XmlErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'not-well-formed'
  | 'policy-violation'
  | 'restricted-xml'
  | 'unsupported-encoding'

export class XmlError extends Error {
  override readonly name = 'XmlError'
  readonly condition: XmlErrorCondition
  /** Goes beside the condition, in urn:xmpp:errors. */
  readonly appCondition: 'stanza-too-big' | undefined
  /** How many bytes of the document come before the place. */
  readonly offset: number

  /** The message says what is wrong without quoting the input: it may be sent and logged. */
  constructor(
    condition: XmlErrorCondition,
    message: string,
    offset: number,
    appCondition?: 'stanza-too-big',
  ) {
    super(message)
    this.condition = condition
    this.appCondition = appCondition
    this.offset = offset
  }
}

/** Called while bytes are parsed; may call every method of the stream. After onError or onStreamEnd comes nothing more. */
export interface XmlHandler {
  /** The root's start tag; the element has no children. */
  onStreamStart(name: string, attributes: readonly Attribute[], element: Element): void
  /** A first-level element, whole. */
  onElement(element: Element): void
  onStreamEnd(): void
  onError(error: XmlError): void
}

/** Where in a document we are. */
const phases = {
  /** Nothing has come: an XML declaration may. */
  start: 0,
  /** Before the root's start tag. */
  prolog: 1,
  /** Between the first-level elements. */
  between: 2,
  /** In a first-level element. */
  inside: 3,
  /** Behind the root. */
  ended: 4,
  /** After an error or `close`. */
  closed: 5,
} as const

type Phase = (typeof phases)[keyof typeof phases]

/** An element whose end tag has not come. The objects are used again, one for each depth. */
interface Frame {
  name: string
  attributes: readonly Attribute[]
  ns: string
  defaultNs: string
  /** How many nodes lie below its children on the stack of nodes. */
  mark: number
  /** The prefixes it declares, each with what it meant outside. */
  shadowed: [prefix: string, outside: Binding | undefined][] | undefined
}

interface Binding {
  readonly uri: string
  /** 0 is the root. */
  readonly depth: number
}

const xmlNs = 'http://www.w3.org/XML/1998/namespace'
const xmlnsNs = 'http://www.w3.org/2000/xmlns/'
const noNodes: readonly Node[] = []
const noAttributes: readonly Attribute[] = []
/** The attributes of the tag that is being read; tags are read one at a time. */
const tagAttributes: Attribute[] = []

/** A first-level element that came in more chunks than this has no `content`: its pieces would cost more than they spare. */
const maxContentPieces = 8
/** Depth up to which frames are kept for the next element. */
const keptFrames = 16
const maxDeclarationBytes = 1024
const incomplete = -1

const lt = 0x3c
const gt = 0x3e
const slash = 0x2f
const colon = 0x3a
const equals = 0x3d
const apostrophe = 0x27
const quotation = 0x22

export class XmlStream {
  readonly #handler: XmlHandler
  /** The document is a single element of the first level: parseElement. */
  readonly #fragment: boolean
  readonly #input = new ByteInput()
  #limits: XmlLimits
  #phase: Phase = phases.start
  #running = false
  #paused = false
  #restarted = false
  #failure: XmlError | undefined

  #root = ''
  #rootNs = ''
  #bindings = new Map<string, Binding>()

  // The first-level element that is being read.
  #depth = 0
  #frames: Frame[] = []
  #nodes: Node[] = []
  #nodeCount = 0
  #elements = 0
  /** Where it began in the input's bytes; below 0 when that has gone already. */
  #stanzaAt = 0
  /** Where the part of its content began that is not in #contentHead. */
  #contentAt = 0
  #contentHead = ''
  /** -1: the content cannot be used as it is. */
  #contentPieces = 0
  /** What it uses of the root's declarations. */
  #inherited: Map<string, string> | undefined

  // The token that is being read and whose end has not come: how much of it needs no second look.
  #scanned = 0
  /** Whether the part of it that was scanned has characters beyond ASCII, and anything to decode. */
  #isHigh = false
  #isCoded = false
  /** In a start tag: the quote that is open, or 0; how long the tag was when it was last read from its beginning. */
  #quote = 0
  #attempted = 0

  constructor(handler: XmlHandler, limits: XmlLimits, fragment = false) {
    this.#handler = handler
    this.#limits = limits
    this.#fragment = fragment
  }

  /** Bytes that have come and are not parsed: behind the element that is being handled, or while paused. */
  get unparsed(): number {
    return this.#input.waiting
  }

  /** Parses a chunk. It may be used again for something else as soon as this returns. */
  parse(chunk: Buffer): void {
    if (this.#phase === phases.closed || chunk.length === 0) return
    if (this.#phase === phases.ended && !this.#fragment && !this.#running && !this.#paused) return
    this.#moved(this.#input.append(chunk))
    this.#run()
  }

  setLimits(limits: XmlLimits): void {
    this.#limits = limits
  }

  /** No more events until `resume`: from within an event, none after it. What has come and what comes waits. */
  pause(): void {
    this.#paused = true
  }

  /** Goes on, at once unless called from within an event. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#run()
  }

  /** What is not parsed yet begins a new document (RFC 6120 §4.3.3: the stream is restarted). */
  reset(): void {
    if (this.#phase === phases.closed) return
    this.#phase = phases.start
    this.#restarted = true
    this.#bindings = new Map()
    this.#clearToken()
    this.#clearStanza()
    if (this.#depth > 0) {
      this.#depth = 0
      this.#nodes = []
      this.#nodeCount = 0
    }
  }

  /** Nothing more, whatever comes. */
  close(): void {
    this.#phase = phases.closed
    this.#failure = undefined
    this.#frames = []
    this.#nodes = []
    this.#contentHead = ''
    if (!this.#running) this.#input.clear()
  }

  /** The input is complete: an error if the document is not. */
  end(): void {
    const input = this.#input
    if (this.#phase === phases.closed || (this.#phase === phases.ended && input.waiting === 0)) return
    const empty = this.#phase <= phases.prolog && input.waiting === 0
    this.#refuse('not-well-formed', empty ? 'there is no element' : 'the document ends too early', input.pos)
    this.#report()
  }

  #run(): void {
    if (this.#running || this.#paused) return
    this.#running = true
    try {
      this.#readTokens()
      this.#checkWhatWaits()
      this.#report()
    } finally {
      this.#running = false
      if (
        this.#phase === phases.closed ||
        (this.#phase === phases.ended && !this.#fragment && !this.#paused)
      ) {
        this.#input.clear()
      } else {
        if (this.#phase === phases.inside) this.#saveContent()
        this.#moved(this.#input.release())
      }
    }
  }

  #readTokens(): void {
    const input = this.#input
    while (!this.#paused) {
      const { pos } = input
      if (pos >= input.end) return
      let next: number
      switch (this.#phase) {
        case phases.inside:
          next = input.bytes[pos] === lt ? this.#markup(pos) : this.#text(pos)
          break
        case phases.between:
        case phases.prolog:
        case phases.ended:
          if (this.#phase === phases.ended && !this.#fragment) return
          next = this.#outside(pos)
          break
        case phases.start:
          next = this.#start(pos)
          break
        case phases.closed:
          return
      }
      if (next < 0) return
    }
  }

  /** What is not finished counts too, before it is kept. */
  #checkWhatWaits(): void {
    const input = this.#input
    if (this.#paused || this.#failure !== undefined || this.#phase >= phases.ended) return
    if (input.invalid) {
      this.#refuse('not-well-formed', 'the bytes are not UTF-8', input.end)
    } else if (this.#phase === phases.inside || input.waiting > 0) {
      if (input.pos + input.waiting - this.#stanzaAt > this.#limits.maxStanzaSize) this.#tooBig(input.pos)
    }
  }

  #report(): void {
    const failure = this.#failure
    if (failure === undefined) return
    this.#failure = undefined
    this.#handler.onError(failure)
  }

  /** Ends the parsing; the handler is told when the tokenizer has returned. */
  #refuse(condition: XmlErrorCondition, message: string, at: number, appCondition?: 'stanza-too-big'): -1 {
    const failure = new XmlError(condition, message, this.#input.base + at, appCondition)
    this.close()
    this.#failure = failure
    return incomplete
  }

  #malformed(message: string, at: number): -1 {
    return this.#refuse('not-well-formed', message, at)
  }

  #tooBig(at: number): -1 {
    return this.#refuse('policy-violation', 'the stanza is too big', at, 'stanza-too-big')
  }

  #reference(result: number, at: number): -1 {
    return result === lexis.undeclared
      ? this.#refuse('restricted-xml', 'entities other than the five of XML are not allowed', at)
      : this.#malformed('a reference is not well-formed', at)
  }

  /** The token up to here is done. */
  #advance(next: number): number {
    this.#input.pos = next
    this.#scanned = 0
    return next
  }

  #clearToken(): void {
    this.#scanned = 0
    this.#isHigh = this.#isCoded = false
    this.#quote = 0
    this.#attempted = 0
  }

  #clearStanza(): void {
    this.#elements = 0
    this.#contentHead = ''
    this.#contentPieces = 0
    this.#inherited = undefined
  }

  #moved(by: number): void {
    if (by === 0) return
    this.#stanzaAt -= by
    this.#contentAt -= by
  }

  // Outside of first-level elements

  #start(pos: number): number {
    const input = this.#input
    const { bytes } = input
    if (this.#restarted) {
      // What is white here still belongs to the old stream: keep-alives, line ends.
      let i = pos
      while (i < input.end && lexis.isSpace[bytes[i] as number] === 1) i++
      if (i > pos) return this.#advance(i)
    }
    this.#stanzaAt = pos
    if (bytes[pos] === lt) {
      if (pos + 1 >= input.end) return incomplete
      if (bytes[pos + 1] === 0x3f) return this.#declaration(pos)
      if (bytes[pos + 1] === 0) return this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', pos)
    } else if (bytes[pos] === 0) {
      return this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', pos)
    }
    this.#phase = phases.prolog
    return pos
  }

  #declaration(pos: number): number {
    const input = this.#input
    const known = '<?xml'
    for (let i = 2; i < known.length; i++) {
      if (pos + i >= input.end) return incomplete
      if (input.bytes[pos + i] !== known.charCodeAt(i)) return this.#instruction(pos)
    }
    if (pos + 5 >= input.end) return incomplete
    if (lexis.isSpace[input.bytes[pos + 5] as number] === 0) return this.#instruction(pos)
    const found = input.bytes.subarray(pos, Math.min(input.end, pos + maxDeclarationBytes)).indexOf('?>')
    if (found < 0) {
      if (input.end - pos < maxDeclarationBytes) return incomplete
      return this.#malformed('the XML declaration is too long', pos)
    }
    const match = declaration.exec(input.utf8(pos, pos + found + 2))
    if (match === null) return this.#malformed('the XML declaration is not well-formed', pos)
    if (match[2] !== undefined && match[2].slice(1, -1).toLowerCase() !== 'utf-8') {
      return this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', pos)
    }
    this.#phase = phases.prolog
    return this.#advance(pos + found + 2)
  }

  #instruction(pos: number): -1 {
    return this.#refuse('restricted-xml', 'processing instructions are not allowed', pos)
  }

  /** White space, which is dropped, and tags. */
  #outside(pos: number): number {
    const input = this.#input
    const { bytes, end } = input
    let i = pos
    while (i < end && lexis.isSpace[bytes[i] as number] === 1) i++
    if (i > pos) this.#advance(i)
    this.#stanzaAt = i
    if (i >= end) return incomplete
    if (bytes[i] !== lt) {
      // Inside of the root this is well-formed, but there is nothing it could mean (RFC 6120 §4.9.3.1).
      if (this.#phase === phases.between)
        return this.#refuse('bad-format', 'there is text between stanzas', i)
      return this.#malformed('there is text outside of the root element', i)
    }
    return this.#markup(i)
  }

  /** What begins with `<`. */
  #markup(pos: number): number {
    const input = this.#input
    if (pos + 1 >= input.end) return incomplete
    switch (input.bytes[pos + 1]) {
      case slash:
        return this.#endTag(pos)
      case 0x21:
        return this.#declared(pos)
      case 0x3f:
        if (this.#phase === phases.ended) return this.#malformed('there is more behind the element', pos)
        return this.#instruction(pos)
      default:
        if (this.#phase === phases.ended) return this.#malformed('there is more behind the element', pos)
        return this.#startTag(pos)
    }
  }

  /** `<!`: a CDATA section, which is text, or what no stream may hold. */
  #declared(pos: number): number {
    const input = this.#input
    const { bytes, end } = input
    if (pos + 2 >= end) return incomplete
    if (bytes[pos + 2] === 0x2d) {
      if (pos + 3 >= end) return incomplete
      if (bytes[pos + 3] !== 0x2d) return this.#malformed('a tag is not well-formed', pos)
      return this.#refuse('restricted-xml', 'comments are not allowed', pos)
    }
    for (let i = 2; i < 9; i++) {
      if (pos + i >= end) return incomplete
      if (bytes[pos + i] !== '<![CDATA['.charCodeAt(i)) {
        if (i === 2 && bytes[pos + 2] === 0x44) {
          return this.#refuse('restricted-xml', 'document type declarations are not allowed', pos)
        }
        return this.#malformed('a tag is not well-formed', pos)
      }
    }
    if (this.#phase === phases.between)
      return this.#refuse('bad-format', 'there is text between stanzas', pos)
    if (this.#phase !== phases.inside) {
      return this.#malformed('there is text outside of the root element', pos)
    }
    return this.#cdata(pos)
  }

  // Character data

  #text(pos: number): number {
    const input = this.#input
    const { bytes, end } = input
    let isHigh = this.#isHigh
    let isCoded = this.#isCoded
    let i = pos + this.#scanned
    scan: for (; i < end; i++) {
      switch (lexis.inText[bytes[i] as number]) {
        case lexis.plain:
          break
        case lexis.lessThan: {
          const raw = isHigh ? input.utf8(pos, i) : input.ascii7(pos, i)
          this.#addText(isCoded ? lexis.decodeText(raw) : raw)
          this.#isHigh = this.#isCoded = false
          return this.#advance(i)
        }
        case lexis.ampersand: {
          const next = lexis.referenceEnd(bytes, i, end)
          if (next === lexis.unfinished) break scan
          if (next < 0) return this.#reference(next, i)
          isCoded = true
          i = next - 1
          break
        }
        case lexis.bracket:
          if (i + 1 < end && bytes[i + 1] !== 0x5d) break
          if (i + 2 >= end) break scan
          if (bytes[i + 2] === gt) return this.#malformed('character data holds ]]>', i)
          break
        case lexis.carriageReturn:
          isCoded = true
          this.#contentPieces = -1
          break
        case lexis.highest:
          if (lexis.isNoCharacter(bytes, i)) return this.#malformed('a character is not allowed', i)
          isHigh = true
          break
        case lexis.high:
          isHigh = true
          break
        default:
          return this.#malformed('a character is not allowed', i)
      }
    }
    this.#scanned = i - pos
    this.#isHigh = isHigh
    this.#isCoded = isCoded
    return incomplete
  }

  #cdata(pos: number): number {
    const input = this.#input
    const { bytes, end } = input
    let isHigh = this.#isHigh
    let isCoded = this.#isCoded
    let i = pos + Math.max(9, this.#scanned)
    for (; i < end; i++) {
      const kind = lexis.inText[bytes[i] as number]
      if (kind === lexis.bracket) {
        if (i + 1 < end && bytes[i + 1] !== 0x5d) continue
        if (i + 2 >= end) break
        if (bytes[i + 2] !== gt) continue
        const raw = isHigh ? input.utf8(pos + 9, i) : input.ascii7(pos + 9, i)
        this.#addText(isCoded ? raw.replaceAll('\r\n', '\n').replaceAll('\r', '\n') : raw)
        this.#isHigh = this.#isCoded = false
        // Many a client has never seen such a section.
        this.#contentPieces = -1
        return this.#advance(i + 3)
      }
      if (kind === lexis.highest && lexis.isNoCharacter(bytes, i)) {
        return this.#malformed('a character is not allowed', i)
      }
      if (kind === lexis.high || kind === lexis.highest) isHigh = true
      else if (kind === lexis.carriageReturn) isCoded = true
      else if (kind === lexis.forbidden) return this.#malformed('a character is not allowed', i)
    }
    this.#scanned = i - pos
    this.#isHigh = isHigh
    this.#isCoded = isCoded
    return incomplete
  }

  /** Neighbouring texts are one, empty ones none. */
  #addText(text: string): void {
    if (text === '') return
    const last = this.#nodeCount - 1
    const before = last >= (this.#frames[this.#depth - 1] as Frame).mark ? this.#nodes[last] : undefined
    if (typeof before === 'string') this.#nodes[last] = before + text
    else this.#nodes[this.#nodeCount++] = text
  }

  // Tags

  #endTag(pos: number): number {
    const input = this.#input
    const { bytes, end } = input
    const isRoot = this.#phase !== phases.inside
    if (isRoot && this.#phase !== phases.between) return this.#malformed('an end tag has no start tag', pos)
    const frame = isRoot ? undefined : (this.#frames[this.#depth - 1] as Frame)
    const name = frame === undefined ? this.#root : frame.name
    let i = pos + this.#scanned
    if (this.#scanned === 0) {
      i = pos + 2
      for (let k = 0; k < name.length; k++, i++) {
        if (i >= end) return incomplete
        const code = name.charCodeAt(k)
        if (code >= 0x80) {
          const rest = Buffer.from(name.slice(k))
          const length = Math.min(rest.length, end - i)
          if (rest.compare(bytes, i, i + length, 0, length) !== 0) {
            return this.#malformed('an end tag does not match its start tag', pos)
          }
          if (length < rest.length) return incomplete
          i += length
          break
        }
        if (bytes[i] !== code) return this.#malformed('an end tag does not match its start tag', pos)
      }
    }
    while (i < end && lexis.isSpace[bytes[i] as number] === 1) i++
    if (i >= end) {
      this.#scanned = i - pos
      return incomplete
    }
    if (bytes[i] !== gt) return this.#malformed('an end tag does not match its start tag', pos)
    this.#advance(i + 1)
    if (frame === undefined) {
      this.#phase = phases.ended
      this.#handler.onStreamEnd()
      return i + 1
    }
    return this.#closeElement(frame, pos)
  }

  #closeElement(frame: Frame, endTagAt: number): number {
    const children = this.#takeNodes(frame.mark)
    if (frame.shadowed !== undefined) this.#restore(frame.shadowed)
    this.#depth--
    if (this.#depth > 0) {
      this.#nodes[this.#nodeCount++] = new Element(frame.name, frame.attributes, children, frame.ns)
      return endTagAt
    }
    return this.#deliver(frame.name, frame.attributes, children, frame.ns, this.#content(endTagAt))
  }

  /** Lists as long as they have to be: most hold one node, and a list that has grown holds room for many. */
  #takeNodes(mark: number): readonly Node[] {
    const nodes = this.#nodes
    const count = this.#nodeCount - mark
    if (count === 0) return noNodes
    const children =
      count === 1
        ? [nodes[mark] as Node]
        : count === 2
          ? [nodes[mark] as Node, nodes[mark + 1] as Node]
          : nodes.slice(mark, this.#nodeCount)
    // The places stay, what stood in them must not.
    for (let i = mark; i < this.#nodeCount; i++) nodes[i] = ''
    this.#nodeCount = mark
    return children
  }

  #deliver(
    name: string,
    attributes: readonly Attribute[],
    children: readonly Node[],
    ns: string,
    content: string | undefined,
  ): number {
    const { pos } = this.#input
    if (pos - this.#stanzaAt > this.#limits.maxStanzaSize) return this.#tooBig(pos)
    const own = this.#inherited === undefined ? attributes : this.#withInherited(attributes)
    this.#phase = this.#fragment ? phases.ended : phases.between
    this.#stanzaAt = pos
    this.#clearStanza()
    if (this.#frames.length > keptFrames) this.#frames.length = keptFrames
    if (this.#nodes.length > keptFrames) this.#nodes = []
    this.#handler.onElement(new Element(name, own, children, ns, content))
    return pos
  }

  /** A first-level element leaves the stream, so it takes along what it uses of the root's declarations. */
  #withInherited(attributes: readonly Attribute[]): readonly Attribute[] {
    const list = [...attributes]
    for (const [prefix, uri] of this.#inherited ?? []) list.push([`xmlns:${prefix}`, uri])
    return list
  }

  #content(end: number): string | undefined {
    if (this.#contentPieces < 0) return undefined
    const last = this.#input.utf8(this.#contentAt, end)
    return this.#contentPieces === 0 ? last : this.#contentHead + last
  }

  /** The bytes that are parsed will be gone: keeps the part of the content that is among them. */
  #saveContent(): void {
    const { pos } = this.#input
    if (this.#contentPieces < 0 || this.#contentAt >= pos) return
    if (++this.#contentPieces > maxContentPieces) {
      this.#contentPieces = -1
      this.#contentHead = ''
    } else {
      this.#contentHead += this.#input.utf8(this.#contentAt, pos)
      this.#contentAt = pos
    }
  }

  #startTag(pos: number): number {
    if (this.#scanned > 0 && !this.#isWorthReading(pos)) return incomplete
    const input = this.#input
    const { bytes, end } = input
    const limits = this.#limits
    let i = pos + 1
    if (lexis.isNameStart[bytes[i] as number] === 0) return this.#malformed('a tag is not well-formed', pos)
    let hash = 0
    let isHigh = 0
    let colonAt = -1
    for (; i < end; i++) {
      const byte = bytes[i] as number
      if (lexis.isName[byte] === 0) break
      hash = (Math.imul(hash, 31) + byte) | 0
      isHigh |= byte
      if (byte === colon && colonAt < 0) colonAt = i
    }
    if (i - pos - 1 > limits.maxNameBytes) return this.#malformed('a name is too long', pos)
    if (i >= end) return this.#wait(pos, 0)
    const name = this.#name(pos + 1, i, hash, isHigh, colonAt)
    if (name === '') return this.#malformed('a name is not well-formed', pos)
    const prefix = colonAt < 0 ? '' : name.slice(0, colonAt - pos - 1)

    let count = 0
    let prefixed = 0
    let xmlns: string | undefined
    let declares = false
    let isEmpty = false
    for (;;) {
      let byte = bytes[i] as number
      const hasSpace = lexis.isSpace[byte] === 1
      while (lexis.isSpace[byte] === 1) {
        if (++i >= end) return this.#wait(pos, 0)
        byte = bytes[i] as number
      }
      if (byte === gt) {
        i++
        break
      }
      if (byte === slash) {
        if (i + 1 >= end) return this.#wait(pos, 0)
        if (bytes[i + 1] !== gt) return this.#malformed('a tag is not well-formed', i)
        i += 2
        isEmpty = true
        break
      }
      if (!hasSpace || lexis.isNameStart[byte] === 0) return this.#malformed('a tag is not well-formed', i)
      if (count >= limits.maxAttributes) {
        return this.#refuse('policy-violation', 'an element has too many attributes', i)
      }

      const nameAt = i
      hash = isHigh = 0
      colonAt = -1
      for (; i < end; i++) {
        byte = bytes[i] as number
        if (lexis.isName[byte] === 0) break
        hash = (Math.imul(hash, 31) + byte) | 0
        isHigh |= byte
        if (byte === colon && colonAt < 0) colonAt = i
      }
      if (i - nameAt > limits.maxNameBytes) return this.#malformed('a name is too long', nameAt)
      if (i >= end) return this.#wait(pos, 0)
      const key = this.#name(nameAt, i, hash, isHigh, colonAt)
      if (key === '') return this.#malformed('a name is not well-formed', nameAt)
      while (lexis.isSpace[bytes[i] as number] === 1) if (++i >= end) return this.#wait(pos, 0)
      if (bytes[i] !== equals) return this.#malformed('an attribute has no value', i)
      if (++i >= end) return this.#wait(pos, 0)
      while (lexis.isSpace[bytes[i] as number] === 1) if (++i >= end) return this.#wait(pos, 0)
      const quote = bytes[i] as number
      if (quote !== apostrophe && quote !== quotation) {
        return this.#malformed('an attribute has no quoted value', i)
      }
      i++

      const valueAt = i
      let isCoded = false
      isHigh = 0
      scan: for (; ; i++) {
        if (i >= end) return this.#wait(pos, quote)
        const b = bytes[i] as number
        switch (lexis.inValue[b]) {
          case lexis.plain:
            break
          case lexis.quote:
            if (b === quote) break scan
            break
          case lexis.ampersand: {
            const next = lexis.referenceEnd(bytes, i, end)
            if (next === lexis.unfinished) return this.#wait(pos, quote)
            if (next < 0) return this.#reference(next, i)
            isCoded = true
            i = next - 1
            break
          }
          case lexis.blank:
          case lexis.carriageReturn:
            isCoded = true
            break
          case lexis.highest:
            if (lexis.isNoCharacter(bytes, i)) return this.#malformed('a character is not allowed', i)
            isHigh = 0x80
            break
          case lexis.high:
            isHigh = 0x80
            break
          default:
            return this.#malformed('a character is not allowed in an attribute', i)
        }
      }
      let value: string
      if (key === 'xmlns' && isHigh === 0 && !isCoded) {
        value = intern(bytes, valueAt, i, hashOf(bytes, valueAt, i))
      } else {
        value = isHigh === 0 ? input.ascii7(valueAt, i) : input.utf8(valueAt, i)
        if (isCoded) value = lexis.decodeValue(value)
      }
      if (++i >= end) return this.#wait(pos, 0)

      for (let k = 0; k < count; k++) {
        if ((tagAttributes[k] as Attribute)[0] === key)
          return this.#malformed('an attribute comes twice', nameAt)
      }
      tagAttributes[count++] = [key, value]
      if (key === 'xmlns') xmlns = value
      else if (colonAt >= 0) {
        if (key.startsWith('xmlns:')) declares = true
        else prefixed++
      }
    }

    this.#clearToken()
    const attributes = count === 0 ? noAttributes : tagAttributes.slice(0, count)
    if (this.#phase === phases.inside) {
      this.#input.pos = i
    } else {
      if (i - this.#stanzaAt > limits.maxStanzaSize) return this.#tooBig(pos)
      this.#input.pos = i
      if (this.#phase <= phases.prolog && !this.#fragment) {
        return this.#openRoot(name, prefix, attributes, xmlns, declares, prefixed, isEmpty)
      }
      this.#phase = phases.inside
      this.#contentAt = i
    }
    return this.#openElement(name, prefix, attributes, xmlns, declares, prefixed, isEmpty, pos)
  }

  #name(start: number, end: number, hash: number, isHigh: number, colonAt: number): string {
    if (isHigh >= 0x80) {
      const name = this.#input.utf8(start, end)
      return isQualifiedName(name) ? name : ''
    }
    if (colonAt >= 0) {
      const { bytes } = this.#input
      if (colonAt === start || colonAt + 1 >= end) return ''
      if (lexis.isNameStart[bytes[colonAt + 1] as number] === 0) return ''
      for (let i = colonAt + 1; i < end; i++) if (bytes[i] === colon) return ''
    }
    return intern(this.#input.bytes, start, end, hash)
  }

  /** The tag goes on in the next chunk. */
  #wait(pos: number, quote: number): -1 {
    this.#scanned = this.#attempted = this.#input.end - pos
    this.#quote = quote
    return incomplete
  }

  /**
   * Whether reading a tag again from its beginning can come to something: its end has come, or it is twice as long as last time
   * (what is wrong with it must not wait for its end). Either way each byte is read a bounded number of times.
   */
  #isWorthReading(pos: number): boolean {
    const { bytes, end } = this.#input
    let quote = this.#quote
    for (let i = pos + this.#scanned; i < end; i++) {
      const byte = bytes[i]
      if (quote !== 0) {
        if (byte === quote) quote = 0
      } else if (byte === quotation || byte === apostrophe) quote = byte
      else if (byte === gt) return true
    }
    this.#quote = quote
    this.#scanned = end - pos
    return this.#scanned >= 2 * this.#attempted
  }

  #openRoot(
    name: string,
    prefix: string,
    attributes: readonly Attribute[],
    xmlns: string | undefined,
    declares: boolean,
    prefixed: number,
    isEmpty: boolean,
  ): number {
    const { pos } = this.#input
    if (xmlns !== undefined && !this.#isDefault(xmlns)) return incomplete
    if (declares && this.#declare(attributes, 0) === undefined) return incomplete
    const defaultNs = xmlns ?? ''
    const ns = prefix === '' ? defaultNs : this.#resolve(prefix)
    if (ns === undefined || (prefixed > 0 && !this.#areDistinct(attributes, prefixed))) return incomplete
    this.#inherited = undefined
    this.#root = name
    this.#rootNs = defaultNs
    this.#phase = phases.between
    this.#stanzaAt = pos
    this.#handler.onStreamStart(name, attributes, new Element(name, attributes, noNodes, ns))
    // The handler may have paused, restarted or closed; the root ends all the same unless it did the latter two.
    if (isEmpty && this.#phase === phases.between) {
      this.#phase = phases.ended
      this.#handler.onStreamEnd()
    }
    return pos
  }

  #openElement(
    name: string,
    prefix: string,
    attributes: readonly Attribute[],
    xmlns: string | undefined,
    declares: boolean,
    prefixed: number,
    isEmpty: boolean,
    at: number,
  ): number {
    const depth = this.#depth
    if (++this.#elements > this.#limits.maxElements) {
      return this.#refuse('policy-violation', 'a stanza has too many elements', at)
    }
    if (depth >= this.#limits.maxDepth) {
      return this.#refuse('policy-violation', 'a stanza has too deep elements', at)
    }
    let defaultNs = depth === 0 ? this.#rootNs : (this.#frames[depth - 1] as Frame).defaultNs
    if (xmlns !== undefined) {
      if (!this.#isDefault(xmlns)) return incomplete
      defaultNs = xmlns
    }
    let shadowed: Frame['shadowed']
    if (declares) {
      shadowed = this.#declare(attributes, depth + 1)
      if (shadowed === undefined) return incomplete
    }
    let ns: string | undefined = defaultNs
    if (prefix !== '') ns = this.#resolve(prefix)
    if (ns === undefined || (prefixed > 0 && !this.#areDistinct(attributes, prefixed))) return incomplete
    if (isEmpty) {
      if (shadowed !== undefined) this.#restore(shadowed)
      if (depth === 0) {
        return this.#deliver(name, attributes, noNodes, ns, this.#contentPieces < 0 ? undefined : '')
      }
      this.#nodes[this.#nodeCount++] = new Element(name, attributes, noNodes, ns)
      return at
    }
    const frame = this.#frames[depth]
    const mark = this.#nodeCount
    if (frame === undefined) this.#frames.push({ name, attributes, ns, defaultNs, mark, shadowed })
    else {
      frame.name = name
      frame.attributes = attributes
      frame.ns = ns
      frame.defaultNs = defaultNs
      frame.mark = mark
      frame.shadowed = shadowed
    }
    this.#depth = depth + 1
    return at
  }

  // Namespaces

  /** Namespaces in XML 1.0 §3: the two reserved names cannot be the default. */
  #isDefault(uri: string): boolean {
    if (uri !== xmlNs && uri !== xmlnsNs) return true
    this.#malformed('a reserved namespace cannot be the default', this.#input.pos)
    return false
  }

  /** Takes in the prefixes that a tag declares; what they meant outside, or undefined when a declaration is not allowed. */
  #declare(attributes: readonly Attribute[], depth: number): Frame['shadowed'] {
    const shadowed: NonNullable<Frame['shadowed']> = []
    for (const [name, uri] of attributes) {
      if (!name.startsWith('xmlns:')) continue
      const prefix = name.slice(6)
      const isXml = prefix === 'xml'
      if (prefix === 'xmlns' || uri === '' || uri === xmlnsNs || isXml !== (uri === xmlNs)) {
        this.#malformed('a prefix is declared that cannot be', this.#input.pos)
        return undefined
      }
      if (isXml) continue
      shadowed.push([prefix, this.#bindings.get(prefix)])
      this.#bindings.set(prefix, { uri, depth })
    }
    return shadowed
  }

  #restore(shadowed: NonNullable<Frame['shadowed']>): void {
    for (const [prefix, outside] of shadowed) {
      if (outside === undefined) this.#bindings.delete(prefix)
      else this.#bindings.set(prefix, outside)
    }
  }

  #resolve(prefix: string): string | undefined {
    if (prefix === 'xml') return xmlNs
    const binding = this.#bindings.get(prefix)
    if (binding === undefined) {
      if (prefix === 'xmlns') this.#malformed('the prefix xmlns cannot be used', this.#input.pos)
      else this.#refuse('bad-namespace-prefix', 'a prefix is not declared', this.#input.pos)
      return undefined
    }
    if (binding.depth === 0 && this.#phase === phases.inside) {
      this.#inherited ??= new Map()
      this.#inherited.set(prefix, binding.uri)
    }
    return binding.uri
  }

  /** Resolves the prefixes of the attributes. No two may be the same name in the same namespace (§6.3). */
  #areDistinct(attributes: readonly Attribute[], prefixed: number): boolean {
    const seen = prefixed > 1 ? new Set<string>() : undefined
    for (const [name] of attributes) {
      const at = name.indexOf(':')
      if (at < 0 || name.startsWith('xmlns:')) continue
      const uri = this.#resolve(name.slice(0, at))
      if (uri === undefined) return false
      const expanded = `${name.slice(at + 1)} ${uri}`
      if (seen?.has(expanded)) {
        this.#malformed('an attribute comes twice', this.#input.pos)
        return false
      }
      seen?.add(expanded)
    }
    return true
  }
}

/** XML 1.0 §2.8. */
const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*('1\.[0-9]+'|"1\.[0-9]+")(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*('[A-Za-z][A-Za-z0-9._-]*'|"[A-Za-z][A-Za-z0-9._-]*"))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|"(?:yes|no)"))?[ \t\r\n]*\?>$/

export type ParsedElement =
  | { readonly element: Element; readonly error?: undefined }
  | { readonly error: XmlError; readonly element?: undefined }

/** The text is in memory already, and what comes of it is not deeper than the text is long. */
const noLimits: XmlLimits = {
  maxStanzaSize: Number.POSITIVE_INFINITY,
  maxElements: Number.POSITIVE_INFINITY,
  maxDepth: Number.POSITIVE_INFINITY,
  maxAttributes: Number.POSITIVE_INFINITY,
  maxNameBytes: Number.POSITIVE_INFINITY,
}

/** The one element that a text is, under the restrictions of streams; with limits when the text is somebody else's. */
export function parseElement(text: string, limits: XmlLimits = noLimits): ParsedElement {
  let element: Element | undefined
  let error: XmlError | undefined
  const stream = new XmlStream(
    {
      onStreamStart() {},
      onElement(found) {
        element = found
      },
      onStreamEnd() {},
      onError(found) {
        error = found
      },
    },
    limits,
    true,
  )
  if (/[\ud800-\udfff]/u.test(text)) {
    return { error: new XmlError('not-well-formed', 'the text holds half a character', 0) }
  }
  stream.parse(Buffer.from(text))
  stream.end()
  if (error !== undefined) return { error }
  return { element: element as Element }
}
