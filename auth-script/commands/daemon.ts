/** `daemon`: one process that answers for all virtual hosts, on UNIX sockets, behind relays or Prosody. */
import type { Command } from 'commander'
import type { AddCommand } from '../context.ts'
import type { DaemonFlags } from '../daemon/run.ts'

export const daemon: AddCommand = (program, context, done) => {
  program
    .command('daemon')
    .description('answer on a UNIX socket, behind `gatehouse-extauth relay SOCKET` in the pools of servers')
    .option('--listen <path>', 'socket for relays; mode 0600 unless extauth.yml says otherwise')
    .option('--listen-lines <path>', "socket for Prosody's mod_auth_gatehouse: lines with request ids")
    .action(async (_own: object, command: Command) => {
      // What the pipe does not need is loaded here.
      const { runDaemon } = await import('../daemon/run.ts')
      done(await runDaemon(context, command.optsWithGlobals<DaemonFlags>()))
    })
}
