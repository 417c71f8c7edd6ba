/** Reads start tags, as far as one can without knowing where they stand. */
import type { Attribute } from './element.ts'
import type { ByteInput } from './input.ts'
import { type KnownTag, learnTag, recallTag } from './known-tags.ts'
import * as lexis from './lexis.ts'
import { hashOf, intern, isQualifiedName } from './names.ts'
import { XmlError, type XmlErrorCondition } from './xml-error.ts'

const gt = 0x3e
const slash = 0x2f
const colon = 0x3a
const equals = 0x3d
const apostrophe = 0x27
const quotation = 0x22

/** Bytes. */
const shortTag = 256

export const noAttributes: readonly Attribute[] = []

export interface TagLimits {
  /** On one element, namespace declarations included. */
  readonly maxAttributes: number
  /** Bytes of the name of an element or attribute. */
  readonly maxNameBytes: number
}

export class StartTag {
  name = ''
  /** '' when the name has none. */
  prefix = ''
  attributes = noAttributes
  /** The default namespace that it declares. */
  xmlns: string | undefined
  /** Whether it declares prefixes. */
  declares = false
  /** Whether attributes have prefixes, other than xml and xmlns. */
  hasPrefixed = false
  /** `<a/>` */
  isEmpty = false
  error: XmlError | undefined

  // The state of a tag whose end has not come: how much of it was looked at, the quote that is open there (or 0), and how
  // much there was when it was last read from its beginning.
  #scanned = 0
  #quote = 0
  #attempted = 0

  // Of the name that was read last.
  #nameEnd = 0
  #colon = -1
  // Of the value that was read last.
  #valueEnd = 0

  clear(): void {
    this.name = this.prefix = ''
    this.attributes = noAttributes
    this.xmlns = this.error = undefined
    this.#scanned = this.#quote = this.#attempted = 0
  }

  /**
   * Reads the tag whose `<` stands at pos: the position behind it, or lexis.unfinished or lexis.refused. Tags of one kind come
   * again where `isRecurring`.
   */
  read(input: ByteInput, pos: number, limits: TagLimits, isRecurring: boolean): number {
    const { bytes, end } = input
    if (this.#scanned > 0) {
      if (!this.#isWorthReading(input, pos)) return lexis.unfinished
    } else if (isRecurring) {
      const known = recallTag(bytes, pos, end)
      if (known !== undefined && this.#isWithin(limits, known)) return this.#take(known, pos)
    }
    const { isSpace } = lexis
    const name = this.#readName(input, pos + 1, limits)
    if (name === undefined) return this.error === undefined ? this.#wait(input, pos, 0) : lexis.refused
    this.name = name
    this.prefix = this.#colon < 0 ? '' : name.slice(0, this.#colon - pos - 1)
    this.xmlns = undefined
    this.declares = this.hasPrefixed = this.isEmpty = false

    let count = 0
    let i = this.#nameEnd
    for (;;) {
      const hasSpace = isSpace[bytes[i] as number] === 1
      while (isSpace[bytes[i] as number] === 1) if (++i >= end) return this.#wait(input, pos, 0)
      if (bytes[i] === gt) break
      if (bytes[i] === slash) {
        if (++i >= end) return this.#wait(input, pos, 0)
        if (bytes[i] !== gt) return this.#refuse(input, i, 'a tag is not well-formed')
        this.isEmpty = true
        break
      }
      if (!hasSpace) return this.#refuse(input, i, 'a tag is not well-formed')
      if (count >= limits.maxAttributes) {
        return this.#refuse(input, i, 'an element has too many attributes', 'policy-violation')
      }
      const keyAt = i
      const key = this.#readName(input, keyAt, limits)
      if (key === undefined) return this.error === undefined ? this.#wait(input, pos, 0) : lexis.refused

      i = this.#nameEnd
      while (isSpace[bytes[i] as number] === 1) if (++i >= end) return this.#wait(input, pos, 0)
      if (bytes[i] !== equals) return this.#refuse(input, i, 'an attribute has no value')
      if (++i >= end) return this.#wait(input, pos, 0)
      while (isSpace[bytes[i] as number] === 1) if (++i >= end) return this.#wait(input, pos, 0)
      const quote = bytes[i] as number
      if (quote !== apostrophe && quote !== quotation) {
        return this.#refuse(input, i, 'the value of an attribute is not quoted')
      }
      const value = this.#readValue(input, i + 1, quote, key)
      if (value === undefined) return this.error === undefined ? this.#wait(input, pos, quote) : lexis.refused
      i = this.#valueEnd + 1
      if (i >= end) return this.#wait(input, pos, 0)

      for (let k = 0; k < count; k++) {
        if ((found[k] as Attribute)[0] === key) return this.#refuse(input, keyAt, 'an attribute comes twice')
      }
      found[count++] = [key, value]
      if (key === 'xmlns') this.xmlns = value
      else if (this.#colon >= 0) {
        if (key.startsWith('xmlns:')) this.declares = true
        else if (!key.startsWith('xml:')) this.hasPrefixed = true
      }
    }
    this.attributes = count === 0 ? noAttributes : found.slice(0, count)
    i++
    if (isRecurring && this.#attempted === 0 && this.prefix === '' && !this.declares && !this.hasPrefixed) {
      learnTag(bytes, pos, i, {
        name: this.name,
        attributes: this.attributes,
        xmlns: this.xmlns,
        isEmpty: this.isEmpty,
      })
    }
    this.#scanned = this.#quote = this.#attempted = 0
    return i
  }

  #isWithin(limits: TagLimits, known: KnownTag): boolean {
    return known.attributes.length <= limits.maxAttributes && known.length <= limits.maxNameBytes
  }

  #take(known: KnownTag, pos: number): number {
    this.name = known.name
    this.prefix = ''
    this.attributes = known.attributes
    this.xmlns = known.xmlns
    this.declares = this.hasPrefixed = false
    this.isEmpty = known.isEmpty
    return pos + known.length
  }

