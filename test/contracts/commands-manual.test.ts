/** The table of docs/commands.md is the table of commands. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { argumentWord } from '../../ctl/help.ts'
import { localCommands } from '../../ctl/local.ts'
import { describeCommand } from '../../server-core/admin/command-registry.ts'
import { coreFamilies, extraFamilies } from '../../server-core/admin/commands/index.ts'
import type { CommandDescription } from '../../server-core/admin/control-protocol.ts'
import { bareServer } from '../harness/admin.ts'
import { root } from '../harness/paths.ts'

function row(command: CommandDescription): string {
  const args = command.args.map(argumentWord).join(' ')
  const mark = command.destroys === 'bulk' ? ' ‼' : command.destroys === 'one' ? ' !' : ''
  return `| \`${command.name}\`${mark} | ${args} | ${command.doc} |`
}

function table(): string {
  const server = bareServer()
  const families: [string, CommandDescription[]][] = [
    ['core', coreFamilies.flatMap((family) => family(server)).map(describeCommand)],
    ...Object.entries(extraFamilies).map(([name, family]): [string, CommandDescription[]] => [
      name,
      family(server).map(describeCommand),
    ]),
    ['of gatehousectl itself', [...localCommands]],
  ]
  const sections = families
    .filter(([, commands]) => commands.length > 0)
    .map(([name, commands]) => {
      const sorted = [...commands].sort((a, b) => (a.name < b.name ? -1 : 1))
      return [`| **${name}** | | |`, ...sorted.map(row)].join('\n')
    })
  return ['| command | arguments | |', '| --- | --- | --- |', ...sections].join('\n')
}

test('the manual has every command, as it is', () => {
  const manual = readFileSync(`${root}/docs/commands.md`, 'utf8')
  const written = /<!-- commands -->\n([\s\S]*?)\n?<!-- \/commands -->/.exec(manual)?.[1] ?? ''
  expect(written.trim()).toBe(`Marked with ! destroys one thing, with ‼ many.\n\n${table()}`)
})
