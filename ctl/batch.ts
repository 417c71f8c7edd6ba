/** `batch FILE|-`: the commands of a file, one a line; in order, or some at a time when the lines are independent. */
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { NoServer } from './client.ts'
import { commandName, exit, type Program, Stopped } from './run.ts'
import { shellWords } from './shell-words.ts'
import type { OutputStream } from './terminal.ts'
import { parseCommandLine, UsageError, type Word } from './words.ts'

interface Job {
  readonly line: number
  readonly text: string
}

interface Tally {
  done: number
  failed: number
  /** The failure that stands first in the file, and its exit code. */
  line: number
  code: number
}

/** Local commands that make no sense inside. */
const outside = ['batch', 'shell', 'watch', 'complete_words']

export async function runBatch(program: Program, words: readonly Word[]): Promise<number> {
  const [file, ...more] = words
  if (!file || more.length > 0)
    throw new UsageError('batch takes one argument: a file of command lines, or -')
  const isStdin = file.text === '-' && !file.literal
  const input = isStdin
    ? program.context.stdin
    : await opened(resolve(program.context.cwd, file.text), file.text)
  await program.learn()
  const tally: Tally = { done: 0, failed: 0, line: Number.POSITIVE_INFINITY, code: exit.done }
  const jobs = program.options.jobs ?? 1
  const running = new Set<Promise<void>>()
  /** Outputs of parallel lines appear in the order of the lines. */
  let printed: Promise<void> = Promise.resolve()
  let number = 0
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++
    if (text.trim() === '' || text.trimStart().startsWith('#')) continue
    if (tally.failed > 0 && !program.options.keepGoing) break
    const job = { line: number, text }
    if (jobs === 1) {
      await runLine(program, program, job, tally, isStdin)
      continue
    }
    while (running.size >= jobs) await Promise.race(running)
    const before = printed
    const work = runAside(program, job, tally, isStdin, before)
    printed = work
    running.add(work)
    void work.finally(() => running.delete(work)).catch(() => undefined)
  }
  await Promise.all(running)
  await printed
  const { done, failed } = tally
  await program.err.write(`${done} done, ${failed} failed\n`)
  return tally.code
}

async function opened(path: string, name: string): Promise<NodeJS.ReadableStream> {
  try {
    return (await open(path)).createReadStream()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(`Cannot read ${name}: ${code === 'ENOENT' ? 'no such file' : code}`)
  }
}

/** Runs a line beside others; what it prints is kept until the lines before it have printed theirs. */
async function runAside(
  program: Program,
  job: Job,
  tally: Tally,
  isStdin: boolean,
  before: Promise<void>,
): Promise<void> {
  const [stdout, stderr] = [collector(), collector()]
  await runLine(
    program,
    program.child({}, { stdout: stdout.stream, stderr: stderr.stream }),
    job,
    tally,
    isStdin,
  )
  await before
  await program.out.write(stdout.text())
  await program.err.write(stderr.text())
}

function collector(): { stream: OutputStream; text: () => string } {
  const chunks: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return { stream, text: () => Buffer.concat(chunks).toString() }
}

async function runLine(
  parent: Program,
  to: Program,
  job: Job,
  tally: Tally,
  isStdin: boolean,
): Promise<void> {
  let name = ''
  let code: number
  try {
    const line = await parseCommandLine(shellWords(job.text))
    const [first, ...rest] = line.words
    if (!first) throw new UsageError('there is no command')
    name = commandName(first)
    if (outside.includes(name)) throw new UsageError(`${name} cannot stand in a batch`)
    if (isStdin && rest.some(({ text, literal }) => text === '-' && !literal)) {
      throw new UsageError('standard input is the batch itself, so no argument can be -')
    }
    const child = to.child(line.options)
    try {
      code = await child.dispatch(name, rest)
    } catch (error) {
      if (error instanceof NoServer || error instanceof Stopped) throw error
      code = await child.failed(error)
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    code = await to.failed(error)
  }
  if (code === exit.done) tally.done++
  else {
    tally.failed++
    if (job.line < tally.line) Object.assign(tally, { line: job.line, code })
    // The words may hold secrets: only where it was.
    await to.err.write(`line ${job.line}${name === '' ? '' : ` (${name})`} failed, exit ${code}\n`)
  }
  parent.progress(tally.done + tally.failed, undefined, undefined)
}
