/**
 * XML streams, bytes to elements: XML 1.0 (5th edition) and Namespaces in XML 1.0 as far as streams allow them (RFC 6120
 * §11.1), with limits that hold while bytes arrive. A chunk may end anywhere. What is not finished waits as bytes, and no byte
 * is looked at more than a few times however small the chunks are.
 */
import { CharData } from './char-data.ts'
import { type Attribute, Element, type Node } from './element.ts'
import { ByteInput } from './input.ts'
import * as lexis from './lexis.ts'
import { Scope, type Shadowed, xmlNs, xmlnsNs } from './scope.ts'
import { noAttributes, StartTag, type TagLimits } from './start-tag.ts'
import { noNodes, Tree } from './tree.ts'
import { XmlError, type XmlErrorCondition } from './xml-error.ts'

export { XmlError, type XmlErrorCondition } from './xml-error.ts'

export interface XmlLimits extends TagLimits {
  /** Bytes of one first-level element, or of everything up to the end of the root's start tag. */
  readonly maxStanzaSize: number
  /** Elements in one first-level element, itself included. */
  readonly maxElements: number
  /** The first-level element is at depth 1. */
  readonly maxDepth: number
}

/** Called while bytes are parsed; may call every method of the stream. After onError or onStreamEnd comes nothing more. */
export interface XmlHandler {
  /** The root's start tag; the element has no children. */
  onStreamStart(name: string, attributes: readonly Attribute[], element: Element): void
  /** A first-level element, whole. It declares all prefixes that it uses, also those that the root declared. */
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
  /** The root was empty: its end is to be told. */
  ending: 4,
  /** Behind the root. */
  ended: 5,
  /** After an error or `close`. */
  closed: 6,
} as const

type Phase = (typeof phases)[keyof typeof phases]

/** A first-level element that came in more chunks than this has no `content`: its pieces would cost more than they spare. */
const maxContentPieces = 8
const maxDeclarationBytes = 1024
/**
 * Characters of declarations that an element takes along: a few dozens in honest streams (stream, db). Without a bound, a header
 * with a very long one would make each of the small stanzas behind it large.
 */
const maxInherited = 256

const lt = 0x3c
const gt = 0x3e
const slash = 0x2f

/** Not in use: most first-level elements are whole in a chunk, so that one tree does for all streams. */
let spare: Tree | undefined

export class XmlStream {
  readonly #handler: XmlHandler
  /** The document is one element of the first level: parseElement. */
  readonly #isFragment: boolean
  readonly #input = new ByteInput()
  readonly #tag = new StartTag()
  readonly #chars = new CharData()
  #limits: XmlLimits
  #phase: Phase = phases.start
  #isRunning = false
  #isPaused = false
  #isRestarted = false
  #failure: XmlError | undefined

  #root = ''
  #rootNs = ''
  #scope = new Scope()

  // The first-level element that is being read.
  #tree: Tree | undefined
  #elements = 0
  /** Where it began in the input's bytes; below 0 when that has gone already. */
  #stanzaAt = 0
  /** Where the part of its content began that is not in #contentHead, which came in so many pieces. */
  #contentAt = 0
  #contentHead = ''
  #contentPieces = 0
  /** The content can be used as it is. */
  #isUsual = true
  /** How much of an end tag that is not finished needs no second look. */
  #endTagScanned = 0

  constructor(handler: XmlHandler, limits: XmlLimits, isFragment = false) {
    this.#handler = handler
    this.#limits = limits
    this.#isFragment = isFragment
  }

  /** Bytes that have come and are not parsed: behind the element that is being handled, or while paused. */
  get unparsed(): number {
    return this.#input.waiting
  }

  /** Whether these bytes are nothing but white space. */
  get unparsedIsBlank(): boolean {
    const { bytes, pos, waiting } = this.#input
    return bytes
      .subarray(pos, pos + waiting)
      .every((byte) => byte === 32 || byte === 10 || byte === 13 || byte === 9)
  }

