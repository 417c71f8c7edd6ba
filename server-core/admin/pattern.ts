/**
 * Regular expressions of administrators, matched in time linear to the text whatever the pattern (a simulation of Thompson's
 * automaton): a hostile one can neither hang the server nor grow without bound. Known: literals, `.`, classes, `\d \w \s` and
 * their opposites, groups, `|`, `* + ? {m,n}` (also lazy), `^` and `$`. Always against the whole text. Upper case in a pattern
 * stands for lower case, as addresses are.
 */
export class PatternError extends Error {
  override readonly name = 'PatternError'
}

/** States of one automaton: what bounds {1000}{1000}. */
const maxStates = 5_000

type Test = (char: string) => boolean

type State =
  | { readonly kind: 'char'; readonly test: Test; next: number }
  | { readonly kind: 'split'; next: number; other: number }
  | { readonly kind: 'start' | 'end'; next: number }
  | { readonly kind: 'match' }

type Tree =
  | { readonly kind: 'char'; readonly test: Test }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'all'; readonly parts: readonly Tree[] }
  | { readonly kind: 'any'; readonly parts: readonly Tree[] }
  | { readonly kind: 'repeat'; readonly part: Tree; readonly min: number; readonly max: number }

export class Pattern {
  readonly #states: State[] = []
  readonly #start: number

  /** Throws PatternError. */
  constructor(text: string) {
    const tree = new PatternParser(text).parse()
    this.#start = this.#build(tree, this.#add({ kind: 'match' }))
  }

  matches(text: string): boolean {
    let states = this.#closure([this.#start], true, text.length === 0)
    let at = 0
    for (const char of text) {
      at += char.length
      const next: number[] = []
      for (const index of states) {
        const state = this.#states[index]
        if (state?.kind === 'char' && state.test(char)) next.push(state.next)
      }
      if (next.length === 0) return false
      states = this.#closure(next, false, at === text.length)
    }
    return [...states].some((index) => this.#states[index]?.kind === 'match')
  }

  #add(state: State): number {
    if (this.#states.length >= maxStates) throw new PatternError('the pattern is too large')
    return this.#states.push(state) - 1
  }

  /** The states of a part that goes on at `next`, built from the end; gives where it begins. */
  #build(tree: Tree, next: number): number {
    switch (tree.kind) {
      case 'char':
        return this.#add({ kind: 'char', test: tree.test, next })
      case 'start':
      case 'end':
        return this.#add({ kind: tree.kind, next })
      case 'all':
        return tree.parts.reduceRight((after, part) => this.#build(part, after), next)
      case 'any':
        return tree.parts
          .map((part) => this.#build(part, next))
          .reduce((other, start) => this.#add({ kind: 'split', next: start, other }))
      case 'repeat': {
        let after = next
        if (tree.max === Number.POSITIVE_INFINITY) {
          const loop: State = { kind: 'split', next: 0, other: next }
          after = this.#add(loop)
          loop.next = this.#build(tree.part, after)
        } else {
          for (let i = tree.min; i < tree.max; i++) {
            after = this.#add({ kind: 'split', next: this.#build(tree.part, after), other: next })
          }
        }
        for (let i = 0; i < tree.min; i++) after = this.#build(tree.part, after)
        return after
      }
    }
  }

  #closure(from: readonly number[], isStart: boolean, isEnd: boolean): Set<number> {
    const found = new Set<number>()
    const open = [...from]
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (found.has(index)) continue
      found.add(index)
      const state = this.#states[index]
      if (state?.kind === 'split') open.push(state.next, state.other)
      else if ((state?.kind === 'start' && isStart) || (state?.kind === 'end' && isEnd)) open.push(state.next)
    }
    return found
  }
}

const isDigit: Test = (char) => /^[0-9]$/.test(char)
const isWord: Test = (char) => /^[0-9A-Za-z_]$/.test(char)
const isSpace: Test = (char) => /^\s$/u.test(char)
const not =
  (test: Test): Test =>
  (char) =>
    !test(char)

const classes: Readonly<Record<string, Test>> = {
  d: isDigit,
  D: not(isDigit),
  w: isWord,
  W: not(isWord),
  s: isSpace,
  S: not(isSpace),
}

const controls: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v' }

class PatternParser {
  readonly #chars: readonly string[]
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#chars = [...text]
  }

