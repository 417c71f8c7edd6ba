/** Help: of the program, of the commands (which the server describes), by name, by pattern, by tag. */
import type {
  ArgumentDescription,
  CommandDescription,
  Description,
  ResultShape,
} from '../server-core/admin/control-protocol.ts'
import { localCommands } from './local.ts'
import { globalOptions } from './options.ts'
import { displayWidth, type Style } from './terminal.ts'

export interface HelpOptions {
  readonly style: Style
  /** Columns to fill. */
  readonly width: number
}

const usageLine = 'Usage: gatehousectl [options] command [arguments]'

/** `help` alone: everything. Without a server, the program's own commands. */
export function overview(description: Description | undefined, options: HelpOptions): string {
  const { style } = options
  const commands = description ? withLocal(description.commands) : localCommands
  const heading = description
    ? `Available commands in this gatehouse node (${description.node}):`
    : 'No server answers, so its commands are not known. Those of gatehousectl itself:'
  return [
    usageLine,
    '',
    style.bold(heading),
    list(commands, options),
    '',
    style.bold('Options (they may stand anywhere before --):'),
    globalOptionLines(options),
    '',
    style.bold('Arguments:'),
    '  -             standard input; @./path a file; @@ a leading @; behind -- everything is text',
    '',
    style.bold('Examples:'),
    '  gatehousectl register alice localhost',
    '  gatehousectl connected_users_info --output json',
    '  gatehousectl help kick_session',
  ].join('\n')
}

/** Usage for somebody who gave no command at all. */
export function shortUsage(): string {
  return [
    usageLine,
    '',
    '  gatehousectl help             all commands',
    '  gatehousectl help COMMAND     one of them',
    '  gatehousectl status           whether the server runs',
  ].join('\n')
}

