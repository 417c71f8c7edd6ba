/** What clients see in TLS. */
import { type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { AdminServer } from '../admin-server.ts'

export function certificateCommands(server: AdminServer): readonly CommandSpec[] {
  return [
    defineCommand({
      name: 'list_certificates',
      doc: 'List the certificate of each host: its file, its names, when it ends, and what is wrong with it',
      category: 'core',
      tags: ['server'],
      args: {},
      result: {
        kind: 'list',
        columns: [
          { name: 'domain', type: 'string' },
          { name: 'file', type: 'string' },
          { name: 'names', type: 'string' },
          { name: 'ends', type: 'string' },
          { name: 'days', type: 'integer' },
          { name: 'problem', type: 'string' },
        ],
      },
      example: 'list_certificates',
      run: () =>
        server.hosts.flatMap((host) => {
          const found = server.certificate(host)
          if (!found) return []
          const ends = new Date(found.expires).toISOString().replace(/\.000Z$/, 'Z')
          const { file, names, daysLeft, problems } = found
          return [[host, file, names.join(' '), ends, daysLeft, problems.join('; ')]]
        }),
    }),
  ]
}
