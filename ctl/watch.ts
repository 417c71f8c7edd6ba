/**
 * `watch COMMAND …`: the same again and again. A terminal shows it always at its top, with what is new since the last time
 * marked; elsewhere there is first all of it and then only what has changed, `+` and `-` in front of the lines.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { exit, Stopped } from './exit.ts'
import { isLocal } from './local.ts'
import type { Program } from './run.ts'
import { type Output, styleFor } from './terminal.ts'
import { commandName, UsageError, type Word } from './words.ts'

const defaultInterval = 2

export async function runWatch(program: Program, words: readonly Word[]): Promise<number> {
  const [first, ...rest] = words
  if (!first) throw new UsageError('watch takes a command with its arguments')
  const name = commandName(first)
  if (isLocal(name)) throw new UsageError(`${name} gives nothing that could be watched`)
  const { commands } = await program.learn()
  const command = commands.find((candidate) => candidate.name === name)
  if (command?.destroys !== undefined)
    throw new UsageError(`${name} destroys something, it is not to be repeated`)
  const stop = new AbortController()
  const off = program.context.onInterrupt(() => stop.abort())
  const interval = (program.options.interval ?? defaultInterval) * 1_000
  const title = `every ${interval / 1_000} s: ${words.map(({ text }) => text).join(' ')}`
  let before: readonly string[] | undefined
  try {
    for (;;) {
      const kept = new Kept(program.out)
      const code = await program.child({}, { out: kept, isOneOfMany: true }).dispatch(name, rest)
      if (code === exit.usage) return code
      const now = kept.lines()
      await program.out.write(
        program.out.isTerminal ? screen(program, title, before, now) : changes(before, now),
      )
      before = now
      await delay(interval, undefined, { signal: stop.signal }).catch(() => undefined)
      if (stop.signal.aborted) throw new Stopped()
    }
  } finally {
    off()
  }
}

/** What the command prints, so that it can be compared with what it printed before. */
class Kept implements Output {
  readonly #like: Output
  #text = ''

  constructor(like: Output) {
    this.#like = like
  }

  get isTerminal(): boolean {
    return this.#like.isTerminal
  }

  get columns(): number | undefined {
    return this.#like.columns
  }

  async write(text: string | Buffer): Promise<void> {
    this.#text += text.toString()
  }

  async settled(): Promise<void> {
    // Nothing is written anywhere.
  }

  lines(): readonly string[] {
    return this.#text === '' ? [] : this.#text.replace(/\n$/, '').split('\n')
  }
}

function screen(
  program: Program,
  title: string,
  before: readonly string[] | undefined,
  now: readonly string[],
): string {
  const style = styleFor(program.out, program.context.environment)
  const old = new Set(before)
  const shown = now.length === 0 ? [style.dim('(nothing)')] : now
  const marked = shown.map((line) => (before === undefined || old.has(line) ? line : style.bold(line)))
  const head = style.dim(`${title}   ${new Date().toTimeString().slice(0, 8)}`)
  // Over what was there, so that nothing flickers; then whatever is left of it goes.
  const start = before === undefined ? '\x1b[2J' : ''
  return `${start}\x1b[H${[head, '', ...marked].map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`
}

function changes(before: readonly string[] | undefined, now: readonly string[]): string {
  if (before === undefined) return now.map((line) => `${line}\n`).join('')
  const gone = without(before, now).map((line) => `- ${line}\n`)
  const fresh = without(now, before).map((line) => `+ ${line}\n`)
  return [...gone, ...fresh].join('')
}

/** The lines that the others lack, as often as they lack them. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1)
  return lines.filter((line) => {
    const count = left.get(line) ?? 0
    left.set(line, count - 1)
    return count <= 0
  })
}
