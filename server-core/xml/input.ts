/** Bytes that have arrived and are not parsed yet: what is left of earlier chunks, checked for UTF-8, and texts cut from it. */
import { isAscii, isUtf8 } from 'node:buffer'
import { decode, unfinishedBytes, validBytes } from './utf8.ts'

const none = Buffer.alloc(0)

/**
 * So many bytes are decoded at once, and short texts are cut from that. A text that lives on keeps what it was cut from
 * alive, so this bounds what a short stanza from a long chunk costs while it waits somewhere.
 */
const windowSize = 4096
const smallest = 2048

export class ByteInput {
  bytes: Buffer = none
  /** The first byte that is not parsed yet. */
  pos = 0
  /** Behind the last byte that may be parsed: whole, valid characters only. */
  end = 0
  /** How many bytes of the document came before bytes[0]. */
  base = 0
  /** Behind `end` stands what is no UTF-8. */
  invalid = false
  /** Behind the last byte that is there. */
  #fill = 0
  /** Whether `bytes` is ours: chunks belong to whoever gave them, and are used only until `release`. */
  #owned = false
  #isAscii = true
  #window = ''
  #windowAt = 0

  /** How many bytes wait. */
  get waiting(): number {
    return this.#fill - this.pos
  }

  /** The first byte that may not be parsed. */
  get nextByte(): number {
    return this.bytes[this.end] ?? 0
  }

  /** Adds a chunk; returns by how much all positions in `bytes` have moved to the front. */
  append(chunk: Buffer): number {
    const { pos } = this
    let moved = 0
    if (this.#fill === pos) {
      moved = pos
      this.base += pos
      this.bytes = chunk
      this.pos = this.end = 0
      this.#fill = chunk.length
      this.#owned = false
      this.#isAscii = true
      this.#window = ''
    } else {
      moved = this.#makeRoom(chunk.length)
      this.bytes.set(chunk, this.#fill)
      this.#fill += chunk.length
    }
    this.#check(chunk)
    return moved
  }

  /** The chunk is the caller's again: what is left of it is copied. Returns by how much all positions have moved. */
  release(): number {
    this.#window = ''
    if (this.pos === this.#fill) {
      const moved = this.pos
      this.base += moved
      this.bytes = none
      this.pos = this.end = this.#fill = 0
      this.#owned = false
      this.#isAscii = true
      return moved
    }
    return this.#owned ? 0 : this.#makeRoom(0)
  }

  /** Forgets everything. */
  clear(): void {
    this.pos = this.#fill
    this.invalid = false
    this.release()
  }

  /** The text in these bytes, which are all ASCII. */
  ascii(start: number, end: number): string {
    let from = start - this.#windowAt
    if (from < 0 || end - this.#windowAt > this.#window.length) {
      const until = Math.max(end, Math.min(this.end, start + windowSize))
      this.#window = this.bytes.toString('latin1', start, until)
      this.#windowAt = start
      from = 0
    }
    return this.#window.slice(from, from + end - start)
  }

  /** The text in these bytes. */
  utf8(start: number, end: number): string {
    return this.#isAscii ? this.ascii(start, end) : decode(this.bytes, start, end)
  }

  /** Makes the bytes ours, with room behind them; what is parsed makes way. Copies each byte a bounded number of times. */
  #makeRoom(size: number): number {
    const { pos } = this
    const left = this.#fill - pos
    if (this.#owned && this.#fill + size <= this.bytes.length) return 0
    if (this.#owned && left + size <= this.bytes.length / 2) {
      this.bytes.copyWithin(0, pos, this.#fill)
    } else {
      const larger = Buffer.allocUnsafe(Math.max(smallest, 2 * (left + size)))
      larger.set(this.bytes.subarray(pos, this.#fill))
      this.bytes = larger
      this.#owned = true
    }
    this.base += pos
    this.pos = 0
    this.end -= pos
    this.#fill = left
    this.#window = ''
    return pos
  }

  /** Moves `end` over the whole and valid characters of the chunk that stands at the end of the bytes. */
  #check(chunk: Buffer): void {
    if (this.invalid) return
    if (this.end === this.#fill - chunk.length && isAscii(chunk)) {
      this.end = this.#fill
      return
    }
    this.#isAscii = false
    const start = this.end
    const until = this.#fill - unfinishedBytes(this.bytes, start, this.#fill)
    if (isUtf8(this.bytes.subarray(start, until))) {
      this.end = until
    } else {
      this.end = start + validBytes(this.bytes.subarray(start, until))
      this.invalid = true
    }
  }
}
