/** `watch COMMAND …`: the same again and again, on a terminal always at its top. */
import { setTimeout as delay } from 'node:timers/promises'
import { exit, type Program, Stopped } from './run.ts'
import { commandName, UsageError, type Word } from './words.ts'

const defaultInterval = 2

export async function runWatch(program: Program, words: readonly Word[]): Promise<number> {
  const [first, ...rest] = words
  if (!first) throw new UsageError('watch takes a command with its arguments')
  const name = commandName(first)
  const { commands } = await program.learn()
  const command = commands.find((candidate) => candidate.name === name)
  if (command?.destroys !== undefined)
    throw new UsageError(`${name} destroys something, it is not to be repeated`)
  const stop = new AbortController()
  const off = program.context.onInterrupt(() => stop.abort())
  const interval = (program.options.interval ?? defaultInterval) * 1_000
  try {
    for (;;) {
      if (program.out.isTerminal) {
        const title = `every ${interval / 1_000} s: ${words.map(({ text }) => text).join(' ')}`
        await program.out.write(`\x1b[H\x1b[2J${title}   ${new Date().toLocaleTimeString()}\n\n`)
      }
      const code = await program.child({}).dispatch(name, rest)
      if (code === exit.usage) return code
      await delay(interval, undefined, { signal: stop.signal }).catch(() => undefined)
      if (stop.signal.aborted) throw new Stopped()
    }
  } finally {
    off()
  }
}
