/**
 * Search filters (RFC 4515): read once from their text, places filled in the tree. A value never becomes text of a filter
 * again, so nothing in a user name can change what is asked.
 */
import { type Filling, fill, parseTemplate, type Segment } from './template.ts'

export type Filter<Value = string> =
  | { readonly is: 'and' | 'or'; readonly of: readonly Filter<Value>[] }
  | { readonly is: 'not'; readonly of: Filter<Value> }
  | { readonly is: 'present'; readonly attribute: string }
  | {
      readonly is: 'equal' | 'atLeast' | 'atMost' | 'approximately'
      readonly attribute: string
      readonly value: Value
    }
  | { readonly is: 'substrings'; readonly attribute: string; readonly parts: readonly Value[] }
  | {
      readonly is: 'extensible'
      /** '' when only the rule says which. */
      readonly attribute: string
      readonly rule: string
      readonly withDn: boolean
      readonly value: Value
    }

/** A filter with places. */
export type FilterTemplate = Filter<readonly Segment[]>

const maxDepth = 32
const attributeName = /^(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)(?:;[A-Za-z0-9-]+)*$/

export function isAttributeName(text: string): boolean {
  return attributeName.test(text)
}

/** Throws an Error with a sentence for the administrator. `allowed` are the letters of the places, for example 'ud'. */
export function parseFilter(text: string, allowed: string): FilterTemplate {
  const parser = new FilterParser(text, allowed)
  return parser.parse()
}

class FilterParser {
  readonly #text: string
  readonly #allowed: string
  #at = 0

  constructor(text: string, allowed: string) {
    this.#text = text.trim()
    this.#allowed = allowed
  }

  parse(): FilterTemplate {
    const filter = this.#filter(0)
    if (this.#at < this.#text.length) this.#fail('there is more after the last bracket')
    return filter
  }

  #filter(depth: number): FilterTemplate {
    if (depth > maxDepth) this.#fail(`more than ${maxDepth} brackets deep`)
    this.#expect('(')
    this.#skipSpace()
    const filter = this.#inside(depth)
    this.#expect(')')
    this.#skipSpace()
    return filter
  }

