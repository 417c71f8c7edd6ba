/** A file of the caller's, as a command reads it: portion after portion, asked for one at a time. */
import { CommandError } from '../extend/command.ts'

const portionTimeout = 60_000

interface Portion {
  readonly data: string
  readonly last: boolean
}

export class FileFromClient implements AsyncIterable<string> {
  readonly #text: string | undefined
  readonly #ask: () => void
  readonly #signal: AbortSignal
  #deliver: ((portion: Portion) => void) | undefined

  /** `text`: the whole file came with the call. Otherwise `ask` asks for a portion, and `push` brings it. */
  constructor(text: string | undefined, ask: () => void, signal: AbortSignal) {
    this.#text = text
    this.#ask = ask
    this.#signal = signal
  }

  /** A portion that nobody asked for is dropped. */
  push(data: string, last: boolean): void {
    this.#deliver?.({ data, last })
    this.#deliver = undefined
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    if (this.#text !== undefined) {
      yield this.#text
      return
    }
    for (;;) {
      const { data, last } = await this.#portion()
      if (data !== '') yield data
      if (last) return
    }
  }

  #portion(): Promise<Portion> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        this.#signal.removeEventListener('abort', onAbort)
        this.#deliver = undefined
      }
      const onAbort = () => {
        done()
        reject(new CommandError('cancelled'))
      }
      const timer = setTimeout(() => {
        done()
        reject(new CommandError(`the file stopped coming: nothing for ${portionTimeout / 1_000} seconds`))
      }, portionTimeout)
      this.#signal.addEventListener('abort', onAbort)
      this.#deliver = (portion) => {
        done()
        resolve(portion)
      }
      if (this.#signal.aborted) onAbort()
      else this.#ask()
    })
  }
}

/** The whole text, for files that must be understood as one; bounded. */
export async function wholeText(file: AsyncIterable<string>, maxLength: number): Promise<string> {
  let text = ''
  for await (const portion of file) {
    text += portion
    if (text.length > maxLength) throw new CommandError(`the file is larger than ${maxLength} characters`)
  }
  return text
}

/** The lines of a file, without their ends (LF or CR LF). */
export async function* linesOf(file: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const portion of file) {
    const lines = (rest + portion).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
  }
  if (rest !== '') yield rest
}
