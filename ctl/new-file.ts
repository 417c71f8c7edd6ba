/** A file that a command gives back: the caller's alone, and either all of it is there or nothing is. */
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Output } from './terminal.ts'
import { FileError, UsageError } from './words.ts'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'there is no such folder',
  EACCES: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is full',
  EISDIR: 'it is a folder',
}

export class NewFile {
  readonly #path: string
  readonly #partial: string
  readonly #out: Output | undefined
  #handle: FileHandle | undefined

  /** '-' is standard output, which must not be a terminal. Throws FileError or UsageError before anything is asked of the server. */
  static async at(path: string, out: Output): Promise<NewFile> {
    if (path !== '-') {
      const file = new NewFile(path, undefined)
      await file.#open()
      return file
    }
    if (out.isTerminal)
      throw new UsageError('the file is not for a terminal: send it elsewhere, or name a file')
    return new NewFile(path, out)
  }

  private constructor(path: string, out: Output | undefined) {
    this.#path = path
    this.#partial = join(dirname(path), `.${basename(path)}.${Math.random().toString(36).slice(2)}`)
    this.#out = out
  }

  /** Beside its place, and never somebody else's file: what it holds is personal. */
  async #open(): Promise<void> {
    this.#handle = await open(this.#partial, 'wx', 0o600).catch((error: unknown) => this.#failed(error))
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#out) return this.#out.write(bytes)
    await this.#handle?.writeFile(bytes).catch((error: unknown) => this.#failed(error))
  }

  /** All of it has come: it takes its place, on disk. */
  async finish(): Promise<void> {
    if (!this.#handle) return
    try {
      await this.#handle.sync()
      await this.#handle.close()
      this.#handle = undefined
      await rename(this.#partial, this.#path)
    } catch (error) {
      await rm(this.#partial, { force: true })
      this.#failed(error)
    }
  }

  /** Takes away what is not finished. */
  async discard(): Promise<void> {
    if (!this.#handle) return
    await this.#handle.close().catch(() => undefined)
    this.#handle = undefined
    await rm(this.#partial, { force: true })
  }

  #failed(error: unknown): never {
    const { code = '' } = error as NodeJS.ErrnoException
    throw new FileError(`Cannot write ${this.#path}: ${reasons[code] ?? code}`)
  }
}