  #inside(depth: number): FilterTemplate {
    const sign = this.#text[this.#at]
    if (sign === '&' || sign === '|') {
      this.#at += 1
      this.#skipSpace()
      const of: FilterTemplate[] = []
      while (this.#text[this.#at] === '(') of.push(this.#filter(depth + 1))
      if (of.length === 0) this.#fail(`nothing in brackets after ${sign}`)
      return { is: sign === '&' ? 'and' : 'or', of }
    }
    if (sign === '!') {
      this.#at += 1
      this.#skipSpace()
      return { is: 'not', of: this.#filter(depth + 1) }
    }
    return this.#item()
  }

  #item(): FilterTemplate {
    const match = /([^()=~<>]*?)(~=|>=|<=|=)([^()]*)/y
    match.lastIndex = this.#at
    const found = match.exec(this.#text)
    if (found === null) this.#fail('an attribute, = and a value are expected')
    const [whole, left, sign, right] = found as unknown as [string, string, string, string]
    this.#at += whole.length
    const attribute = left.trim()
    if (sign === '=' && attribute.endsWith(':')) return this.#extensible(attribute, right)
    if (!isAttributeName(attribute)) this.#fail(`'${attribute}' is not the name of an attribute`)
    if (sign !== '=' && right === '') this.#fail(`${sign} needs a value`)
    if (sign === '~=') return { is: 'approximately', attribute, value: this.#value(right) }
    if (sign === '>=') return { is: 'atLeast', attribute, value: this.#value(right) }
    if (sign === '<=') return { is: 'atMost', attribute, value: this.#value(right) }
    if (right === '*') return { is: 'present', attribute }
    const parts = right.split('*')
    if (parts.length === 1) return { is: 'equal', attribute, value: this.#value(right) }
    if (parts.slice(1, -1).includes('')) this.#fail('two * without anything between them')
    return { is: 'substrings', attribute, parts: parts.map((part) => this.#value(part)) }
  }

  /** attribute:dn:rule:=value, of which the attribute or the rule may be missing. */
  #extensible(left: string, right: string): FilterTemplate {
    const match = /^([^:]*)(:dn)?(?::([^:]+))?:$/i.exec(left)
    const [, attribute = '', dn, rule = ''] = match ?? []
    const isKnown = attribute === '' ? rule !== '' : isAttributeName(attribute)
    if (match === null || !isKnown || (rule !== '' && !isAttributeName(rule))) {
      this.#fail(`'${left}=' is not attribute:rule:=`)
    }
    return { is: 'extensible', attribute, rule, withDn: dn !== undefined, value: this.#value(right) }
  }

  /** RFC 4515 §3: \xx is a byte; what it stands for is never a place. */
  #value(text: string): readonly Segment[] {
    const segments: Segment[] = []
    for (const [index, piece] of text.split(/((?:\\[0-9A-Fa-f]{2})+)/).entries()) {
      if (piece === '') continue
      if (index % 2 === 0) {
        if (piece.includes('\\')) this.#fail('a \\ that two hexadecimal digits do not follow')
        segments.push(...parseTemplate(piece, this.#allowed))
        continue
      }
      const bytes = Buffer.from(piece.replaceAll('\\', ''), 'hex')
      const decoded = bytes.toString('utf8')
      if (!Buffer.from(decoded).equals(bytes)) this.#fail(`${piece} is not UTF-8`)
      segments.push({ text: decoded })
    }
    return segments
  }

  #expect(char: string): void {
    if (this.#text[this.#at] !== char) this.#fail(`${char} is expected`)
    this.#at += 1
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === ' ') this.#at += 1
  }

  #fail(why: string): never {
    throw new Error(`the filter '${this.#text}' is wrong at character ${this.#at + 1}: ${why}`)
  }
}

/** Undefined when a place has nothing to be filled with: then nothing can match. */
export function fillFilter(template: FilterTemplate, filling: Filling): Filter | undefined {
  return filled(template, filling, (filling.values ?? [])[Symbol.iterator]())
}

function filled(template: FilterTemplate, filling: Filling, values: Iterator<string>): Filter | undefined {
  const text = (segments: readonly Segment[]) => fill(segments, filling, undefined, values)
  switch (template.is) {
    case 'and':
    case 'or': {
      const of: Filter[] = []
      for (const inner of template.of) {
        const filter = filled(inner, filling, values)
        if (filter === undefined) return undefined
        of.push(filter)
      }
      return { is: template.is, of }
    }
    case 'not': {
      const of = filled(template.of, filling, values)
      return of === undefined ? undefined : { is: 'not', of }
    }
    case 'present':
      return template
    case 'substrings': {
      const parts: string[] = []
      for (const part of template.parts) {
        const value = text(part)
        if (value === undefined) return undefined
        parts.push(value)
      }
      return { ...template, parts }
    }
    default: {
      const value = text(template.value)
      return value === undefined ? undefined : { ...template, value }
    }
  }
}

/** The text of a filter (RFC 4515 §3), for logs and tests. */
export function filterText(filter: Filter): string {
  switch (filter.is) {
    case 'and':
      return `(&${filter.of.map(filterText).join('')})`
    case 'or':
      return `(|${filter.of.map(filterText).join('')})`
    case 'not':
      return `(!${filterText(filter.of)})`
    case 'present':
      return `(${filter.attribute}=*)`
    case 'substrings':
      return `(${filter.attribute}=${filter.parts.map(escapeFilterValue).join('*')})`
    case 'extensible': {
      const rule = filter.rule === '' ? '' : `:${filter.rule}`
      return `(${filter.attribute}${filter.withDn ? ':dn' : ''}${rule}:=${escapeFilterValue(filter.value)})`
    }
    default: {
      const signs = { equal: '=', atLeast: '>=', atMost: '<=', approximately: '~=' } as const
      return `(${filter.attribute}${signs[filter.is]}${escapeFilterValue(filter.value)})`
    }
  }
}

/** RFC 4515 §3. */
export function escapeFilterValue(value: string): string {
  return value.replace(/[\0()*\\%]/g, (char) => `\\${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
