/**
 * Authentication by somebody's own long-lived program: the JSON contract with an `id`, one object a line each way, any number
 * in flight, answers in any order. `{"op":"ping"}` asks whether it is well.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { z } from 'zod'
import { count, duration } from '../config/fields.ts'
import { LineReader } from '../extauth/lines.ts'
import type { Logger } from '../log.ts'
import { BackendUnavailable } from './backend.ts'
import {
  type JsonAnswer,
  JsonBackend,
  type JsonCarrier,
  type JsonRequest,
  maxAnswerBytes,
  readAnswer,
} from './json-contract.ts'

export const commandOptions = {
  command: z.string().min(1).describe('command line of the program, for the shell'),
  in_flight: count(1, 1_000).default(32).describe('requests that it may have at the same time'),
  ping_interval: duration({ min: 1_000 })
    .default(30_000)
    .describe('how often it is asked whether it is well'),
}

export type CommandOptions = z.output<z.ZodObject<typeof commandOptions>>

export function commandBackend(options: CommandOptions, log: Logger): JsonBackend {
  return new JsonBackend(new CommandCarrier(options, log))
}

/** Until it is started again after it ended; doubles up to the longest, in milliseconds. */
const firstPause = 250
const longestPause = 30_000
/** A program that ran so long is no program that ends at its start. */
const settledAfter = 10_000
const pingTimeout = 5_000
const endTimeout = 2_000
const maxWaiting = 1_000

const idSchema = z.object({ id: z.number() })

interface Waiting {
  readonly resolve: (answer: JsonAnswer) => void
  readonly reject: (error: Error) => void
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>

class CommandCarrier implements JsonCarrier {
  readonly #options: CommandOptions
  readonly #log: Logger
  readonly #asked = new Map<number, Waiting>()
  /** Who waits for a place among those in flight. */
  readonly #queue = new Set<() => void>()
  #child: Child | undefined
  #nextId = 1
  #pause = firstPause
  #restart: NodeJS.Timeout | undefined
  #health: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: CommandOptions, log: Logger) {
    this.#options = options
    this.#log = log
    this.#start()
  }

  #start(): void {
    const child: Child = spawn('/bin/sh', ['-c', `exec ${this.#options.command}`], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    this.#child = child
    const started = performance.now()
    child.once('error', (error) => this.#gone(child, `it cannot be started: ${error.message}`, started))
    child.once('close', (code, signal) => {
      this.#gone(
        child,
        signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`,
        started,
      )
    })
    child.stdin.on('error', () => child.kill('SIGTERM'))
    child.stdout.on('error', () => child.kill('SIGTERM'))
    this.#readAnswers(child)
    const errors = new LineReader()
    child.stderr.on('data', (chunk: Buffer) => {
      for (const line of errors.push(chunk)) this.#log.info({ line }, 'the authentication command says')
    })
    this.#health = setTimeout(() => void this.#ping(child), this.#options.ping_interval).unref()
  }

  #readAnswers(child: Child): void {
    let rest: Buffer = Buffer.alloc(0)
    child.stdout.on('data', (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        this.#answered(child, rest.subarray(0, end).toString('utf8'))
        rest = rest.subarray(end + 1)
      }
      if (rest.length <= maxAnswerBytes) return
      this.#log.error('the authentication command sent a line without end; it is started anew')
      child.kill('SIGKILL')
    })
  }

  #answered(child: Child, line: string): void {
    let id: number
    try {
      id = idSchema.parse(JSON.parse(line)).id
    } catch {
      // which request it belongs to cannot be known, so nothing that it says can be trusted any more
      this.#log.error('the authentication command sent a line that is no answer; it is started anew')
      child.kill('SIGTERM')
      return
    }
    const waiting = this.#asked.get(id)
    if (!waiting) return
    this.#forget(id)
    try {
      waiting.resolve(readAnswer(line))
    } catch (error) {
      waiting.reject(error as Error)
    }
  }

  #gone(child: Child, reason: string, started: number): void {
    if (this.#child !== child) return
    this.#child = undefined
    clearTimeout(this.#health)
    for (const [id, waiting] of this.#asked) {
      this.#forget(id)
      waiting.reject(new BackendUnavailable(`the authentication command: ${reason}`))
    }
    if (this.#closed) return
    this.#pause =
      performance.now() - started > settledAfter ? firstPause : Math.min(this.#pause * 2, longestPause)
    this.#log.error({ reason, again_in_ms: this.#pause }, 'the authentication command is gone')
    this.#restart = setTimeout(() => this.#start(), this.#pause)
  }

  /** A program that says nothing to a ping is stuck: a new one gets a chance. */
  async #ping(child: Child): Promise<void> {
    try {
      await this.#send({ op: 'ping' }, AbortSignal.timeout(pingTimeout))
    } catch (error) {
      if (this.#child !== child) return
      this.#log.error(
        { reason: (error as Error).message },
        'the authentication command is not well; it is started anew',
      )
      child.kill('SIGKILL')
      return
    }
    if (this.#child === child) {
      this.#health = setTimeout(() => void this.#ping(child), this.#options.ping_interval).unref()
    }
  }

  async ask(request: JsonRequest, signal: AbortSignal): Promise<JsonAnswer> {
    if (this.#asked.size >= this.#options.in_flight) await this.#place(signal)
    return this.#send({ ...request }, signal)
  }

  #place(signal: AbortSignal): Promise<void> {
    if (this.#queue.size >= maxWaiting)
      throw new BackendUnavailable('too many requests wait for the authentication command')
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#queue.delete(enter)
        reject(new BackendUnavailable('no answer in time'))
      }
      const enter = (): void => {
        this.#queue.delete(enter)
        signal.removeEventListener('abort', leave)
        resolve()
      }
      this.#queue.add(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #send(request: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<JsonAnswer> {
    const child = this.#child
    if (!child) return Promise.reject(new BackendUnavailable('the authentication command does not run'))
    if (signal.aborted) return Promise.reject(new BackendUnavailable('no answer in time'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#forget(id)
        reject(new BackendUnavailable('no answer in time'))
      }
      signal.addEventListener('abort', late, { once: true })
      const settled = (): void => signal.removeEventListener('abort', late)
      this.#asked.set(id, {
        resolve: (answer) => {
          settled()
          resolve(answer)
        },
        reject: (error) => {
          settled()
          reject(error)
        },
      })
      child.stdin.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  #forget(id: number): void {
    this.#asked.delete(id)
    const [next] = this.#queue
    next?.()
  }

  /** End of input, then SIGTERM, then SIGKILL. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#health)
    const child = this.#child
    if (!child) return
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.stdin.end()
    const term = setTimeout(() => child.kill('SIGTERM'), endTimeout)
    const kill = setTimeout(() => child.kill('SIGKILL'), 2 * endTimeout)
    await closed
    clearTimeout(term)
    clearTimeout(kill)
  }
}
