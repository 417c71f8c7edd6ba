/** The configuration while the server runs: read again, restarts, the log's file. */
import { CommandError, type CommandResult, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { AdminServer, ReloadOutcome } from '../admin-server.ts'
import { serverFile } from './arguments.ts'
import { kindly, stopArguments } from './stopping.ts'

export function configurationCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  return [
    defineCommand({
      name: 'reload_config',
      doc: 'Read the configuration again, and say what has come of each change',
      category,
      tags: ['config', 'server'],
      args: {},
      result: { kind: 'restuple' },
      example: 'reload_config',
      run: async () => reported(await server.reload({ plan: false })),
      preview: async () => reported(await server.reload({ plan: true })),
    }),
    defineCommand({
      name: 'reopen_log',
      doc: 'Open the log file again, after it was moved away',
      category,
      tags: ['logs', 'server'],
      args: {},
      result: { kind: 'rescode' },
      example: 'reopen_log',
      async run() {
        await server.reopenLog().catch((error: Error) => {
          throw new CommandError(`The log file cannot be opened: ${error.message}`)
        })
        return undefined
      },
    }),
    defineCommand({
      name: 'restart',
      doc: 'Stop the server and start it again with the configuration as it is then, in the same process',
      category,
      tags: ['server'],
      args: stopArguments,
      forms: [{ names: [] }, { names: ['delay', 'announcement'] }],
      result: { kind: 'restuple' },
      example: 'restart',
      async run(args, caller) {
        const outcome = await server.reload({ plan: true })
        if (!outcome.ok) return reported(outcome)
        return kindly(server, args, caller, 'restart')
      },
    }),
  ]
}

/** load_config is the submod node's, for there is MongooseIM's. */
export function loadConfigCommand(server: AdminServer): CommandSpec {
  return defineCommand({
    name: 'load_config',
    doc: 'Put another configuration file in place, until the next reload or restart',
    category: 'node',
    tags: ['server'],
    args: { file: serverFile('file that the server reads') },
    result: { kind: 'restuple' },
    example: 'load_config gatehouse.yml',
    ownerOnly: true,
    run: async (args) => reported(await server.reload({ file: args.file, plan: false })),
    preview: async (args) => reported(await server.reload({ file: args.file, plan: true })),
  })
}

function reported(outcome: ReloadOutcome): CommandResult {
  if (!outcome.ok) {
    const lines = [...outcome.complaints, 'Nothing was changed.']
    return { ok: false, text: lines.join('\n') }
  }
  const { applied, newConnections, restart, failed } = outcome.report
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['Applied', applied],
    ['For new connections', newConnections],
    ['Needs a restart', restart],
    ['Failed', failed],
  ]
  const parts = lists.flatMap(([heading, list]) =>
    list.length === 0 ? [] : [`${heading}:`, ...list.map((line) => `  ${line}`)],
  )
  const text = parts.length === 0 ? ['Nothing has changed.'] : parts
  return { ok: failed.length === 0, text: [...outcome.warnings, ...text].join('\n') }
}
