/** One run of an external authentication program: one request at a time, from its start to its end. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { Logger } from '../log.ts'
import { LineReader } from './lines.ts'
import { AnswerReader } from './packets.ts'

export type ProgramAnswer = 'yes' | 'no' | 'neither'

export interface ProgramEvents {
  /** The answer to the request that was sent. */
  onAnswer(answer: ProgramAnswer): void
  /** It has ended, or said what it must not: it takes no more requests. Once. */
  onGone(reason: string): void
}

/** How long a program may take to end by itself, and then to obey SIGTERM, in milliseconds. */
const endTimeout = 2000
/** How long after its end the last of what it said is waited for, in milliseconds. */
const drainTimeout = 500
/** So many lines of its standard error are logged each second. */
const maxLinesPerSecond = 50

export class Program {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #events: ProgramEvents
  readonly #log: Logger
  readonly #answers = new AnswerReader()
  readonly #closed: Promise<void>
  #isBusy = false
  #isGone = false
  #timer: NodeJS.Timeout | undefined

  /** Starts it as ejabberd does: the shell replaces itself by `command`, which may have arguments, quotes and variables. */
  constructor(command: string, events: ProgramEvents, log: Logger) {
    this.#events = events
    // A session of its own: what the terminal of the server sends (Ctrl-C) does not reach it.
    this.#child = spawn('/bin/sh', ['-c', `exec ${command}`], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    this.#log = log.child({ program_pid: this.#child.pid })
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        clearTimeout(this.#timer)
        this.#gone(signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`)
        resolve()
      })
      // What it started may hold its pipes open for ever.
      this.#child.once('exit', () => {
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#closePipes(), drainTimeout)
      })
      this.#child.once('error', (error) => {
        this.#gone(`it cannot be started: ${error.message}`)
        if (this.#child.pid === undefined) resolve()
      })
    })
    this.#child.stdin.on('error', (error) => this.#gone(`it does not take requests: ${error.message}`))
    this.#child.stdout.on('error', (error) => this.#gone(`its answers cannot be read: ${error.message}`))
    this.#child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#child.stdout.once('end', () => this.#gone('it closed its standard output'))
    this.#logErrors()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isBusy(): boolean {
    return this.#isBusy
  }

  send(request: Buffer): void {
    this.#isBusy = true
    this.#child.stdin.write(request)
  }

  /** End of input, SIGTERM, SIGKILL; resolves when it is gone. */
  async end(): Promise<void> {
    this.#isGone = true
    this.#child.stdin.end()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#closed
    this.#timer ??= setTimeout(() => {
      this.#child.kill('SIGTERM')
      this.#timer = setTimeout(() => this.#child.kill('SIGKILL'), endTimeout)
    }, endTimeout)
    await this.#closed
  }

  #closePipes(): void {
    this.#child.stdin.destroy()
    this.#child.stdout.destroy()
    this.#child.stderr.destroy()
  }

  #read(chunk: Buffer): void {
    if (this.#isGone) return
    const answer = this.#answers.push(chunk)
    if (answer === undefined) return
    if (answer === 'malformed' || !this.#isBusy) {
      this.#gone(
        answer === 'malformed' ? 'it sent something that is no answer' : 'it answered without a request',
      )
      return
    }
    this.#isBusy = false
    this.#events.onAnswer(answer)
  }

  #gone(reason: string): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#events.onGone(reason)
  }

  #logErrors(): void {
    const lines = new LineReader()
    let second = 0
    let count = 0
    const log = (line: string) => {
      const now = Math.floor(performance.now() / 1000)
      if (now !== second) {
        if (count > maxLinesPerSecond)
          this.#log.warn({ count: count - maxLinesPerSecond }, 'lines were left out')
        second = now
        count = 0
      }
      count++
      if (count <= maxLinesPerSecond) this.#log.info({ line }, 'the authentication program says')
    }
    this.#child.stderr.on('data', (chunk: Buffer) => {
      for (const line of lines.push(chunk)) log(line)
    })
    this.#child.stderr.once('end', () => {
      for (const line of lines.end()) log(line)
    })
    this.#child.stderr.on('error', () => undefined)
  }
}
