/** Completion: what the word that is being typed may become, and the scripts that ask for it. */
import type { Description } from '../server-core/admin/control-protocol.ts'
import { exit } from './exit.ts'
import { withLocal } from './help.ts'
import { localCommands } from './local.ts'
import { globalOptions } from './options.ts'
import type { Program } from './run.ts'
import { knownServers } from './servers.ts'
import { searchFor } from './suggestions.ts'
import { commandName, outputs, UsageError, type Word } from './words.ts'

const scripts: Readonly<Record<string, string>> = {
  bash: `_gatehousectl() {
  local IFS=$'\\n'
  COMPREPLY=($(gatehousectl complete_words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _gatehousectl gatehousectl
`,
  zsh: `#compdef gatehousectl
_gatehousectl() {
  local -a found
  found=("\${(@f)$(gatehousectl complete_words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( \${#found} )) && [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _gatehousectl gatehousectl
`,
  fish: `function __gatehousectl
  set -l words (commandline -opc) (commandline -ct)
  gatehousectl complete_words -- $words[2..-1] 2>/dev/null
end
complete -c gatehousectl -a '(__gatehousectl)'
`,
}

export async function completionScript(program: Program, words: readonly Word[]): Promise<number> {
  const script = scripts[words[0]?.text ?? '']
  if (script === undefined)
    throw new UsageError(`completion takes the name of a shell: ${Object.keys(scripts).join(', ')}`)
  await program.out.write(script)
  return exit.done
}

/** What the scripts call: the words so far, the last of them unfinished; one candidate a line. */
export async function completeWords(program: Program, words: readonly Word[]): Promise<number> {
  const found = await candidates(
    program,
    words.map(({ text }) => text),
  )
  await program.out.write(found.map((one) => `${one}\n`).join(''))
  return exit.done
}

export async function candidates(program: Program, words: readonly string[]): Promise<string[]> {
  const word = words.at(-1) ?? ''
  const before = words.slice(0, -1)
  if (before.at(-1) === '--output') return outputs.filter((format) => format.startsWith(word))
  if (before.at(-1) === '--server') return serverNames(program, word)
  const plain = withoutOptions(before)
  const description = await described(program)
  const commands = description ? withLocal(description.commands) : localCommands
  if (word.startsWith('--')) {
    const command = plain[0] === undefined ? undefined : commandName({ text: plain[0], literal: false })
    const own = commands.find((candidate) => candidate.name === command)?.args.filter(({ option }) => option)
    const names = [...(own ?? []).map((argument) => `--${argument.name}`), ...optionNames()]
    return names.filter((name) => name.startsWith(word))
  }
  const names = commands.map(({ name }) => name).filter((name) => name.startsWith(word.replaceAll('-', '_')))
  const [first, ...given] = plain
  if (first === undefined) return names
  const name = commandName({ text: first, literal: false })
  if (name === 'help' && words.includes('--tags')) {
    return [...new Set(commands.flatMap(({ tags }) => tags))].sort().filter((tag) => tag.startsWith(word))
  }
  if (name === 'help' || name === 'watch') return given.length === 0 ? names : []
  if (name === 'completion') return Object.keys(scripts).filter((shell) => shell.startsWith(word))
  return description ? argumentValues(program, description, name, given, word) : []
}

async function serverNames(program: Program, word: string): Promise<string[]> {
  const known = await knownServers(program.context).catch(() => undefined)
  return [...(known?.servers.keys() ?? [])].filter((name) => name.startsWith(word))
}

function optionNames(): string[] {
  return globalOptions().options.map(({ long }) => long ?? '')
}

function withoutOptions(words: readonly string[]): string[] {
  const valued = new Set(globalOptions().options.flatMap((option) => (option.required ? [option.long] : [])))
  return words.filter((word, i) => !word.startsWith('--') && !valued.has(words[i - 1]))
}

async function described(program: Program): Promise<Description | undefined> {
  return program.learn().catch(() => undefined)
}

async function argumentValues(
  program: Program,
  description: Description,
  name: string,
  given: readonly string[],
  word: string,
): Promise<string[]> {
  const command = description.commands.find((candidate) => candidate.name === name)
  if (!command) return []
  const found = new Set<string>()
  for (const { names } of command.forms) {
    const argument = command.args.find((arg) => arg.name === names[given.length])
    if (!argument || argument.secret) continue
    for (const choice of argument.choices ?? []) if (choice.startsWith(word)) found.add(choice)
    const named = Object.fromEntries(
      names.flatMap((one, i) => (i < given.length ? [[one, given[i] ?? '']] : [])),
    )
    const search = searchFor(await program.client(), description, argument, named)
    for (const value of (await search?.(word)) ?? []) found.add(value)
  }
  return [...found].sort((a, b) => (a < b ? -1 : 1))
}
