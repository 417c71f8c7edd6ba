/**
 * Bytes of a directory server, cut into LDAP messages (RFC 4511 §4.1.1, §5.1). The length is believed only up to a limit,
 * and before anything is kept: a hostile one costs the connection, never the memory or the process.
 */

/** The other side does not speak LDAP, or says something that it was not asked for. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation'
}

const sequence = 0x30

export class Framing {
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #length = 0
  /** Bytes of the message that is being received, header included; undefined before its header is complete. */
  #expected: number | undefined

  /** `maxBytes` is the largest message, header included. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that belong to a message that is not complete. */
  get pending(): number {
    return this.#length
  }

  /** The messages that are complete now. Throws ProtocolViolation; nothing may be pushed after that. */
  push(chunk: Buffer): Buffer[] {
    const messages: Buffer[] = []
    this.#chunks.push(chunk)
    this.#length += chunk.length
    for (;;) {
      this.#expected ??= this.#messageLength()
      if (this.#expected === undefined || this.#length < this.#expected) return messages
      const bytes = this.#joined()
      messages.push(bytes.subarray(0, this.#expected))
      const rest = bytes.subarray(this.#expected)
      this.#chunks = rest.length > 0 ? [rest] : []
      this.#length = rest.length
      this.#expected = undefined
    }
  }

  #messageLength(): number | undefined {
    if (this.#length === 0) return undefined
    const head = this.#joined()
    if (head[0] !== sequence) throw new ProtocolViolation('this is not an LDAP message')
    const first = head[1]
    if (first === undefined) return undefined
    if (first < 0x80) return this.#checked(2 + first)
    const count = first & 0x7f
    // RFC 4511 §5.1: only the definite form; Active Directory always writes four bytes.
    if (count === 0 || count > 4) throw new ProtocolViolation('a message with a length that cannot be')
    if (head.length < 2 + count) return undefined
    return this.#checked(2 + count + head.readUIntBE(2, count))
  }

  /** Cheap: while the header is incomplete there are only a few bytes besides the newest chunk. */
  #joined(): Buffer {
    const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  #checked(length: number): number {
    if (length > this.#maxBytes) {
      throw new ProtocolViolation(`a message of ${length} bytes; ${this.#maxBytes} are the limit`)
    }
    return length
  }
}
