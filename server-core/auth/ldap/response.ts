/**
 * What a directory server answers (RFC 4511 §4), read strictly from the bytes of one message. Only the answers to requests
 * that we send are known; anything else is a ProtocolViolation. What comes out is ours: nothing in it points to the
 * server's lengths any more.
 */
import { ProtocolViolation } from './framing.ts'

/** The operations whose outcome is a result with a code. */
export const operations = {
  bind: 0x61,
  search: 0x65,
  modify: 0x67,
  add: 0x69,
  delete: 0x6b,
  extended: 0x78,
} as const

export type Operation = keyof typeof operations

export interface Result {
  readonly kind: 'result'
  readonly id: number
  readonly operation: Operation
  readonly code: number
  /** The server's words, for the log; at most 256 characters. */
  readonly diagnostic: string
  /** OID of an extended response; '' when it has none. */
  readonly name: string
}

/** An entry that a search found. */
export interface Entry {
  readonly kind: 'entry'
  readonly id: number
  /** Its name exactly as the server wrote it (RFC 4514), fit to be sent back. */
  readonly dn: string
  readonly attributes: readonly Attribute[]
}

export interface Attribute {
  readonly type: string
  readonly values: readonly Buffer[]
}

/** A hint that more may be found on another server; nobody follows it. */
interface Reference {
  readonly kind: 'reference'
  readonly id: number
}

export type Response = Result | Entry | Reference

const tags = { integer: 0x02, octets: 0x04, enumerated: 0x0a, sequence: 0x30, set: 0x31 } as const
const searchEntry = 0x64
const searchReference = 0x73
const responseName = 0x8a
const maxDiagnostic = 256

/** RFC 4511 §4.1.1: ids are positive; 0 is the server's own notice. */
const maxId = 2_147_483_647

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads what lies between two offsets, one element after the other; an element that is longer than what is left is refused. */
class Reader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** The tag of the next element; undefined at the end. */
  peek(): number | undefined {
    return this.isAtEnd ? undefined : this.#bytes[this.#at]
  }

  /** The content of the next element. */
  inside(tag: number): Reader {
    const [start, end] = this.#next(tag)
    return new Reader(this.#bytes, start, end)
  }

  octets(tag: number = tags.octets): Buffer {
    const [start, end] = this.#next(tag)
    return this.#bytes.subarray(start, end)
  }

  /** Not negative. */
  number(tag: number): number {
    const content = this.octets(tag)
    if (content.length === 0 || content.length > 4 || (content[0] as number) > 0x7f) {
      throw new ProtocolViolation('a number that cannot be')
    }
    return content.readUIntBE(0, content.length)
  }

  #next(tag: number): [number, number] {
    if (this.#end - this.#at < 2 || this.#bytes[this.#at] !== tag) {
      throw new ProtocolViolation('an answer whose parts are not those of LDAP')
    }
    let at = this.#at + 1
    let length = this.#bytes[at++] as number
    if (length >= 0x80) {
      const count = length & 0x7f
      if (count === 0 || count > 4 || at + count > this.#end) {
        throw new ProtocolViolation('a length that cannot be')
      }
      length = this.#bytes.readUIntBE(at, count)
      at += count
    }
    if (length > this.#end - at) throw new ProtocolViolation('a part that is longer than the whole')
    this.#at = at + length
    return [at, this.#at]
  }
}

/** Throws ProtocolViolation. */
export function readResponse(message: Buffer): Response {
  const envelope = new Reader(message).inside(tags.sequence)
  const id = envelope.number(tags.integer)
  if (id > maxId) throw new ProtocolViolation('a number that cannot be')
  const tag = envelope.peek()
  if (tag === searchEntry) return readEntry(id, envelope.inside(searchEntry))
  if (tag === searchReference) {
    envelope.inside(searchReference)
    return { kind: 'reference', id }
  }
  for (const [operation, known] of Object.entries(operations)) {
    if (tag === known) return readResult(id, operation as Operation, envelope.inside(known))
  }
  throw new ProtocolViolation(`an answer of the kind 0x${(tag ?? 0).toString(16)}, which nobody asked for`)
}

/** RFC 4511 §4.1.9; what follows the diagnostic message is not needed, and servers may add to it. */
function readResult(id: number, operation: Operation, content: Reader): Result {
  const code = content.number(tags.enumerated)
  content.octets()
  const diagnostic = content
    .octets()
    .subarray(0, 4 * maxDiagnostic)
    .toString('utf8')
    .slice(0, maxDiagnostic)
  let name = ''
  while (operation === 'extended' && !content.isAtEnd) {
    const tag = content.peek() as number
    const value = content.octets(tag)
    if (tag === responseName) name = value.toString('latin1')
  }
  return { kind: 'result', id, operation, code, diagnostic, name }
}

/** RFC 4511 §4.5.2. */
function readEntry(id: number, content: Reader): Entry {
  const dn = text(content.octets())
  const list = content.inside(tags.sequence)
  const attributes: Attribute[] = []
  while (!list.isAtEnd) {
    const attribute = list.inside(tags.sequence)
    const type = text(attribute.octets())
    const set = attribute.inside(tags.set)
    const values: Buffer[] = []
    while (!set.isAtEnd) values.push(set.octets())
    attributes.push({ type, values })
  }
  return { kind: 'entry', id, dn, attributes }
}

function text(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new ProtocolViolation('a name that is not UTF-8')
  }
}

/** The bytes of a plain result, in the shortest form. */
export function writeResult(id: number, operation: Operation, code: number): Buffer {
  const idBytes = integer(id)
  const result = [0x0a, 1, code & 0x7f, tags.octets, 0, tags.octets, 0]
  const body = [tags.integer, idBytes.length, ...idBytes, operations[operation], result.length, ...result]
  return Buffer.from([tags.sequence, body.length, ...body])
}

function integer(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256))
    bytes.unshift(rest % 256)
  return (bytes[0] as number) > 0x7f ? [0, ...bytes] : bytes
}
