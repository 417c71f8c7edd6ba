/** The manual page (man(7)), made of what the commands say of themselves: the same text as help and the manual. */
import type { CommandDescription, ResultShape } from '../server-core/admin/control-protocol.ts'
import { argumentWord } from './help.ts'
import { globalOptions } from './options.ts'

/** `commands` with those of the program itself. */
export function manPage(commands: readonly CommandDescription[]): string {
  const categories = [...new Set(commands.map(({ category }) => category))]
  return [
    '.TH GATEHOUSECTL 1 "" gatehouse "gatehouse manual"',
    '.SH NAME',
    'gatehousectl \\- run a gatehouse XMPP server',
    '.SH SYNOPSIS',
    '.B gatehousectl',
    '.RI [ options ] " command " [ arguments ]',
    '.SH DESCRIPTION',
    text('Talks to a running server over its control socket, and prints what the server answers.'),
    text('All arguments stand in their order; on a terminal whatever is missing is asked for.'),
    '.TP',
    '.B \\-',
    text('standard input, for one argument'),
    '.TP',
    '.BI @./ file',
    text('the text of a file; also @../file and @/file; @@ stands for a leading @'),
    '.TP',
    '.B \\-\\-',
    text('everything behind it is text, whatever it looks like'),
    '.SH OPTIONS',
    text('They may stand anywhere before --.'),
    ...globalOptions()
      .options.filter(({ hidden }) => !hidden)
      .flatMap(({ flags, description, argChoices }) => [
        '.TP',
        `.B ${escaped(flags)}`,
        text(argChoices ? `${description}: ${argChoices.join(', ')}` : description),
      ]),
    '.SH COMMANDS',
    ...categories.flatMap((category) => [
      `.SS ${category === 'ctl' ? 'of gatehousectl itself' : escaped(category)}`,
      ...commands.filter((command) => command.category === category).flatMap(entry),
    ]),
    '.SH EXIT STATUS',
    ...Object.entries({
      '0': 'done',
      '1': 'the command said no, or failed',
      '2': 'wrong usage: no such command, wrong number or kind of arguments',
      '3': 'no server, or the connection was lost in the middle: then the command may have been done',
      '130': 'interrupted',
    }).flatMap(([code, meaning]) => ['.TP', `.B ${code}`, text(meaning)]),
    '.SH ENVIRONMENT',
    ...Object.entries({
      GATEHOUSE_SOCKET: 'path of the control socket',
      GATEHOUSE_CONFIG: "the server's configuration, which says where its socket is",
      NO_COLOR: 'nothing is printed in bold',
    }).flatMap(([name, meaning]) => ['.TP', `.B ${name}`, text(meaning)]),
    '.SH FILES',
    '.TP',
    '.I ./data/gatehouse.sock',
    text('the control socket, unless the configuration names others'),
    '.TP',
    '.I ~/.config/gatehouse/ctl.yml',
    text('servers by name, for --server; else /etc/gatehouse/ctl.yml'),
    '',
  ].join('\n')
}

function entry(command: CommandDescription): string[] {
  const { name, doc, args, destroys, example } = command
  const line = [
    `\\fB${escaped(name)}\\fR`,
    ...args.map(argumentWord).map((word) => `\\fI${escaped(word)}\\fR`),
  ].join(' ')
  const notes = args.map(({ name: arg, doc: about }) => `${arg}: ${about}.`)
  const bulk = destroys === 'bulk' ? ['Asks on a terminal; elsewhere it needs --yes.'] : []
  const one = destroys === 'one' ? ['Asks on a terminal.'] : []
  return [
    '.TP',
    line,
    text(`${doc}.`),
    ...(notes.length > 0 ? [text(notes.join(' '))] : []),
    text(`Gives ${resultText(command.result)}.`),
    ...[...bulk, ...one].map(text),
    '.br',
    `Example: \\fBgatehousectl ${escaped(example)}\\fR`,
  ]
}

function resultText(shape: ResultShape): string {
  switch (shape.kind) {
    case 'rescode':
      return 'nothing'
    case 'restuple':
      return 'a sentence, or nothing'
    case 'file':
      return 'a file'
    case 'integer':
      return 'a number'
    case 'string':
      return 'a text'
    case 'tuple':
    case 'list': {
      const names = shape.columns.map(({ name }) => name).join(', ')
      return shape.kind === 'list' ? `lines of ${names}` : names
    }
  }
}

/** A line of running text; one that begins with a dot or quote would be a request. */
function text(line: string): string {
  const safe = escaped(line)
  return /^[.']/.test(safe) ? `\\&${safe}` : safe
}

/** So that nothing is taken for an escape, and options can be copied from the page. */
function escaped(line: string): string {
  return line
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')

    .replaceAll('\u2026', '...')
}
