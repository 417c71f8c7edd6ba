/** Cuts a stream of bytes into lines of limited length; what is too long is cut and marked. */
import { StringDecoder } from 'node:string_decoder'

/** In UTF-16 units. */
const maxLine = 1000

export class LineReader {
  readonly #decoder = new StringDecoder('utf8')
  #line = ''

  push(chunk: Buffer): string[] {
    const pieces = this.#decoder.write(chunk).split('\n')
    const lines: string[] = []
    for (const [index, piece] of pieces.entries()) {
      if (this.#line.length <= maxLine) this.#line += piece.slice(0, maxLine + 1)
      if (index < pieces.length - 1) lines.push(...this.end())
    }
    return lines
  }

  /** The line without an end, if there is one. */
  end(): string[] {
    const line = this.#line.replace(/\r$/, '')
    this.#line = ''
    if (line === '') return []
    return [line.length > maxLine ? `${line.slice(0, maxLine)}…` : line]
  }
}
