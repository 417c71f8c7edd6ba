/**
 * The words of a command line: global options, which may stand anywhere before `--`, and the rest, which is the command's.
 * `-` reads standard input, `@./path` a file, `@@` stands for a leading `@`; behind `--` everything is text.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'

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

export function parseCommandLine(argv: readonly string[]): CommandLine {
  const end = argv.indexOf('--')
  const head = end < 0 ? argv : argv.slice(0, end)
  const literal = end < 0 ? [] : argv.slice(end + 1)
  const program = globalOptions()
  try {
    program.parse([...head], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(error.message.replace(/^error: /, ''))
    throw error
  }
  const words = [
    ...program.args.map((text) => ({ text, literal: false })),
    ...literal.map((text) => ({ text, literal: true })),
  ]
  return { options: program.opts<GlobalOptions>(), words }
}

export function globalOptions(): Command {
  return new Command('gatehousectl')
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined })
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .option('--socket <path>', 'control socket of the server')
    .option('--server <folder>', 'folder that the server runs in')
    .option('--config <file>', "the server's configuration, which says where its socket is")
    .addOption(new Option('--output <format>', 'how results are printed').choices(outputs))
    .option('--fields <names>', 'columns to print, separated by commas', (text) => text.split(','))
    .option('--yes', 'do not ask before something is destroyed')
    .option('--dry-run', 'only say what would be destroyed')
    .option('--timeout <seconds>', 'how long to wait for the end of a command', seconds)
    .option('--verbose', 'say what is asked of whom')
    .option('--help', 'this help; with a command, help on it')
    .option('--version', 'version of this program')
    .addOption(new Option('--tags', 'help: commands by tag').hideHelp())
    .addOption(new Option('--jobs <n>', 'batch: commands at a time').argParser(positive).hideHelp())
    .addOption(new Option('--keep-going', 'batch: go on behind a failure').hideHelp())
    .addOption(new Option('--interval <seconds>', 'watch').argParser(seconds).hideHelp())
}

function seconds(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('It is a number of seconds.')
  return value
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It is a whole number from 1.')
  return value
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
