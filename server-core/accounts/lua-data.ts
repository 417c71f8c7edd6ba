/**
 * What Prosody keeps in its data folder: Lua chunks that return one literal table. They are read as data; nothing in them is
 * ever run.
 */
import { textOf } from '../xmpp/utf8.ts'

export type LuaValue = string | number | boolean | undefined | LuaTable
/** Keys are strings, numbers or booleans; a list has the keys 1, 2, … */
export type LuaTable = ReadonlyMap<string | number | boolean, LuaValue>

/** Not a chunk of that kind; the message says what was expected at which place. */
export class LuaDataError extends Error {
  override readonly name = 'LuaDataError'
}

const maxDepth = 64
const keywords: Readonly<Record<string, LuaValue>> = { true: true, false: false, nil: undefined }
const escapes: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\n': 10 }

/** Reads `return { … };`. Strings are bytes in Lua: they must be UTF-8 here. Throws LuaDataError. */
export function parseLuaData(text: string): LuaTable {
  const reader = new Reader(text)
  const value = reader.chunk()
  if (!(value instanceof Map)) throw new LuaDataError('the chunk does not return a table')
  return value
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  chunk(): LuaValue {
    this.#expect('return')
    const value = this.#value(0)
    this.#take(';')
    this.#space()
    if (this.#at < this.#text.length) this.#fail('the end')
    return value
  }

  #fail(expected: string): never {
    throw new LuaDataError(`at character ${this.#at + 1}: expected ${expected}`)
  }

  /** White space and comments. */
  #space(): void {
    const skipped = /(?:\s+|--[^\n]*)*/y
    skipped.lastIndex = this.#at
    skipped.test(this.#text)
    this.#at = skipped.lastIndex
  }

  #take(token: string): boolean {
    this.#space()
    if (!this.#text.startsWith(token, this.#at)) return false
    this.#at += token.length
    return true
  }

  #expect(token: string): void {
    if (!this.#take(token)) this.#fail(`'${token}'`)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #value(depth: number): LuaValue {
    this.#space()
    if (depth > maxDepth) this.#fail('less nesting')
    const char = this.#text[this.#at]
    if (char === '{') return this.#table(depth)
    if (char === '"' || char === "'") return this.#string(char)
    const number = this.#match(/-?(?:0[xX][\da-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)/y)
    if (number !== undefined) return Number(number)
    const word = this.#match(/[A-Za-z_]\w*/y)
    if (word !== undefined && Object.hasOwn(keywords, word)) return keywords[word]
    return this.#fail('a value')
  }

  #table(depth: number): LuaTable {
    this.#expect('{')
    const table = new Map<string | number | boolean, LuaValue>()
    let next = 1
    while (!this.#take('}')) {
      const key = this.#key(depth)
      const value = this.#value(depth + 1)
      if (value !== undefined) table.set(key ?? next++, value)
      if (!this.#take(';') && !this.#take(',')) {
        this.#expect('}')
        break
      }
    }
    return table
  }

  /** `[key] =`, `name =`, or nothing for the next of a list. */
  #key(depth: number): string | number | boolean | undefined {
    if (this.#take('[')) {
      const key = this.#value(depth + 1)
      if (key === undefined || key instanceof Map) this.#fail('a key')
      this.#expect(']')
      this.#expect('=')
      return key as string | number | boolean
    }
    this.#space()
    const name = this.#match(/[A-Za-z_]\w*(?=\s*=[^=])/y)
    if (name !== undefined) this.#expect('=')
    return name
  }

  #string(quote: string): string {
    const bytes: number[] = []
    this.#at++
    for (;;) {
      const char = this.#text[this.#at]
      if (char === undefined || char === '\n') return this.#fail(`a closing ${quote}`)
      this.#at++
      if (char === quote) break
      if (char === '\\') bytes.push(...this.#escape())
      else {
        const code = this.#text.codePointAt(this.#at - 1) ?? 0
        if (code > 0xffff) this.#at++
        bytes.push(...Buffer.from(String.fromCodePoint(code)))
      }
    }
    return textOf(Uint8Array.from(bytes)) ?? this.#fail('a string in UTF-8')
  }

  #escape(): readonly number[] {
    const decimal = this.#match(/\d{1,3}/y)
    if (decimal !== undefined) return Number(decimal) < 256 ? [Number(decimal)] : this.#fail('a byte')
    const hex = this.#match(/x[\da-fA-F]{2}/y)
    if (hex !== undefined) return [Number.parseInt(hex.slice(1), 16)]
    const char = this.#text[this.#at] ?? ''
    this.#at++
    const code = escapes[char]
    if (code !== undefined) return [code]
    return char === '\\' || char === '"' || char === "'" ? [char.charCodeAt(0)] : this.#fail('an escape')
  }
}

/** How Prosody spells a name in a path: every byte that is no ASCII letter or digit as %xx; stores keep their `_`. */
export function prosodyPath(name: string): string {
  let path = ''
  for (const byte of Buffer.from(name)) {
    const char = String.fromCharCode(byte)
    path += /[A-Za-z0-9]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0')}`
  }
  return path
}

export function fromProsodyPath(path: string): string {
  return decodeURIComponent(path)
}
