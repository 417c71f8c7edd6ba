/** The lines of a file of commands, read as they are needed. */
import { UsageError } from './words.ts'

export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
  /** Bytes from the beginning of the file to the end of the line. */
  readonly end: number
}

/** A longer one cannot be a command: the wire takes no more. */
const maxBytes = 1_048_576

/** Ends are LF or CR LF; throws UsageError for what is no text. */
export async function* linesOf(input: AsyncIterable<Buffer | string>): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest: Buffer[] = []
  let length = 0
  let number = 0
  let end = 0
  const line = (part: Buffer): Line => {
    const bytes = rest.length === 0 ? part : Buffer.concat([...rest, part])
    rest = []
    length = 0
    number++
    end += bytes.length + 1
    try {
      const text = decoder.decode(bytes)
      return { number, text: text.endsWith('\r') ? text.slice(0, -1) : text, end }
    } catch {
      throw new UsageError(`line ${number} is not UTF-8 text`)
    }
  }
  for await (const portion of input) {
    const chunk = typeof portion === 'string' ? Buffer.from(portion) : portion
    let start = 0
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, start)) {
      yield line(chunk.subarray(start, at))
      start = at + 1
    }
    if (start < chunk.length) rest.push(chunk.subarray(start))
    length += chunk.length - start
    if (length > maxBytes) throw new UsageError(`line ${number + 1} is longer than ${maxBytes} bytes`)
  }
  if (length > 0) yield line(Buffer.alloc(0))
}
