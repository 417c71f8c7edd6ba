/**
 * `batch FILE|-`: the commands of a file, one a line, on one connection. In order: many are on their way, and the server runs one
 * after the other. With --jobs: some at a time, for the lines do not depend on each other. Results keep the order of the lines.
 */
import { errorCodes } from '../server-core/admin/control-protocol.ts'
import { isPlainText, isWords, openedFile } from './arguments.ts'
import { type BatchLine, understood } from './batch-line.ts'
import { type Client, Refused } from './client.ts'
import { exit, Stopped } from './exit.ts'
import { type Line, linesOf } from './lines.ts'
import { isLocal } from './local.ts'
import type { Program } from './run.ts'
import type { Output } from './terminal.ts'
import { FileError, UsageError, type Word } from './words.ts'

/** Lines that are on their way in order: enough to keep both ends busy. */
const ahead = 64
/** Lines named in the summary. */
const maxNamed = 20

/** Local commands that make no sense inside. */
const outside = ['batch', 'shell', 'watch', 'complete_words']

export async function runBatch(program: Program, words: readonly Word[]): Promise<number> {
  const source = await openSource(program, words)
  const client = await program.client()
  await program.learn()
  const batch = new Batch(program, client, source)
  const off = program.context.onInterrupt(() => batch.interrupt())
  try {
    return await batch.run()
  } finally {
    off()
  }
}

interface Source {
  readonly name: string
  readonly input: AsyncIterable<Buffer | string>
  readonly isStdin: boolean
  /** Bytes, of an ordinary file. */
  readonly size: number | undefined
  /** Nothing more is wanted. */
  close(): void
}

async function openSource(program: Program, words: readonly Word[]): Promise<Source> {
  const [file, ...more] = words
  if (!file || more.length > 0)
    throw new UsageError('batch takes one argument: a file of command lines, or -')
  if (file.text === '-' && !file.literal) {
    const input = program.context.stdin
    return { name: '-', input, isStdin: true, size: undefined, close: () => void input.destroy() }
  }
  const handle = await openedFile(file.text, program.context.cwd)
  const stat = await handle.stat()
  const size = stat.isFile() ? stat.size : undefined
  const input = handle.createReadStream()
  return { name: file.text, input, isStdin: false, size, close: () => void input.destroy() }
}

/** When a line may print. */
interface Turn {
  readonly before: Promise<void>
  hasCome: boolean
}

/** A line on its way. */
interface Job {
  readonly line: Line
  readonly turn: Turn
  readonly child: Program
  /** The command's name, once it is known. */
  name: string
}

class Batch {
  readonly #program: Program
  readonly #client: Client
  readonly #source: Source
  /** At a time; 1 is in order. */
  readonly #jobs: number
  readonly #window: number
  /** How many lines are on their way. */
  #running = 0
  #wake: (() => void) | undefined
  /** Resolves when the line before has been printed and counted. */
  #last: Promise<void> = Promise.resolve()
  #done = 0
  readonly #failed: number[] = []
  /** The last line that was sent. */
  #sent = 0
  /** The first line that has no result. */
  #open: number | undefined
  /** What ended everything: a lost connection, Ctrl-C, a reader that has gone. */
  #fatal: unknown
  readonly #interrupts = new Set<() => void>()

  constructor(program: Program, client: Client, source: Source) {
    const { jobs, timeout } = program.options
    this.#program = program
    this.#client = client
    this.#source = source
    this.#jobs = jobs ?? 1
    // The time that a command may take begins when it is sent.
    this.#window = this.#jobs > 1 ? this.#jobs : timeout === undefined ? ahead : 1
  }

