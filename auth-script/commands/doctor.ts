/** `doctor`: looks at the server's configuration, its program line, processes and accounts, and says what will go wrong. */
import type { Command } from 'commander'
import type { AddCommand } from '../context.ts'
import type { DoctorFlags } from '../doctor/examine.ts'

export const doctor: AddCommand = (program, context, done) => {
  program
    .command('doctor')
    .description(
      "look at the server's configuration, the program line and the accounts, and say what will go wrong",
    )
    .option('--ejabberd <file>', 'ejabberd.yml; looked for where packages put it when nothing is named')
    .option('--mongooseim <file>', 'mongooseim.toml')
    .option('--server <file>', 'gatehouse.yml of a server that asks this program')
    .option('--user <name>', 'user that the server runs as')
    .exitOverride()
    .action(async (_own: object, command: Command) => {
      // Not loaded by a program that serves.
      const { examine } = await import('../doctor/examine.ts')
      done(await examine(context, command.optsWithGlobals<DoctorFlags>()))
    })
}
