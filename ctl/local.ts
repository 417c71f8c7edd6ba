/** The commands that the program has itself: what they are called and how help shows them. */
import type { ArgumentDescription, CommandDescription } from '../server-core/admin/control-protocol.ts'

function argument(name: string, doc: string, optional = false): ArgumentDescription {
  return { name, type: 'string', doc, secret: false, optional }
}

/** A command of the program's own; `takesMore`: any number of words more than it has arguments. */
export interface LocalCommand extends CommandDescription {
  readonly takesMore?: true
}

function local(
  name: string,
  doc: string,
  args: readonly ArgumentDescription[],
  example: string,
  more: Pick<LocalCommand, 'takesMore'> = {},
): LocalCommand {
  return {
    name,
    doc,
    category: 'ctl',
    tags: ['ctl'],
    args,
    forms: [{ names: args.map((arg) => arg.name) }],
    result: { kind: 'rescode' },
    example,
    ...more,
  }
}

const rest = argument('words', 'a command with its arguments')

/** By name. */
export const localCommands: readonly LocalCommand[] = [
  local(
    'batch',
    'Run the commands of a file, one a line, in order; --jobs N runs lines that do not depend on each other, --keep-going goes on behind a failure, --from LINE begins there',
    [argument('file', 'file of command lines or lines of JSON, or - for standard input')],
    'batch commands.txt',
  ),
  local(
    'completion',
    'Print the completion script of a shell',
    [argument('shell', 'bash, zsh, or fish')],
    'completion bash',
  ),
  local(
    'help',
    'This help; of one command, of those that match, or by tag (--tags)',
    [argument('command', 'name, or pattern with * and ?', true)],
    'help kick_session',
  ),
  local('man', 'Print the manual page, with the commands that this server has', [], 'man'),
  local('shell', 'Type commands one after the other, with completion', [], 'shell'),
  local('started', 'Wait until the server runs, at most a minute', [], 'started'),
  local('stopped', 'Wait until the server has stopped, at most half a minute', [], 'stopped'),
  local(
    'watch',
    'Run a command again and again, every 2 seconds or --interval, and show what has changed',
    [rest],
    'watch connected_users_info',
    { takesMore: true },
  ),
]

/** What completion scripts call; it is nobody else's business. */
const hidden = 'complete_words'

export function isLocal(name: string): boolean {
  return name === hidden || localCommands.some((command) => command.name === name)
}
