/** Reads character data and CDATA sections, byte by byte and each byte once, wherever chunks end. */
import type { ByteInput } from './input.ts'
import * as lexis from './lexis.ts'
import { XmlError, type XmlErrorCondition } from './xml-error.ts'

const lt = 0x3c
const gt = 0x3e
const closingBracket = 0x5d
/** `<![CDATA[` */
const cdataStart = 9

export class CharData {
  /** What was read last. */
  text = ''
  /** Whether the bytes say it in another way than our serialiser does, apart from references and quotes. */
  isUnusual = false
  error: XmlError | undefined
  /** How much of what is not finished is read, and what that has shown. */
  #scanned = 0
  #isHigh = false
  #isCoded = false

  clear(): void {
    this.text = ''
    this.error = undefined
    this.#scanned = 0
    this.isUnusual = this.#isHigh = this.#isCoded = false
  }

  /** Reads up to the next `<`: its position, or lexis.unfinished or lexis.refused. */
  read(input: ByteInput, pos: number): number {
    const { bytes, end } = input
    const { inText } = lexis
    let i = pos + this.#scanned
    for (; i < end; i++) {
      while (i < end && inText[bytes[i] as number] === lexis.plain) i++
      if (i >= end) break
      switch (inText[bytes[i] as number]) {
        case lexis.lessThan: {
          const raw = this.#isHigh ? input.utf8(pos, i) : input.ascii(pos, i)
          this.text = this.#isCoded ? lexis.decodeText(raw) : raw
          this.#scanned = 0
          this.#isHigh = this.#isCoded = false
          return i
        }
        case lexis.ampersand: {
          const next = lexis.referenceEnd(bytes, i, end)
          if (next === lexis.unfinished) return this.#wait(i - pos)
          if (next < 0) return this.#refuse(input, i, ...lexis.referenceProblem(next))
          this.#isCoded = true
          i = next - 1
          break
        }
        case lexis.bracket:
          if (i + 1 < end && bytes[i + 1] !== closingBracket) break
          if (i + 2 >= end) return this.#wait(i - pos)
          if (bytes[i + 2] === gt) return this.#refuse(input, i, 'character data holds ]]>')
          break
        case lexis.high:
          this.#isHigh = true
          while (i + 1 < end && inText[bytes[i + 1] as number] === lexis.high) i++
          break
        default:
          if (!this.#takes(input, i)) return lexis.refused
      }
    }
    return this.#wait(end - pos)
  }

  /** Reads a CDATA section: the position behind it, or lexis.unfinished or lexis.refused. */
  readCdata(input: ByteInput, pos: number): number {
    const { bytes, end } = input
    const { inText } = lexis
    for (let i = pos + Math.max(cdataStart, this.#scanned); i < end; i++) {
      const kind = inText[bytes[i] as number]
      if (kind === lexis.bracket) {
        if (i + 1 < end && bytes[i + 1] !== closingBracket) continue
        if (i + 2 >= end) return this.#wait(i - pos)
        if (bytes[i + 2] !== gt) continue
        const raw = this.#isHigh ? input.utf8(pos + cdataStart, i) : input.ascii(pos + cdataStart, i)
        this.text = this.#isCoded ? lexis.lineEnds(raw) : raw
        this.isUnusual = true
        this.#scanned = 0
        this.#isHigh = this.#isCoded = false
        return i + 3
      }
      if (kind === lexis.high) this.#isHigh = true
      else if (
        kind !== lexis.plain &&
        bytes[i] !== lt &&
        kind !== lexis.ampersand &&
        !this.#takes(input, i)
      ) {
        return lexis.refused
      }
    }
    return this.#wait(end - pos)
  }

  /** What is rare. */
  #takes(input: ByteInput, at: number): boolean {
    const kind = lexis.inText[input.bytes[at] as number]
    if (kind === lexis.carriageReturn) {
      this.#isCoded = this.isUnusual = true
      return true
    }
    if (kind === lexis.highest && !lexis.isNoCharacter(input.bytes, at)) {
      this.#isHigh = true
      return true
    }
    this.#refuse(input, at, 'a character is not allowed')
    return false
  }

  #wait(scanned: number): number {
    this.#scanned = scanned
    return lexis.unfinished
  }

  #refuse(
    input: ByteInput,
    at: number,
    message: string,
    condition: XmlErrorCondition = 'not-well-formed',
  ): number {
    this.error = new XmlError(condition, message, input.base + at)
    return lexis.refused
  }
}
