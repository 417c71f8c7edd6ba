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

export async function parseCommandLine(argv: readonly string[]): Promise<CommandLine> {
  const end = argv.indexOf('--')
  const head = end < 0 ? argv : argv.slice(0, end)
  const literal = (end < 0 ? [] : argv.slice(end + 1)).map((text) => ({ text, literal: true }))
  const plain = (words: readonly string[]) => words.map((text) => ({ text, literal: false }))
  // Most command lines have no option, and loading the parser would take a tenth of their time.
  if (!head.some((word) => word.startsWith('--'))) return { options: {}, words: [...plain(head), ...literal] }
  const { parseOptions } = await import('./options.ts')
  const { options, args } = parseOptions(head)
  return { options, words: [...plain(args), ...literal] }
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
