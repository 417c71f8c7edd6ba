/** The commands that the program has itself: what they are called and how help shows them. */
import type { ArgumentDescription, CommandDescription } from '../server-core/admin/control-protocol.ts'

function argument(name: string, doc: string, optional = false): ArgumentDescription {
  return { name, type: 'string', doc, secret: false, optional }
}

function local(
  name: string,
  doc: string,
  args: readonly ArgumentDescription[],
  example: string,
): CommandDescription {
  return {
    name,
    doc,
    category: 'ctl',
    tags: ['ctl'],
    args,
    forms: [{ names: args.map((arg) => arg.name) }],
    result: { kind: 'rescode' },
    example,
  }
}

/** By name. */
export const localCommands: readonly CommandDescription[] = [
  local(
    'help',
    'This help; of one command, of those that match, or by tag (--tags)',
    [argument('command', 'name, or pattern with * and ?', true)],
    'help kick_session',
  ),
  local('started', 'Wait until the server runs, at most a minute', [], 'started'),
  local('stopped', 'Wait until the server has stopped, at most half a minute', [], 'stopped'),
]

export function isLocal(name: string): boolean {
  return localCommands.some((command) => command.name === name)
}
