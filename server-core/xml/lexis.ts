/** What single bytes mean in XML, and references. The parser looks at bytes of UTF-8 that are known to be valid. */
import type { XmlErrorCondition } from './xml-error.ts'

/** What a byte is in character data or in an attribute's value. */
export const plain = 0
export const lessThan = 1
export const ampersand = 2
/** `]`: may begin the `]]>` that character data must not hold. */
export const bracket = 3
export const carriageReturn = 4
/** Part of a character beyond ASCII. */
export const high = 5
/** Begins U+F000 to U+FFFF: may be one of the two characters there that XML forbids. */
export const highest = 6
export const forbidden = 7
/** In values: TAB and LF, which are read as spaces. */
export const blank = 8
export const quote = 9

export const inText = new Uint8Array(256)
export const inValue = new Uint8Array(256)
export const isSpace = new Uint8Array(256)
export const isNameStart = new Uint8Array(256)
/** Bytes beyond ASCII count as names' here and are looked at as characters later. */
export const isName = new Uint8Array(256)

for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte)
  const kind = byte >= 0x80 ? (byte === 0xef ? highest : high) : byte < 0x20 ? forbidden : plain
  inText[byte] = inValue[byte] = kind
  isNameStart[byte] = byte >= 0x80 || /[A-Z_a-z]/.test(char) ? 1 : 0
  isName[byte] = byte >= 0x80 || /[-.0-9:A-Z_a-z]/.test(char) ? 1 : 0
}
for (const space of [0x20, 0x09, 0x0a, 0x0d]) isSpace[space] = 1
inText[0x09] = inText[0x0a] = plain
inValue[0x09] = inValue[0x0a] = blank
inText[0x0d] = inValue[0x0d] = carriageReturn
inText[0x3c] = inValue[0x3c] = lessThan
inText[0x26] = inValue[0x26] = ampersand
inText[0x5d] = bracket
inValue[0x22] = inValue[0x27] = quote

/** Whether the character that begins here with the byte EF is U+FFFE or U+FFFF, which XML forbids (§2.2). */
export function isNoCharacter(bytes: Buffer, at: number): boolean {
  return bytes[at + 1] === 0xbf && (bytes[at + 2] === 0xbe || bytes[at + 2] === 0xbf)
}

/** What readers return for a position when they have none: the bytes end before, or hold an error. */
export const unfinished = -1
export const refused = -2
/** An entity other than the five that need no declaration (RFC 6120 §11.1). */
const undeclared = -3

/** A reference with more leading zeros than this is refused: nobody writes it, and it would be read again and again. */
const maxReference = 32

/** Where the reference that begins here ends; `unfinished`, or less when it is wrong. */
export function referenceEnd(bytes: Buffer, at: number, end: number): number {
  let i = at + 1
  if (i >= end) return unfinished
  if (bytes[i] !== 0x23) return entityEnd(bytes, i, end)
  i++
  if (i >= end) return unfinished
  const hex = bytes[i] === 0x78
  if (hex) i++
  let code = 0
  for (const first = i; ; i++) {
    if (i >= end) return unfinished
    const byte = bytes[i] as number
    if (byte === 0x3b) return i > first && isXmlChar(code) ? i + 1 : refused
    const digit = digitValue(byte, hex)
    if (digit < 0 || i - at > maxReference) return refused
    code = Math.min(code * (hex ? 16 : 10) + digit, 0x110000)
  }
}

function entityEnd(bytes: Buffer, start: number, end: number): number {
  for (let i = start; ; i++) {
    if (i >= end) return unfinished
    const byte = bytes[i] as number
    if (byte === 0x3b) {
      if (i === start) return refused
      return entities.has(bytes.toString('latin1', start, i)) ? i + 1 : undeclared
    }
    if (i === start ? isNameStart[byte] === 0 : isName[byte] === 0) return refused
    if (i - start >= 4) return undeclared
  }
}

export function referenceProblem(result: number): [message: string, condition: XmlErrorCondition] {
  return result === undeclared
    ? ['only the five entities of XML itself are allowed', 'restricted-xml']
    : ['a reference is not well-formed', 'not-well-formed']
}

const entities: ReadonlySet<string> = new Set(['amp', 'apos', 'gt', 'lt', 'quot'])

function digitValue(byte: number, hex: boolean): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return hex && letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** XML 1.0 §2.2. */
function isXmlChar(code: number): boolean {
  if (code < 0x20) return code === 0x09 || code === 0x0a || code === 0x0d
  return code <= 0xd7ff || (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff)
}

/** Line ends as LF (XML 1.0 §2.11). */
export function lineEnds(raw: string): string {
  return raw.replaceAll('\r\n', '\n').replaceAll('\r', '\n')
}

/** Character data with its references resolved and its line ends as LF. */
export function decodeText(raw: string): string {
  return resolved(raw.includes('\r') ? lineEnds(raw) : raw)
}

/** An attribute's value with white space as spaces (XML 1.0 §3.3.3) and its references resolved. */
export function decodeValue(raw: string): string {
  return resolved(raw.replaceAll('\r\n', ' ').replace(/[\t\n\r]/g, ' '))
}

function resolved(text: string): string {
  let at = text.indexOf('&')
  if (at < 0) return text
  let result = ''
  let from = 0
  while (at >= 0) {
    const end = text.indexOf(';', at)
    result += text.slice(from, at) + referenced(text, at + 1, end)
    from = end + 1
    at = text.indexOf('&', from)
  }
  return result + text.slice(from)
}

/** The character that a reference stands for, which `referenceEnd` has found to be right. */
function referenced(text: string, start: number, end: number): string {
  switch (text.charCodeAt(start)) {
    case 0x6c:
      return '<'
    case 0x67:
      return '>'
    case 0x71:
      return '"'
    case 0x61:
      return text.charCodeAt(start + 1) === 0x6d ? '&' : "'"
    default: {
      const hex = text.charCodeAt(start + 1) === 0x78
      return String.fromCodePoint(
        Number.parseInt(text.slice(hex ? start + 2 : start + 1, end), hex ? 16 : 10),
      )
    }
  }
}