export function withLocal(commands: readonly CommandDescription[]): CommandDescription[] {
  const names = new Set(commands.map(({ name }) => name))
  const all = [...commands, ...localCommands.filter(({ name }) => !names.has(name))]
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function commandLine(command: CommandDescription): string {
  return [command.name, ...command.args.map(argumentWord)].join(' ')
}

/** How a command line shows an argument. */
export function argumentWord({ name, optional, option }: ArgumentDescription): string {
  const word = option ? `--${name} VALUE` : name
  return optional ? `[${word}]` : word
}

/** Two columns when there is room for both, else the description below the command. */
export function list(commands: readonly CommandDescription[], { style, width }: HelpOptions): string {
  const rows = commands.map((command) => ({ line: commandLine(command), command }))
  const longest = Math.max(0, ...rows.map(({ line }) => displayWidth(line)))
  const marked = (line: string) => {
    const [name = '', ...args] = line.split(' ')
    return [style.bold(name), ...args].join(' ')
  }
  if (width - longest >= 40) {
    const indent = longest + 5
    return rows
      .map(({ line, command }) => {
        const padding = ' '.repeat(longest - displayWidth(line))
        return `  ${marked(line)}${padding}   ${wrapped(command.doc, width - indent, indent)}`
      })
      .join('\n')
  }
  return rows
    .map(({ line, command }) => `\n  ${marked(line)}\n        ${wrapped(command.doc, width - 8, 8)}`)
    .join('\n')
}

function globalOptionLines({ width }: HelpOptions): string {
  const visible = globalOptions().options.filter((option) => !option.hidden)
  const longest = Math.max(...visible.map(({ flags }) => flags.length))
  return visible
    .map(({ flags, description, argChoices }) => {
      const text = argChoices ? `${description}: ${argChoices.join(', ')}` : description
      return `  ${flags.padEnd(longest)}   ${wrapped(text, width - longest - 5, longest + 5)}`
    })
    .join('\n')
}

/** Words in lines of a width, the second and later ones indented. */
function wrapped(text: string, width: number, indent: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > Math.max(width, 20)) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`)
}

/** The page of one command. */
export function page(command: CommandDescription, { style, width }: HelpOptions): string {
  const labelled = (label: string, text: string) => `  ${style.bold(`${label}:`)} ${text}`
  const parts = ['', labelled('Command Name', command.name)]
  if (command.args.length > 0) {
    const names = command.args.map(({ name, type, optional, option }) => {
      const word = `${option ? '--' : ''}${name}::${type}`
      return optional ? `[${word}]` : word
    })
    const longest = Math.max(...names.map((name) => name.length))
    const indent = 13
    const lines = command.args.map((arg, i) => {
      const choices =
        arg.choices && !arg.doc.includes(arg.choices.at(-1) ?? '') ? ` (${arg.choices.join(', ')})` : ''
      const note = arg.secret ? ' (asked for on a terminal when it is left out)' : ''
      const text = wrapped(`${arg.doc}${choices}${note}`, width - indent - longest - 3, indent + longest + 3)
      return `${(names[i] ?? '').padEnd(longest)}   ${text}`.trimEnd()
    })
    parts.push('', labelled('Arguments', lines.join(`\n${' '.repeat(indent)}`)))
  }
  if (command.forms.length > 1) {
    const forms = command.forms.map(({ names }) => [command.name, ...names].join(' '))
    parts.push('', labelled('Forms', forms.join(`\n${' '.repeat(9)}`)))
  }
  parts.push('', labelled('Returns', wrapped(resultText(command.result), width - 11, 11)))
  if (command.tags.length > 0) parts.push('', labelled('Tags', command.tags.join(', ')))
  parts.push('', labelled('Description', wrapped(command.doc, width - 15, 15)))
  if (command.destroys !== undefined) {
    const bulk = command.destroys === 'bulk' ? '; elsewhere it needs --yes' : ''
    const when = command.destroysIf
      ? ` when ${command.destroysIf.argument} is ${command.destroysIf.value}`
      : ''
    parts.push('', labelled('Destroys', `asks on a terminal${when}${bulk}`))
  }
  parts.push('', labelled('Example', `gatehousectl ${command.example}`), '')
  return parts.join('\n')
}

function resultText(shape: ResultShape): string {
  const columns = () =>
    'columns' in shape ? shape.columns.map(({ name, type }) => `${name}::${type}`).join(', ') : ''
  switch (shape.kind) {
    case 'rescode':
      return 'nothing; exit 0 when it was done, else 1'
    case 'file':
      return 'a file'
    case 'restuple':
      return 'a sentence; exit 0 when it was done, else 1'
    case 'integer':
    case 'string':
      return `${shape.name}::${shape.kind}`
    case 'tuple':
      return `{ ${columns()} }`
    case 'list':
      return shape.columns.length === 1 ? `[ ${columns()} ]` : `[ { ${columns()} } ]`
  }
}

/** Names and `*`, `?` patterns; `-` counts as `_`. */
export function matching(commands: readonly CommandDescription[], pattern: string): CommandDescription[] {
  const source = pattern
    .replaceAll('-', '_')
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  const expression = new RegExp(`^${source}$`)
  return commands.filter(({ name }) => expression.test(name))
}

/** Several pages, apart by a line of `~`. */
export function pages(commands: readonly CommandDescription[], options: HelpOptions): string {
  return commands
    .map((command) => page(command, options))
    .join(`\n${'~'.repeat(Math.min(options.width, 78))}\n`)
}

export function tagList(commands: readonly CommandDescription[], { style, width }: HelpOptions): string {
  const tags = [...new Set(commands.flatMap((command) => command.tags))].sort((a, b) => (a < b ? -1 : 1))
  const lines = tags.map((tag) => {
    const names = commands.filter((command) => command.tags.includes(tag)).map(({ name }) => name)
    return `  ${style.bold(tag)}\n    ${wrapped(names.join(', '), width - 4, 4)}`
  })
  return ['Available tags and commands:', ...lines].join('\n')
}

/** `Error: the command "x" requires 1 more argument.` around the command's page, as the original has it. */
export function wrongCount(command: CommandDescription, more: number, options: HelpOptions): string {
  const message = wrongCountMessage(command, more)
  return ['', message, page(command, options), message].join('\n')
}

export function wrongCountMessage(command: CommandDescription, more: number): string {
  const difference = more > 0 ? `${more} more argument` : `${-more} less argument`
  return `Error: the command "${command.name}" requires ${difference}.`
}

export function unknownCommand(name: string, nearest: readonly string[]): string {
  const first = `Error: command "${name}" not known.`
  if (nearest.length === 0) return `${first}\nSee the list with 'gatehousectl help'.`
  return `${first}\n${didYouMean(nearest)}`
}

/** `Did you mean 'a', 'b' or 'c'?` */
export function didYouMean(names: readonly string[]): string {
  const quoted = names.map((name) => `'${name}'`)
  const last = quoted.pop() ?? ''
  return `Did you mean ${quoted.length > 0 ? `${quoted.join(', ')} or ` : ''}${last}?`
}