  parse(): Tree {
    const tree = this.#alternatives()
    if (this.#at < this.#chars.length) throw new PatternError(`unmatched ')' at ${this.#at}`)
    return tree
  }

  #alternatives(): Tree {
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    return parts.length === 1 ? (parts[0] as Tree) : { kind: 'any', parts }
  }

  #sequence(): Tree {
    const parts: Tree[] = []
    for (
      let char = this.#chars[this.#at];
      char !== undefined && char !== '|' && char !== ')';
      char = this.#chars[this.#at]
    ) {
      parts.push(this.#repeated(this.#atom()))
    }
    return { kind: 'all', parts }
  }

  #atom(): Tree {
    const char = this.#chars[this.#at++] as string
    switch (char) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'char', test: this.#class() }
      case '.':
        return { kind: 'char', test: (other) => other !== '\n' }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '*':
      case '+':
      case '?':
        throw new PatternError(`nothing to repeat at ${this.#at - 1}`)
      case '\\':
        return { kind: 'char', test: this.#escape() }
      default:
        return { kind: 'char', test: literal(char) }
    }
  }

  #group(): Tree {
    if (++this.#depth > 50) throw new PatternError('groups are nested too deeply')
    if (this.#take('?') && !this.#take(':')) throw new PatternError(`(?… at ${this.#at - 1} is not supported`)
    const tree = this.#alternatives()
    if (!this.#take(')')) throw new PatternError('missing )')
    this.#depth--
    return tree
  }

  #escape(): Test {
    const char = this.#chars[this.#at++]
    if (char === undefined) throw new PatternError('\\ at the end')
    const test = classes[char]
    if (test) return test
    const control = controls[char]
    if (control !== undefined) return literal(control)
    if (/[0-9A-Za-z]/.test(char)) throw new PatternError(`\\${char} is not supported`)
    return literal(char)
  }

  #class(): Test {
    const negated = this.#take('^')
    const tests: Test[] = []
    for (let first = true; ; first = false) {
      const char = this.#chars[this.#at++]
      if (char === undefined) throw new PatternError('missing ]')
      if (char === ']' && !first) break
      if (char === '\\') {
        tests.push(this.#escape())
        continue
      }
      const last = this.#chars[this.#at + 1]
      if (this.#chars[this.#at] === '-' && last !== undefined && last !== ']') {
        this.#at += 2
        tests.push(range(char, last))
      } else {
        tests.push(literal(char))
      }
    }
    return (char) => tests.some((test) => test(char)) !== negated
  }

  #repeated(part: Tree): Tree {
    let tree = part
    for (;;) {
      const bounds = this.#bounds()
      if (!bounds) return tree
      this.#take('?') // lazy: the same texts match
      tree = { kind: 'repeat', part: tree, min: bounds[0], max: bounds[1] }
    }
  }

  #bounds(): [number, number] | undefined {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.#take('?')) return [0, 1]
    const rest = this.#chars.slice(this.#at, this.#at + 12).join('')
    const found = /^\{(\d{1,4})(,(\d{0,4}))?\}/.exec(rest)
    if (!found) return undefined
    this.#at += found[0].length
    const min = Number(found[1])
    const max = found[2] === undefined ? min : found[3] === '' ? Number.POSITIVE_INFINITY : Number(found[3])
    if (max < min) throw new PatternError(`${found[0]} ends before it begins`)
    return [min, max]
  }

  #take(char: string): boolean {
    if (this.#chars[this.#at] !== char) return false
    this.#at++
    return true
  }
}

function literal(char: string): Test {
  const lower = char.toLowerCase()
  return (other) => other === char || other === lower
}

function range(first: string, last: string): Test {
  const [from, to] = [first.codePointAt(0) ?? 0, last.codePointAt(0) ?? 0]
  if (to < from) throw new PatternError(`the range ${first}-${last} ends before it begins`)
  const inside: Test = (char) => {
    const code = char.codePointAt(0) ?? 0
    return code >= from && code <= to
  }
  return (char) => inside(char) || inside(char.toUpperCase())
}