  /** The name that begins here; undefined when it is not finished or there is an error. */
  #readName(input: ByteInput, start: number, limits: TagLimits): string | undefined {
    const { bytes, end } = input
    const { isName } = lexis
    if (lexis.isNameStart[bytes[start] as number] === 0)
      return this.#no(input, start, 'a tag is not well-formed')
    let hash = 0
    let bits = 0
    let colons = 0
    let colonAt = -1
    let i = start
    for (; i < end; i++) {
      const byte = bytes[i] as number
      if (isName[byte] === 0) break
      hash = (Math.imul(hash, 31) + byte) | 0
      bits |= byte
      if (byte === colon) {
        colons++
        colonAt = i
      }
    }
    if (i - start > limits.maxNameBytes) return this.#no(input, start, 'a name is too long')
    if (i >= end) return undefined
    this.#nameEnd = i
    this.#colon = colonAt
    if (bits >= 0x80) {
      const name = input.utf8(start, i)
      return isQualifiedName(name) ? name : this.#no(input, start, 'a name is not well-formed')
    }
    if (colons > 0) {
      // One colon, and a name on both sides: the first begins as one already.
      const isQualified = colons === 1 && lexis.isNameStart[bytes[colonAt + 1] as number] === 1
      if (!isQualified) return this.#no(input, start, 'a name is not well-formed')
    }
    return intern(bytes, start, i, hash)
  }

  /** The value that begins here; undefined when it is not finished or there is an error. */
  #readValue(input: ByteInput, start: number, quote: number, key: string): string | undefined {
    const { bytes, end } = input
    const { inValue } = lexis
    let isCoded = false
    let isHigh = false
    let i = start
    for (; ; i++) {
      while (i < end && inValue[bytes[i] as number] === lexis.plain) i++
      if (i >= end) return undefined
      const kind = inValue[bytes[i] as number]
      if (kind === lexis.quote) {
        if (bytes[i] === quote) break
      } else if (kind === lexis.ampersand) {
        const next = lexis.referenceEnd(bytes, i, end)
        if (next === lexis.unfinished) return undefined
        if (next < 0) return this.#no(input, i, ...lexis.referenceProblem(next))
        isCoded = true
        i = next - 1
      } else if (kind === lexis.blank || kind === lexis.carriageReturn) isCoded = true
      else if (kind === lexis.high || (kind === lexis.highest && !lexis.isNoCharacter(bytes, i)))
        isHigh = true
      else return this.#no(input, i, 'a character is not allowed in an attribute')
    }
    this.#valueEnd = i
    if (isHigh || isCoded) {
      const raw = input.utf8(start, i)
      return isCoded ? lexis.decodeValue(raw) : raw
    }
    return key === 'xmlns' ? intern(bytes, start, i, hashOf(bytes, start, i)) : input.ascii(start, i)
  }

  /** The tag goes on in the next chunk. */
  #wait(input: ByteInput, pos: number, quote: number): number {
    this.#scanned = this.#attempted = input.end - pos
    this.#quote = quote
    return lexis.unfinished
  }

  /** The next `read` looks at all there is, although the end has not come. */
  insist(): void {
    this.#attempted = 0
  }

  /**
   * Whether reading a tag again from its beginning can come to something: its end has come; or it is short, or twice as long as
   * last time, as what is wrong with it must not wait for its end. Each byte is read a bounded number of times.
   */
  #isWorthReading(input: ByteInput, pos: number): boolean {
    const { bytes, end } = input
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
    return this.#scanned < shortTag || this.#scanned >= 2 * this.#attempted
  }

  #refuse(input: ByteInput, at: number, message: string, condition: XmlErrorCondition = 'not-well-formed') {
    this.error = new XmlError(condition, message, input.base + at)
    return lexis.refused
  }

  #no(input: ByteInput, at: number, message: string, condition?: XmlErrorCondition): undefined {
    this.#refuse(input, at, message, condition)
  }
}

/** The attributes of the tag that is being read; tags are read one at a time. */
const found: Attribute[] = []
