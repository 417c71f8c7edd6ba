/** The words of the program's own command line. */
import { type CommandLine, plain, splitWords } from './words.ts'

/** Throws UsageError. */
export async function parseCommandLine(argv: readonly string[]): Promise<CommandLine> {
  // Most command lines have no option, and loading the parser would take a tenth of their time.
  if (!argv.some((word) => word.startsWith('--'))) return { options: {}, words: argv.map(plain) }
  return splitWords(argv, (await import('./options.ts')).parseOptions)
}
