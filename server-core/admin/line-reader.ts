/** Bytes in portions of any size → lines, none longer than a limit; a line that grows beyond it is never buffered whole. */
export class LineReader {
  readonly #limit: number
  #parts: Buffer[] = []
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The lines that are complete now, without their LF; undefined when one is longer than the limit. */
  push(chunk: Buffer): Buffer[] | undefined {
    const lines: Buffer[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      const part = chunk.subarray(start, end < 0 ? chunk.length : end)
      if (this.#length + part.length > this.#limit) return undefined
      if (end < 0) {
        if (part.length > 0) this.#parts.push(part)
        this.#length += part.length
        return lines
      }
      lines.push(this.#parts.length === 0 ? part : Buffer.concat([...this.#parts, part]))
      this.#parts = []
      this.#length = 0
      start = end + 1
    }
  }

  /** Bytes of a line that is not complete. */
  get pending(): number {
    return this.#length
  }
}