  /** Parses a chunk. It may be used again for something else as soon as this returns. */
  parse(chunk: Buffer): void {
    if (chunk.length === 0 || this.#isOver) return
    this.#moved(this.#input.append(chunk))
    this.#run()
  }

  setLimits(limits: XmlLimits): void {
    this.#limits = limits
  }

  /** No more events until `resume`: from within an event, none after it. What has come and what comes waits. */
  pause(): void {
    this.#isPaused = true
  }

  /** Goes on; from within an event, after it. */
  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#run()
  }

  /** What is not parsed yet begins a new document: the stream is restarted (RFC 6120 §4.3.3). */
  reset(): void {
    if (this.#phase === phases.closed) return
    this.#phase = phases.start
    this.#isRestarted = true
    this.#scope = new Scope()
    this.#tag.clear()
    this.#chars.clear()
    this.#endTagScanned = 0
    this.#tree = undefined
    this.#clearStanza()
  }

  /** Nothing more, whatever comes. */
  close(): void {
    this.#phase = phases.closed
    this.#failure = undefined
    this.#tree = undefined
    this.#tag.clear()
    this.#chars.clear()
    this.#clearStanza()
    if (!this.#isRunning) this.#input.clear()
  }

  /** The input is complete: an error if the document is not. */
  end(): void {
    this.#tag.insist()
    this.#run()
    const { pos, waiting } = this.#input
    if (this.#phase === phases.closed || (this.#phase === phases.ended && waiting === 0)) return
    const isEmpty = this.#phase <= phases.prolog && waiting === 0
    this.#refuse('not-well-formed', isEmpty ? 'there is no element' : 'the document ends too early', pos)
    this.#report()
  }

  /** Whatever comes now is dropped. Behind a fragment nothing may come, so that is looked at. */
  get #isOver(): boolean {
    return this.#phase === phases.closed || (this.#phase === phases.ended && !this.#isFragment)
  }

  #run(): void {
    if (this.#isRunning || this.#isPaused) return
    this.#isRunning = true
    try {
      this.#readTokens()
      this.#checkWhatWaits()
      this.#report()
    } finally {
      this.#isRunning = false
      if (this.#isOver) this.#input.clear()
      else {
        if (this.#phase === phases.inside) this.#saveContent()
        this.#moved(this.#input.release())
      }
      // Who waits for the next chunk, perhaps for hours, must not keep this one.
      this.#tag.attributes = noAttributes
      this.#chars.text = ''
    }
  }

  #readTokens(): void {
    const input = this.#input
    while (!this.#isPaused) {
      const { pos } = input
      if (this.#phase === phases.ending) this.#endStream()
      if (pos >= input.end || this.#isOver) return
      const isRead =
        this.#phase === phases.inside
          ? input.bytes[pos] === lt
            ? this.#markup(pos)
            : this.#text(pos)
          : this.#phase === phases.start
            ? this.#start(pos)
            : this.#outside(pos)
      if (!isRead) return
    }
  }

  /** What is not finished counts too, before it is kept. */
  #checkWhatWaits(): void {
    const input = this.#input
    if (this.#isPaused || this.#phase >= phases.ending) return
    if (input.invalid) {
      // Not before what is wrong in front of it.
      this.#tag.insist()
      this.#readTokens()
      if (this.#isPaused || this.#phase >= phases.ending) return
      // Byte order marks of UTF-16.
      const isUtf16 = this.#phase === phases.start && input.end === input.pos && input.nextByte >= 0xfe
      if (isUtf16) this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', input.end)
      else this.#refuse('not-well-formed', 'the bytes are not UTF-8', input.end)
    } else if (input.pos + input.waiting - this.#stanzaAt > this.#limits.maxStanzaSize) {
      if (this.#phase === phases.inside || input.waiting > 0) this.#tooBig(input.pos)
    }
  }

  #report(): void {
    const failure = this.#failure
    if (failure === undefined) return
    this.#failure = undefined
    this.#handler.onError(failure)
  }

  /** Ends the parsing; the handler is told when nothing is on its way any more. */
  #refuse(condition: XmlErrorCondition, message: string, at: number): false {
    return this.#fail(new XmlError(condition, message, this.#input.base + at))
  }

  #malformed(message: string, at: number): false {
    return this.#refuse('not-well-formed', message, at)
  }

  #tooBig(at: number): false {
    const { base } = this.#input
    return this.#fail(new XmlError('policy-violation', 'a stanza is too big', base + at, 'stanza-too-big'))
  }

  #fail(error: XmlError | undefined): false {
    this.close()
    this.#failure = error
    return false
  }

  #clearStanza(): void {
    this.#elements = 0
    this.#contentHead = ''
    this.#contentPieces = 0
    this.#isUsual = true
  }

  /** Positions in the input's bytes have become smaller. */
  #moved(by: number): void {
    this.#stanzaAt -= by
    this.#contentAt -= by
  }

