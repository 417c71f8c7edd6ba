/**
 * Accounts in a text file, read-only: Apache's htpasswd, or lines as in passwd (Dovecot's passwd-file). The file is read again
 * when it has changed.
 */
import { readFile, stat } from 'node:fs/promises'
import { z } from 'zod'
import { UnusableCredential } from '../accounts/formats/format.ts'
import type { Logger } from '../log.ts'
import { prepareHost, prepareUser } from '../xmpp/jid.ts'
import { BackendUnavailable } from './backend.ts'
import {
  type AccountSource,
  recognise,
  type StoredAccount,
  StoredPasswordsBackend,
} from './stored-passwords.ts'

export const fileOptions = {
  file: z
    .string()
    .describe(
      'lines of NAME:PASSWORD, or NAME:PASSWORD:… as in passwd; NAME is a user or user@host, # begins a comment',
    ),
}

export type FileOptions = z.output<z.ZodObject<typeof fileOptions>>

export function fileBackend(options: FileOptions, log: Logger): StoredPasswordsBackend {
  const source = new FileSource(options.file, (reason) => backend.complain(reason))
  const backend = new StoredPasswordsBackend(source, log)
  return backend
}

const maxBytes = 256 * 1_048_576
/** How often it is looked whether the file has changed, in milliseconds. */
const lookEvery = 1_000

class FileSource implements AccountSource {
  readonly #file: string
  readonly #complain: (reason: string) => void
  #accounts: ReadonlyMap<string, StoredAccount> = new Map()
  #state = ''
  #lookedAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined

  constructor(file: string, complain: (reason: string) => void) {
    this.#file = file
    this.#complain = complain
  }

  async find(user: string, host: string): Promise<StoredAccount | undefined> {
    await this.#fresh()
    return this.#accounts.get(`${user}@${host}`) ?? this.#accounts.get(user)
  }

  async *list(host: string): AsyncIterable<string> {
    await this.#fresh()
    const names = [...this.#accounts.keys()].flatMap((name) => {
      const at = name.indexOf('@')
      if (at < 0) return [name]
      return name.slice(at + 1) === host ? [name.slice(0, at)] : []
    })
    yield* [...new Set(names)].sort()
  }

  async #fresh(): Promise<void> {
    const now = performance.now()
    if (now - this.#lookedAt < lookEvery) return
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    await this.#reading
  }

  async #read(): Promise<void> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#file)
      const state = `${ino} ${size} ${mtimeMs}`
      if (state !== this.#state) {
        if (size > maxBytes) throw new Error('it is too large')
        this.#accounts = this.#parse(await readFile(this.#file, 'utf8'))
        this.#state = state
      }
      this.#lookedAt = performance.now()
    } catch (error) {
      throw new BackendUnavailable(`${this.#file} cannot be read: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  #parse(text: string): ReadonlyMap<string, StoredAccount> {
    const accounts = new Map<string, StoredAccount>()
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue
      const [written = '', password = ''] = line.split(':')
      const name = nameOf(written)
      if (name === undefined) this.#complain(`${this.#file}:${index + 1}: this is no user name`)
      else accounts.set(name, this.#account(password, index + 1))
    }
    return accounts
  }

  /** '!' and '*' close an account, as in shadow(5). */
  #account(password: string, line: number): StoredAccount {
    if (password === '' || password.startsWith('*')) return { passwords: [], disabled: true }
    const disabled = password.startsWith('!')
    try {
      return { passwords: [recognise(disabled ? password.slice(1) : password)], disabled }
    } catch (error) {
      if (!(error instanceof UnusableCredential)) throw error
      this.#complain(`${this.#file}:${line}: ${error.message}`)
      return { passwords: [], disabled }
    }
  }
}

/** Prepared: `user`, or `user@host`. */
function nameOf(text: string): string | undefined {
  const at = text.lastIndexOf('@')
  const user = prepareUser(at < 0 ? text : text.slice(0, at))
  if (at < 0 || user === undefined) return user === '' ? undefined : user
  const host = prepareHost(text.slice(at + 1))
  return host === undefined || user === '' ? undefined : `${user}@${host}`
}
