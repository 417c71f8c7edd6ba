/** The global options, as commander understands them. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type GlobalOptions, outputs, UsageError } from './words.ts'

/** The options among the words, and the other words in their order. Throws UsageError. */
export function parseOptions(words: readonly string[]): { options: GlobalOptions; args: readonly string[] } {
  const program = globalOptions()
  try {
    program.parse([...words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(error.message.replace(/^error: /, ''))
    throw error
  }
  return { options: program.opts<GlobalOptions>(), args: program.args }
}

export function globalOptions(): Command {
  return new Command('gatehousectl')
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined })
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .option('--socket <path>', 'control socket of the server')
    .option(
      '--server <name>',
      'server by its name in ~/.config/gatehouse/ctl.yml, or the folder that it runs in',
    )
    .option('--config <file>', "the server's configuration, which says where its socket is")
    .addOption(new Option('--output <format>', 'how results are printed').choices(outputs))
    .option('--fields <names>', 'columns to print, separated by commas', (text) =>
      text.split(',').map((name) => name.trim()),
    )
    .option('--yes', 'do not ask before something is destroyed')
    .option('--dry-run', 'only say what would be destroyed')
    .option('--timeout <seconds>', 'how long to wait for the end of a command', seconds)
    .option('--verbose', 'say what is asked of whom')
    .option('--help', 'this help; with a command, help on it')
    .option('--version', 'version of this program')
    .addOption(new Option('--tags', 'help: commands by tag').hideHelp())
    .addOption(new Option('--jobs <n>', 'batch: commands at a time').argParser(positive).hideHelp())
    .addOption(new Option('--keep-going', 'batch: go on behind a failure').hideHelp())
    .addOption(new Option('--from <line>', 'batch: line to begin with').argParser(positive).hideHelp())
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
