/**
 * Lines with request ids, for servers that ask about many accounts on one connection: `ID op:user:host[:password]` is answered
 * with `ID 1`, `ID 0` or, when it could not be found out, `ID unavailable`. Answers come when they are there, in any order;
 * whoever needs an order waits for the answer. An id is up to 64 visible ASCII characters, and what it means is the client's.
 */
import type { Socket } from 'node:net'
import type { Outcome } from '../outcome.ts'
import { Requests, type RequestsOptions, type Running } from '../requests.ts'
import type { End } from '../serve.ts'

/** In bytes; the longest frame of the other protocol fits. */
const maxLine = 65_535 + 65
/** More requests than that are not carried out at once on one connection: it is not read from. */
const maxRunning = 64
const newline = 0x0a

export class LineServing {
  readonly #socket: Socket
  readonly #requests: Requests
  readonly #options: RequestsOptions
  readonly #running = new Set<Running>()
  /** Complete lines that wait for their turn. */
  readonly #lines: Line[] = []
  #rest: Buffer = Buffer.alloc(0)
  #writingSince: number | undefined
  #unwritten = 0
  #end: End | undefined
  #hasEnded: boolean = false
  #isStopping: boolean = false
  #finished: (end: End) => void = () => undefined

  constructor(socket: Socket, options: RequestsOptions) {
    this.#socket = socket
    this.#options = options
    this.#requests = new Requests(options)
  }

  /** A held answer holds nobody else here. */
  get isBusy(): boolean {
    return this.#running.size >= maxRunning
  }

  get isIdle(): boolean {
    return this.#running.size === 0
  }

  get writingSince(): number | undefined {
    return this.#writingSince
  }

  /** Until the end; what runs then has been answered if there was somebody to read it. */
  run(): Promise<End> {
    const end = new Promise<End>((resolve) => {
      this.#finished = resolve
    })
    this.#socket.on('data', (chunk) => this.#read(chunk))
    this.#socket.once('end', () => this.#inputEnded())
    this.#socket.on('error', () => this.#unread())
    this.#socket.once('close', () => this.#unread())
    return end
  }

  /** What runs is answered, later requests are not carried out. */
  stop(): void {
    this.#isStopping = true
    this.#socket.pause()
    this.#lines.length = 0
    this.#settle()
  }

  #read(chunk: Buffer): void {
    const at = performance.now()
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let start = 0
    for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
      const line = parseLine(bytes.subarray(start, end))
      start = end + 1
      if (line === undefined) {
        this.#refuse('a line without a request id')
        return
      }
      this.#lines.push({ ...line, at })
    }
    // A copy, or one short rest would keep a whole chunk.
    this.#rest = Buffer.from(bytes.subarray(start))
    if (this.#rest.length > maxLine) this.#refuse('a line that is too long')
    else this.#begin()
  }

  #begin(): void {
    while (this.#running.size < maxRunning && !this.#isStopping && this.#end === undefined) {
      const line = this.#lines.shift()
      if (line === undefined) break
      const why = this.#hasEnded ? 'the input has ended' : undefined
      const running = this.#requests.begin(line.payload, line.at, why)
      this.#running.add(running)
      void running.outcome.then((outcome) => {
        this.#running.delete(running)
        this.#answer(line.id, outcome)
        this.#begin()
        this.#settle()
      })
    }
    const isFull = this.#running.size >= maxRunning || this.#unwritten > maxLine
    if (isFull && !this.#socket.isPaused()) this.#socket.pause()
    else if (!isFull && !this.#isStopping && this.#socket.isPaused()) this.#socket.resume()
  }

  #answer(id: Buffer, { kind }: Outcome): void {
    if (this.#end !== undefined || this.#socket.destroyed) return
    const bytes = Buffer.concat([id, answers[kind]])
    this.#unwritten += bytes.length
    this.#writingSince ??= performance.now()
    this.#socket.write(bytes, () => {
      this.#unwritten -= bytes.length
      this.#writingSince = this.#unwritten > 0 ? performance.now() : undefined
      this.#begin()
      this.#settle()
    })
  }

  /** Whoever speaks another protocol is not answered: the words would be misunderstood. */
  #refuse(reason: string): void {
    this.#options.log.warn({ reason }, 'a connection is closed: it does not speak lines with request ids')
    this.#finish('cut')
  }

  #inputEnded(): void {
    this.#hasEnded = true
    // Whoever goes away does not learn of changes any more.
    for (const running of this.#running) running.stopChange('the input has ended')
    this.#settle()
  }

  #unread(): void {
    for (const running of this.#running) running.stopChange('nobody reads the answers')
    this.#finish('unread')
  }

  #settle(): void {
    const isOver = this.#isStopping || (this.#hasEnded && this.#lines.length === 0)
    if (isOver && this.#running.size === 0 && this.#unwritten === 0) this.#finish('done')
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#finished(end)
  }
}

interface Line {
  readonly id: Buffer
  readonly payload: Buffer
  /** performance.now() of its arrival. */
  readonly at: number
}

const answers: Readonly<Record<Outcome['kind'], Buffer>> = {
  allow: Buffer.from(' 1\n'),
  deny: Buffer.from(' 0\n'),
  failure: Buffer.from(' unavailable\n'),
}

const space = 0x20
const carriageReturn = 0x0d
const maxId = 64

function parseLine(line: Buffer): Omit<Line, 'at'> | undefined {
  const end = line.indexOf(space)
  if (end < 1 || end > maxId) return undefined
  const id = line.subarray(0, end)
  if (id.some((byte) => byte < 0x21 || byte > 0x7e)) return undefined
  const last = line.at(-1) === carriageReturn ? line.length - 1 : line.length
  return { id: Buffer.from(id), payload: Buffer.from(line.subarray(end + 1, last)) }
}