  get #keepsGoing(): boolean {
    return this.#program.options.keepGoing === true
  }

  get #isOver(): boolean {
    return this.#fatal !== undefined || (this.#failed.length > 0 && !this.#keepsGoing)
  }

  interrupt(): void {
    this.#fatal ??= new Stopped()
    this.#client.cancelAll()
    for (const call of this.#interrupts) call()
  }

  async run(): Promise<number> {
    const { program } = this
    if (this.#jobs === 1) await this.#client.inOrder(!this.#keepsGoing)
    const from = program.options.from ?? 1
    try {
      for await (const line of linesOf(this.#source.input)) {
        if (line.number < from || line.text.trim() === '' || line.text.trimStart().startsWith('#')) continue
        while (this.#running >= this.#window) await this.#oneLess()
        if (this.#isOver) break
        await this.#begin(line)
      }
    } catch (error) {
      // The lines before it are finished first. An input that was closed here is no failure.
      if (!this.#isOver) this.#fatal = error
    }
    await this.#last
    program.progress.clear()
    if (this.#fatal !== undefined && !(this.#fatal instanceof UsageError)) {
      await this.#sayWhereItEnded()
      throw this.#fatal
    }
    await this.#summary()
    if (this.#fatal !== undefined) throw this.#fatal
    return this.#failed.length > 0 ? exit.no : exit.done
  }

  get program(): Program {
    return this.#program
  }

  /** Sends a line on its way; waits where it must be alone. */
  async #begin(line: Line): Promise<void> {
    const turn: Turn = { before: this.#last, hasCome: false }
    let isSent = false
    let sent: () => void = () => undefined
    const onTheWay = new Promise<void>((resolve) => {
      sent = resolve
    })
    const job: Job = {
      line,
      turn,
      child: this.#childFor(turn, () => {
        isSent = true
        sent()
      }),
      name: '',
    }
    const { understoodLine, problem } = this.#understand(job)
    const alone = understoodLine !== undefined && this.#mustBeAlone(job.child, understoodLine)
    if (alone) await turn.before
    if (this.#isOver) return
    this.#sent = line.number
    const work = understoodLine ? this.#run(job, understoodLine) : Promise.reject(problem)
    this.#running++
    this.#last = this.#settle(job, work).then(() => {
      this.#running--
      sent()
      this.#wake?.()
      if (this.#isOver) this.#source.close()
    })
    await onTheWay
    // One that never left has failed, and then those behind it may not be sent.
    if (alone || (this.#jobs === 1 && !isSent)) await this.#last
  }

  #oneLess(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #childFor(turn: Turn, onSent: () => void): Program {
    const { program } = this
    const waits = this.#jobs === 1
    const onInterrupt = (call: () => void) => {
      this.#interrupts.add(call)
      return () => this.#interrupts.delete(call)
    }
    const out = new InTurn(program.out, program, turn, waits)
    const err = new InTurn(program.err, program, turn, waits)
    return program.child({}, { out, err, onInterrupt, onSent, isOneOfMany: true })
  }

  #understand(job: Job): { understoodLine?: BatchLine; problem?: unknown } {
    try {
      const line = understood(job.line.text)
      job.name = line.name
      job.child.options = { ...job.child.options, ...line.options }
      if (outside.includes(line.name)) throw new UsageError(`${line.name} cannot stand in a batch`)
      const usesStdin =
        isWords(line.given) && line.given.some(({ text, literal }) => text === '-' && !literal)
      if (this.#source.isStdin && usesStdin) {
        throw new UsageError('standard input is the batch itself, so no argument can be -')
      }
      return { understoodLine: line }
    } catch (problem) {
      return { problem }
    }
  }

  /** Whether it asks somebody, or reads what the lines before it may write. */
  #mustBeAlone(child: Program, { name, given }: BatchLine): boolean {
    if (isLocal(name)) return true
    const command = child.known(name)
    if (!command) return true
    if (child.asksAbout(command, given)) return true
    return this.#jobs === 1 && !isPlainText(command, given)
  }

  async #run(job: Job, { name, given }: BatchLine): Promise<number> {
    return job.child.dispatch(name, given)
  }

  /** Counts a line and says what has become of it, behind the lines before it. */
  async #settle({ line, turn, child, name }: Job, work: Promise<number>): Promise<void> {
    let code: number | undefined
    try {
      code = await work
    } catch (error) {
      code = await this.#codeOf(error, child)
    }
    await turn.before
    turn.hasCome = true
    if (code === undefined) {
      this.#open ??= line.number
      return
    }
    try {
      await child.out.settled()
      await child.err.settled()
      if (code === exit.done) this.#done++
      else {
        this.#failed.push(line.number)
        // The words may hold secrets: only where it was.
        const what = name === '' ? '' : ` (${name})`
        await child.err.write(`line ${line.number}${what} failed, exit ${code}\n`)
      }
    } catch (error) {
      this.#fatal ??= error
    }
    const { size } = this.#source
    const failures = this.#failed.length > 0 ? `, ${this.#failed.length} failed` : ''
    this.program.progress.show(line.end, size, `line ${line.number}: ${this.#done} done${failures}`)
  }

  /** undefined when the line has no result: it was not run, or nobody knows. */
  async #codeOf(error: unknown, child: Program): Promise<number | undefined> {
    if (error instanceof Refused && error.code === errorCodes.notRun) return undefined
    if (this.#fatal instanceof Stopped) return undefined
    if (error instanceof UsageError || error instanceof FileError || error instanceof Refused) {
      return child.failed(error)
    }
    this.#fatal ??= error
    return undefined
  }

  /** The words behind `gatehousectl` with which it goes on. */
  #goOn(line: number): string {
    return `batch ${this.#source.name} --from ${line}`
  }

  async #summary(): Promise<void> {
    const count = this.#failed.length
    const parts = [`${this.#done} done, ${count} failed`]
    const [first] = this.#failed
    if (first !== undefined && this.#keepsGoing && count > 0) {
      const named = this.#failed.slice(0, maxNamed).join(', ')
      parts.push(`: line${count > 1 ? 's' : ''} ${named}${count > maxNamed ? ', …' : ''}`)
    } else if (first !== undefined && this.#jobs === 1) {
      parts.push(`; to go on there: ${this.#goOn(first)}`)
    } else if (first !== undefined) {
      parts.push(
        `; the lines up to ${this.#sent} have been run; to go on behind them: ${this.#goOn(this.#sent + 1)}`,
      )
    }
    await this.program.err.write(`${parts.join('')}\n`)
  }

  async #sayWhereItEnded(): Promise<void> {
    const begun = this.#open
    const parts = [`${this.#done} done, ${this.#failed.length} failed`]
    if (begun !== undefined) {
      const lines = begun === this.#sent ? `line ${begun}` : `lines ${begun} to ${this.#sent}`
      const which = begun === this.#sent ? 'it' : 'some of them'
      parts.push(
        `; ${lines} had been sent, and ${which} may have been done; to go on there: ${this.#goOn(begun)}`,
      )
    } else {
      parts.push(`; to go on: ${this.#goOn(this.#sent + 1)}`)
    }
    await this.program.err.write(`${parts.join('')}\n`).catch(() => undefined)
  }
}

/** What a line prints comes behind what the lines before it print. */
class InTurn implements Output {
  readonly #to: Output
  readonly #program: Program
  readonly #turn: Turn
  /** Else it keeps the text: an answer of a line before it may stand behind this one on the connection. */
  readonly #waits: boolean
  #kept: (string | Buffer)[] = []

  constructor(to: Output, program: Program, turn: Turn, waits: boolean) {
    this.#to = to
    this.#program = program
    this.#turn = turn
    this.#waits = waits
  }

  get isTerminal(): boolean {
    return this.#to.isTerminal
  }

  get columns(): number | undefined {
    return this.#to.columns
  }

  async write(text: string | Buffer): Promise<void> {
    if (!this.#turn.hasCome && this.#waits) await this.#turn.before
    else if (!this.#turn.hasCome) {
      this.#kept.push(text)
      return
    }
    await this.#flush()
    if (this.isTerminal) this.#program.progress.clear()
    await this.#to.write(text)
  }

  /** Called when its turn has come. */
  async settled(): Promise<void> {
    await this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#kept.length === 0) return
    if (this.isTerminal) this.#program.progress.clear()
    for (const text of this.#kept.splice(0)) await this.#to.write(text)
  }
}
