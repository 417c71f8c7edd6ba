/** `shell`: one command after the other on one connection, with completion and a history that nobody keeps. */
import { createInterface } from 'node:readline'
import { NoServer } from './client.ts'
import { candidates } from './completion.ts'
import { commandName, exit, type Program } from './run.ts'
import { shellWords } from './shell-words.ts'
import { parseCommandLine, UsageError } from './words.ts'

const leaving = ['exit', 'quit']

export async function runShell(program: Program): Promise<number> {
  const { node, version } = await program.learn()
  const isTerminal = program.canAsk
  if (isTerminal)
    await program.err.write(`${node}, gatehouse ${version}. 'help' for help, 'exit' or Ctrl-D to leave.\n`)
  let last: number = exit.done
  const lines = createInterface({
    input: program.context.stdin,
    output: program.context.stderr,
    terminal: isTerminal,
    prompt: isTerminal ? 'gatehouse> ' : '',
    completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
      completed(program, line).then(
        (result) => done(null, result),
        () => done(null, [[], line]),
      )
    },
  })
  lines.on('SIGINT', () => {
    lines.write(null, { ctrl: true, name: 'u' })
    lines.prompt()
  })
  lines.prompt()
  for await (const line of lines) {
    // Prompts of a command read the same terminal.
    lines.pause()
    const code = await runLine(program, line)
    if (code === undefined) break
    last = code
    lines.resume()
    lines.prompt()
  }
  lines.close()
  if (isTerminal) await program.err.write('\n')
  return isTerminal ? exit.done : last
}

async function runLine(program: Program, line: string): Promise<number | undefined> {
  try {
    const parsed = parseCommandLine(shellWords(line))
    const [first, ...rest] = parsed.words
    if (!first) return exit.done
    const name = commandName(first)
    if (leaving.includes(name)) return undefined
    if (name === 'shell') throw new UsageError('this is the shell')
    const child = program.child(parsed.options)
    try {
      return await child.dispatch(name, rest)
    } catch (error) {
      if (error instanceof NoServer) throw error
      return await child.failed(error)
    }
  } catch (error) {
    if (error instanceof NoServer) throw error
    return program.failed(error)
  }
}

async function completed(program: Program, line: string): Promise<[string[], string]> {
  const words = line.trimStart().split(/\s+/)
  const word = words.at(-1) ?? ''
  const found = await candidates(program, words)
  return [found.map((one) => `${one} `), word]
}
