/** Submod `node`: this server as one of several. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { AdminServer } from '../admin-server.ts'
import { word } from './arguments.ts'
import { loadConfigCommand } from './configuration.ts'

export function nodeCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'node'
  return [
    defineCommand({
      name: 'get_cookie',
      doc: 'Get the secret by which nodes of one cluster know each other',
      category,
      tags: ['erlang'],
      args: {},
      result: { kind: 'string', name: 'cookie' },
      example: 'get_cookie',
      ownerOnly: true,
      run: () => server.cookie,
    }),
    loadConfigCommand(server),
    defineCommand({
      name: 'remove_node',
      doc: 'Forget a node of the cluster that has gone for good',
      category,
      tags: ['erlang'],
      args: { node: word('name of the node') },
      result: { kind: 'rescode' },
      example: 'remove_node gatehouse@old.example.org',
      run(args) {
        if (args.node === server.node) throw new CommandError('This is the node that you are talking to')
        throw new CommandError(`There is no node ${args.node}`)
      },
    }),
  ]
}
