/** Child processes for tests: output collected, awaited with a deadline, never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { before, until } from './deadline.ts'

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string | undefined
  readonly env?: NodeJS.ProcessEnv | undefined
  readonly input?: string | undefined
  readonly ms?: number | undefined
}

/** Runs a program to its end. */
export async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = spawn(file, args, { cwd: options.cwd, env: { ...process.env, ...options.env } })
  child.stdin.on('error', () => undefined) // a program that does not read its input may end first
  child.stdin.end(options.input ?? '')
  const end = exited(child)
  try {
    const [stdout, stderr, code] = await before(
      options.ms ?? 30_000,
      `${file} ${args.join(' ')}`,
      Promise.all([text(child.stdout), text(child.stderr), end]),
    )
    return { code, stdout, stderr }
  } finally {
    child.kill('SIGKILL')
  }
}

/** The exit code; null when a signal ended it. Rejects when the program could not be started. */
export function exited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
}

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** A child must not outlive a test process that gave up on it. */
export function endWithUs(child: ChildProcess): void {
  children.add(child)
  child.once('close', () => children.delete(child))
}

/** A long-running program whose lines of output can be waited for. */
export interface Running {
  readonly child: ChildProcess
  /** All lines of standard output and standard error so far. */
  readonly lines: readonly string[]
  readonly end: Promise<number | null>
  /** The first line, also of those already there, that gives a value. */
  line<T>(what: string, pick: (line: string, index: number) => T | undefined, ms?: number): Promise<T>
  write(line: string): void
  /** Ends it with a signal, SIGKILL after twenty seconds. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export function start(file: string, args: readonly string[], options: RunOptions = {}): Running {
  const child = spawn(file, args, { cwd: options.cwd, env: { ...process.env, ...options.env } })
  endWithUs(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  child.stdin.on('error', () => undefined)
  const end = exited(child)
  end.catch(() => undefined)
  let ended = false
  child.once('close', () => {
    ended = true
  })
  return {
    child,
    lines,
    end,
    line: (what, pick, ms) =>
      until(
        () => `${what}; ${file} ${ended ? 'ended and ' : ''}said:\n${lines.slice(-200).join('\n')}`,
        () => {
          for (const [index, line] of lines.entries()) {
            const value = pick(line, index)
            if (value !== undefined) return value
          }
          if (ended) throw new Error(`${what}: ${file} ended first, it said:\n${lines.join('\n')}`)
          return undefined
        },
        ms,
      ),
    write: (line) => child.stdin.write(`${line}\n`),
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      try {
        return await before(20_000, `${file} to end after ${signal}`, end)
      } catch {
        child.kill('SIGKILL')
        return await end
      }
    },
  }
}
