/** Where the program prints: two streams that may be slow, may be closed by the other side, may be terminals. */
import type { Writable } from 'node:stream'

export interface OutputStream extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
}

/** The reader has gone (`| head`): nothing more is wanted, and that is no failure. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone'
}

/** What was asked for cannot be printed: a full disk. The command has run. */
export class CannotWrite extends Error {
  override readonly name = 'CannotWrite'

  constructor(error: NodeJS.ErrnoException) {
    const why = error.code === 'ENOSPC' ? 'no space is left on the device' : error.message
    super(`the result could not be written: ${why}; the command may have been done`)
  }
}

/** Where text goes. */
export interface Output {
  readonly isTerminal: boolean
  /** Of a terminal. */
  readonly columns: number | undefined
  /** Resolves when more can be taken; throws ReaderGone or CannotWrite. */
  write(text: string | Buffer): Promise<void>
  /** Resolves when all was written that was given; throws CannotWrite. */
  settled(): Promise<void>
}

export class StreamOutput implements Output {
  readonly stream: OutputStream
  #gone = false
  #failure: NodeJS.ErrnoException | undefined

  constructor(stream: OutputStream) {
    this.stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#gone = true
      if (error.code !== 'EPIPE') this.#failure = error
    })
  }

  async settled(): Promise<void> {
    if (!this.#gone) await new Promise<void>((resolve) => this.stream.write('', () => resolve()))
    // A stream tells a little later that it failed.
    if (!this.#gone) await new Promise<void>((resolve) => setImmediate(resolve))
    if (this.#failure) throw new CannotWrite(this.#failure)
  }

  get isTerminal(): boolean {
    return this.stream.isTTY === true
  }

  get columns(): number | undefined {
    return this.stream.columns
  }

  async write(text: string | Buffer): Promise<void> {
    if (this.#failure) throw new CannotWrite(this.#failure)
    if (this.#gone) throw new ReaderGone()
    if (text.length === 0 || this.stream.write(text)) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.stream.off('drain', done)
        this.stream.off('close', done)
        this.stream.off('error', done)
        resolve()
      }
      this.stream.once('drain', done)
      this.stream.once('close', done)
      this.stream.once('error', done)
    })
    if (this.#failure) throw new CannotWrite(this.#failure)
    if (this.#gone) throw new ReaderGone()
  }
}

const outputs = new WeakMap<OutputStream, StreamOutput>()

/** The one output to that stream: whoever prints to it shares its end. */
export function outputTo(stream: OutputStream): StreamOutput {
  const known = outputs.get(stream) ?? new StreamOutput(stream)
  outputs.set(stream, known)
  return known
}

/** Text in bold or dim, where the terminal and the person want it (NO_COLOR). */
export interface Style {
  bold(text: string): string
  dim(text: string): string
}

export function styleFor(output: Output, environment: Readonly<Record<string, string | undefined>>): Style {
  const isPlain = !output.isTerminal || Boolean(environment['NO_COLOR']) || environment['TERM'] === 'dumb'
  const wrap = (code: number) => (text: string) => (isPlain ? text : `\x1b[${code}m${text}\x1b[0m`)
  return { bold: wrap(1), dim: wrap(2) }
}

/** Columns that a text takes on a terminal: East Asian wide characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const char of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(char)) continue
    width +=
      /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        char,
      )
        ? 2
        : 1
  }
  return width
}