  // Outside of first-level elements

  #start(pos: number): boolean {
    const input = this.#input
    const { bytes, end } = input
    if (this.#isRestarted && lexis.isSpace[bytes[pos] as number] === 1) {
      // It still belongs to the old stream: keep-alives, line ends.
      input.pos++
      return true
    }
    this.#stanzaAt = pos
    const isUtf16 = bytes[pos] === 0 || (bytes[pos] === lt && bytes[pos + 1] === 0 && pos + 1 < end)
    if (isUtf16) return this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', pos)
    if (bytes[pos] === lt) {
      if (pos + 1 >= end) return false
      if (bytes[pos + 1] === 0x3f) return this.#declaration(pos)
    }
    this.#phase = phases.prolog
    return true
  }

  #declaration(pos: number): boolean {
    const input = this.#input
    const begin = '<?xml'
    for (let i = 2; i <= begin.length; i++) {
      if (pos + i >= input.end) return false
      const byte = input.bytes[pos + i] as number
      if (i < begin.length ? byte !== begin.charCodeAt(i) : lexis.isSpace[byte] === 0) {
        return this.#instruction(pos)
      }
    }
    const head = input.bytes.subarray(pos, Math.min(input.end, pos + maxDeclarationBytes))
    const found = head.indexOf('?>')
    if (found < 0) {
      if (head.length < maxDeclarationBytes) return false
      return this.#malformed('the XML declaration is too long', pos)
    }
    const match = declaration.exec(head.toString('latin1', 0, found + 2))
    if (match === null) return this.#malformed('the XML declaration is not well-formed', pos)
    if (match[1] !== undefined && match[1].slice(1, -1).toLowerCase() !== 'utf-8') {
      return this.#refuse('unsupported-encoding', 'the encoding must be UTF-8', pos)
    }
    this.#phase = phases.prolog
    input.pos = pos + found + 2
    return true
  }

  #instruction(pos: number): false {
    return this.#refuse('restricted-xml', 'processing instructions are not allowed', pos)
  }

  /** White space, which is dropped and counts for nothing, and tags. */
  #outside(pos: number): boolean {
    const input = this.#input
    const { bytes, end } = input
    let i = pos
    while (i < end && lexis.isSpace[bytes[i] as number] === 1) i++
    input.pos = i
    this.#stanzaAt = i
    if (i >= end) return false
    return bytes[i] === lt ? this.#markup(i) : this.#strayText(i)
  }

  /** Between stanzas text is well-formed, but there is nothing that it could mean (RFC 6120 §4.9.3.1). */
  #strayText(pos: number): false {
    if (this.#phase === phases.between)
      return this.#refuse('bad-format', 'there is text between stanzas', pos)
    return this.#malformed('there is text outside of the root element', pos)
  }

  /** What begins with `<`. */
  #markup(pos: number): boolean {
    const input = this.#input
    if (pos + 1 >= input.end) return false
    switch (input.bytes[pos + 1]) {
      case slash:
        return this.#endTag(pos)
      case 0x21:
        return this.#declared(pos)
      case 0x3f:
        return this.#instruction(pos)
      default:
        return this.#startTag(pos)
    }
  }

  /** `<!`: a CDATA section, which is text, or what no stream may hold. */
  #declared(pos: number): boolean {
    const { bytes, end } = this.#input
    for (let i = 2; i < 9; i++) {
      if (pos + i >= end) return false
      const byte = bytes[pos + i]
      if (byte === '<![CDATA['.charCodeAt(i)) continue
      if (i === 2 && byte === 0x44) {
        return this.#refuse('restricted-xml', 'document type declarations are not allowed', pos)
      }
      if (i === 2 && byte === 0x2d) {
        if (pos + 3 >= end) return false
        if (bytes[pos + 3] === 0x2d) return this.#refuse('restricted-xml', 'comments are not allowed', pos)
      }
      return this.#malformed('a tag is not well-formed', pos)
    }
    if (this.#phase !== phases.inside) return this.#strayText(pos)
    return this.#textIs(this.#chars.readCdata(this.#input, pos))
  }

  // Inside of first-level elements

  #text(pos: number): boolean {
    return this.#textIs(this.#chars.read(this.#input, pos))
  }

  #textIs(next: number): boolean {
    const chars = this.#chars
    if (chars.isUnusual) this.#isUsual = chars.isUnusual = false
    if (next < 0) return next === lexis.refused && this.#fail(chars.error)
    this.#input.pos = next
    if (chars.text !== '') this.#tree?.addText(chars.text)
    return true
  }

  #startTag(pos: number): boolean {
    const tag = this.#tag
    if (this.#phase === phases.ended) return this.#malformed('there is a second root element', pos)
    const next = tag.read(this.#input, pos, this.#limits, this.#phase === phases.inside)
    if (next < 0) return next === lexis.refused && this.#fail(tag.error)
    this.#input.pos = next
    if (this.#phase !== phases.inside) {
      if (next - this.#stanzaAt > this.#limits.maxStanzaSize) return this.#tooBig(pos)
      if (this.#phase !== phases.between && !this.#isFragment) return this.#openRoot(tag, pos)
      this.#phase = phases.inside
      this.#contentAt = next
    }
    return this.#openElement(tag, pos)
  }

  #openRoot(tag: StartTag, at: number): boolean {
    const { name, attributes, xmlns, isEmpty } = tag
    if (tag.declares && this.#scope.declare(attributes, true) === undefined) return this.#badDeclaration(at)
    const ns = this.#namespace(tag, xmlns ?? '', at)
    if (ns === undefined) return false
    this.#scope.takeInherited()
    this.#root = name
    this.#rootNs = xmlns ?? ''
    this.#phase = isEmpty ? phases.ending : phases.between
    this.#stanzaAt = this.#input.pos
    this.#handler.onStreamStart(name, attributes, new Element(name, attributes, noNodes, ns))
    return true
  }

  #openElement(tag: StartTag, at: number): boolean {
    const { name, attributes, isEmpty } = tag
    const tree = this.#tree
    const depth = tree === undefined ? 0 : tree.depth
    if (++this.#elements > this.#limits.maxElements) {
      return this.#refuse('policy-violation', 'a stanza has too many elements', at)
    }
    if (depth >= this.#limits.maxDepth) {
      return this.#refuse('policy-violation', 'the elements of a stanza are too deep', at)
    }
    const defaultNs = tag.xmlns ?? (tree === undefined ? this.#rootNs : tree.top.defaultNs)
    let shadowed: Shadowed | undefined
    if (tag.declares) {
      shadowed = this.#scope.declare(attributes, false)
      if (shadowed === undefined) return this.#badDeclaration(at)
    }
    const ns = this.#namespace(tag, defaultNs, at)
    if (ns === undefined) return false
    if (isEmpty) {
      if (shadowed !== undefined) this.#scope.restore(shadowed)
      if (tree === undefined) this.#deliver(name, attributes, noNodes, ns, '')
      else tree.add(new Element(name, attributes, noNodes, ns))
    } else if (tree === undefined) {
      this.#tree = spare ?? new Tree()
      spare = undefined
      this.#tree.open(name, attributes, ns, defaultNs, shadowed)
    } else {
      tree.open(name, attributes, ns, defaultNs, shadowed)
    }
    return true
  }

  /** The namespace of the element; undefined after an error. */
  #namespace(tag: StartTag, defaultNs: string, at: number): string | undefined {
    if (tag.xmlns === xmlNs || tag.xmlns === xmlnsNs) {
      // Namespaces in XML 1.0 §3.
      this.#malformed('a reserved namespace cannot be the default', at)
      return undefined
    }
    let ns: string | undefined = defaultNs
    if (tag.prefix !== '') {
      ns = this.#scope.resolve(tag.prefix)
      if (ns === undefined) this.#noSuchPrefix(tag.prefix, at)
    }
    if (ns !== undefined && tag.hasPrefixed) {
      const areDistinct = this.#scope.areDistinct(tag.attributes)
      if (areDistinct === true) return ns
      if (areDistinct === undefined) this.#noSuchPrefix('', at)
      else this.#malformed('an attribute comes twice', at)
      return undefined
    }
    return ns
  }

  #noSuchPrefix(prefix: string, at: number): false {
    if (prefix === 'xmlns') return this.#malformed('no element can have the prefix xmlns', at)
    return this.#refuse('bad-namespace-prefix', 'a prefix is not declared', at)
  }

  #badDeclaration(at: number): false {
    return this.#malformed('a namespace cannot be declared so', at)
  }

  #endTag(pos: number): boolean {
    const input = this.#input
    const { bytes, end } = input
    const tree = this.#tree
    if (tree === undefined && this.#phase !== phases.between) {
      return this.#malformed('an end tag has no start tag', pos)
    }
    let i = pos + this.#endTagScanned
    if (this.#endTagScanned === 0) {
      i = nameEnd(tree === undefined ? this.#root : tree.top.name, bytes, pos + 2, end)
      if (i === lexis.refused) return this.#wrongEndTag(pos)
      if (i === lexis.unfinished) return false
    }
    while (i < end && lexis.isSpace[bytes[i] as number] === 1) i++
    if (i >= end) {
      this.#endTagScanned = i - pos
      return false
    }
    if (bytes[i] !== gt) return this.#wrongEndTag(pos)
    this.#endTagScanned = 0
    input.pos = i + 1
    if (tree === undefined) this.#endStream()
    else this.#closeElement(tree, pos)
    return true
  }

  #wrongEndTag(pos: number): false {
    return this.#malformed('an end tag does not match its start tag', pos)
  }

  #endStream(): void {
    this.#phase = phases.ended
    this.#handler.onStreamEnd()
  }

  #closeElement(tree: Tree, endTagAt: number): void {
    const { name, attributes, ns, shadowed } = tree.top
    const children = tree.close()
    if (shadowed !== undefined) this.#scope.restore(shadowed)
    if (tree.depth > 0) {
      tree.add(new Element(name, attributes, children, ns))
      return
    }
    tree.clear()
    spare = tree
    this.#tree = undefined
    this.#deliver(name, attributes, children, ns, this.#content(endTagAt))
  }

  #deliver(
    name: string,
    attributes: readonly Attribute[],
    children: readonly Node[],
    ns: string,
    content: string | undefined,
  ): void {
    const { pos } = this.#input
    if (pos - this.#stanzaAt > this.#limits.maxStanzaSize) {
      this.#tooBig(pos)
      return
    }
    // It leaves the stream, so it takes along what it uses of the root's declarations.
    const inherited = this.#scope.takeInherited()
    if (inherited !== undefined) {
      const declarations = [...inherited].map(([prefix, uri]): Attribute => [`xmlns:${prefix}`, uri])
      const length = declarations.reduce((sum, [key, value]) => sum + key.length + value.length, 0)
      if (length > maxInherited) {
        this.#refuse('policy-violation', 'a stanza uses long declarations of the stream header', pos)
        return
      }
      attributes = [...attributes, ...declarations]
    }
    this.#phase = this.#isFragment ? phases.ended : phases.between
    this.#stanzaAt = pos
    this.#clearStanza()
    this.#handler.onElement(new Element(name, attributes, children, ns, content))
  }

  #content(end: number): string | undefined {
    if (!this.#isUsual) return undefined
    const last = this.#input.utf8(this.#contentAt, end)
    return this.#contentPieces === 0 ? last : this.#contentHead + last
  }

  /** The bytes that are parsed will be gone: keeps the part of the content that is among them. */
  #saveContent(): void {
    const { pos } = this.#input
    if (!this.#isUsual || this.#contentAt >= pos) return
    if (this.#contentPieces === maxContentPieces) {
      this.#isUsual = false
      this.#contentHead = ''
    } else {
      this.#contentPieces++
      this.#contentHead += this.#input.utf8(this.#contentAt, pos)
      this.#contentAt = pos
    }
  }
}

