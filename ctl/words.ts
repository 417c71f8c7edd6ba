/**
 * The words of a command line: global options, which may stand anywhere before `--`, and the rest, which is the command's.
 * `-` reads standard input, `@./path` a file, `@@` stands for a leading `@`; behind `--` everything is text.
 */
export const outputs = ['text', 'table', 'json', 'jsonl', 'csv'] as const
export type OutputFormat = (typeof outputs)[number]

export interface GlobalOptions {
  readonly socket?: string
  readonly server?: string
  readonly config?: string
  readonly output?: OutputFormat
  readonly fields?: readonly string[]
  readonly yes?: true
  readonly dryRun?: true
  /** Seconds. */
  readonly timeout?: number
  readonly verbose?: true
  readonly help?: true
  readonly version?: true
  /** help: the commands by their tags. */
  readonly tags?: true
  /** batch */
  readonly jobs?: number
  readonly keepGoing?: true
  /** The line to begin with; the first is 1. */
  readonly from?: number
  /** watch: seconds between two looks. */
  readonly interval?: number
}

export interface Word {
  readonly text: string
  /** Stood behind `--`: never a file or standard input. */
  readonly literal: boolean
}

export interface CommandLine {
  readonly options: GlobalOptions
  readonly words: readonly Word[]
}

/** A command line that cannot be understood; exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A file of the caller's that cannot be read or written; exit 1. */
export class FileError extends Error {
  override readonly name = 'FileError'
}

/** What commander makes of the words before `--`. */
export type OptionParser = (words: readonly string[]) => {
  readonly options: GlobalOptions
  readonly args: readonly string[]
}

export function splitWords(argv: readonly string[], parseOptions: OptionParser): CommandLine {
  const end = argv.indexOf('--')
  const head = end < 0 ? argv : argv.slice(0, end)
  const literal = (end < 0 ? [] : argv.slice(end + 1)).map((text) => ({ text, literal: true }))
  if (!head.some((word) => word.startsWith('--'))) {
    return { options: {}, words: [...head.map(plain), ...literal] }
  }
  const { options, args } = parseOptions(head)
  return { options, words: [...args.map(plain), ...literal] }
}

/** `check-account` is `check_account`; arguments are never changed. */
export function commandName(word: Word): string {
  return word.text.replaceAll('-', '_')
}

export function plain(text: string): Word {
  return { text, literal: false }
}

/** What a word stands for, when it is an ordinary argument. */
export type Meaning =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stdin' }

export function meaningOf(word: Word): Meaning {
  const { text } = word
  if (word.literal) return { kind: 'text', text }
  if (text === '-') return { kind: 'stdin' }
  if (text.startsWith('@@')) return { kind: 'text', text: text.slice(1) }
  if (/^@(\/|\.\/|\.\.\/)/.test(text)) return { kind: 'file', path: text.slice(1) }
  return { kind: 'text', text }
}
