/** `shell`: one command after the other on one connection, with completion and a history that nobody keeps. */
import { createInterface } from 'node:readline'
import { NoServer } from './client.ts'
import { parseCommandLine } from './command-line.ts'
import { candidates } from './completion.ts'
import { exit } from './exit.ts'
import type { Program } from './run.ts'
import { shellWords } from './shell-words.ts'
import { commandName, UsageError } from './words.ts'

const leaving = ['exit', 'quit']

export async function runShell(program: Program): Promise<number> {
  const { node, version } = await program.learn()
  if (!program.canAsk) return runPiped(program)
  await program.err.write(`${node}, gatehouse ${version}. 'help' for help, 'exit' or Ctrl-D to leave.\n`)
  let history: string[] = []
  for (;;) {
    const line = await typedLine(program, history)
    if (line === undefined || (await runLine(program, line.text)) === undefined) break
    history = line.history
  }
  return exit.done
}

interface TypedLine {
  readonly text: string
  readonly history: string[]
}

/**
 * One line from the terminal; undefined at its end. Each has an interface of its own: while a command runs, what is typed
 * belongs to that command's questions, and no password may end up in the history.
 */
function typedLine(program: Program, history: string[]): Promise<TypedLine | undefined> {
  return new Promise((resolve) => {
    const lines = createInterface({
      input: program.context.stdin,
      output: program.context.stderr,
      terminal: true,
      history,
      removeHistoryDuplicates: true,
      prompt: 'gatehouse> ',
      completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
        completed(program, line).then(
          (result) => done(null, result),
          () => done(null, [[], line]),
        )
      },
    })
    let current = history
    let text: string | undefined
    lines.on('history', (now: string[]) => {
      current = [...now]
    })
    lines.on('SIGINT', () => {
      program.context.stderr.write('\n')
      lines.write(null, { ctrl: true, name: 'u' })
      lines.prompt()
    })
    lines.on('line', (line) => {
      text = line
      lines.close()
    })
    lines.on('close', () => {
      if (text === undefined) program.context.stderr.write('\n')
      resolve(text === undefined ? undefined : { text, history: current })
    })
    lines.prompt()
  })
}

/** Lines of a file or a pipe: nobody can be asked; the exit code is the last command's. */
async function runPiped(program: Program): Promise<number> {
  let last: number = exit.done
  for await (const line of createInterface({ input: program.context.stdin })) {
    const code = await runLine(program, line)
    if (code === undefined) break
    last = code
  }
  return last
}

async function runLine(program: Program, line: string): Promise<number | undefined> {
  try {
    const parsed = await parseCommandLine(shellWords(line))
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
