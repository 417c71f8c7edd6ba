/** Submod `gdpr`: what is kept about a person. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { AdminServer } from '../admin-server.ts'
import { personalArchive } from '../personal-archive.ts'
import { existingAccount } from './account.ts'
import { host, newFile, user } from './arguments.ts'

export function gdprCommands(server: AdminServer): readonly CommandSpec[] {
  return [
    defineCommand({
      name: 'retrieve_personal_data',
      doc: 'Write everything that is kept about an account into a ZIP archive of CSV files',
      category: 'gdpr',
      tags: ['gdpr'],
      args: {
        username: user(),
        domain: host(),
        path: newFile('file to write on your side, for you alone; - is standard output'),
      },
      result: { kind: 'file' },
      example: 'retrieve_personal_data alice localhost alice.zip',
      async run(args, caller) {
        const account = await existingAccount(server, args.username, args.domain, caller.signal)
        if (!account) throw new CommandError('User does not exist')
        return { file: personalArchive(server, account.user, account.host) }
      },
    }),
  ]
}