/** XML 1.0 §2.8. */
const declaration = (() => {
  const s = '[ \\t\\r\\n]'
  const value = (pattern: string) => `(?:'${pattern}'|"${pattern}")`
  const version = `${s}+version${s}*=${s}*${value('1\\.[0-9]+')}`
  const encoding = `(?:${s}+encoding${s}*=${s}*(${value('[A-Za-z][A-Za-z0-9._-]*')}))?`
  const standalone = `(?:${s}+standalone${s}*=${s}*${value('(?:yes|no)')})?`
  return new RegExp(`^<\\?xml${version}${encoding}${standalone}${s}*\\?>$`)
})()

/** Behind the name, if it is what stands here; lexis.unfinished, lexis.refused. */
function nameEnd(name: string, bytes: Buffer, start: number, end: number): number {
  let i = start
  for (let k = 0; k < name.length; k++, i++) {
    if (name.charCodeAt(k) >= 0x80) return bytesEnd(Buffer.from(name.slice(k)), bytes, i, end)
    if (i >= end) return lexis.unfinished
    if (bytes[i] !== name.charCodeAt(k)) return lexis.refused
  }
  return i
}

function bytesEnd(expected: Buffer, bytes: Buffer, start: number, end: number): number {
  const length = Math.min(expected.length, end - start)
  if (expected.compare(bytes, start, start + length, 0, length) !== 0) return lexis.refused
  return length < expected.length ? lexis.unfinished : start + length
}

export type ParsedElement =
  | { readonly element: Element; readonly error?: undefined }
  | { readonly error: XmlError; readonly element?: undefined }

/** For text that is in memory already: what comes of it is bounded by that. */
const noLimits: XmlLimits = {
  maxStanzaSize: Number.POSITIVE_INFINITY,
  maxElements: Number.POSITIVE_INFINITY,
  maxDepth: Number.POSITIVE_INFINITY,
  maxAttributes: Number.POSITIVE_INFINITY,
  maxNameBytes: Number.POSITIVE_INFINITY,
}

/** The one element that a text is, under the restrictions of streams. */
export function parseElement(text: string, limits: XmlLimits = noLimits): ParsedElement {
  if (/[\ud800-\udfff]/u.test(text)) {
    return { error: new XmlError('not-well-formed', 'the text has half a character', 0) }
  }
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
  stream.parse(Buffer.from(text))
  stream.end()
  return error === undefined ? { element: element as Element } : { error }
}
