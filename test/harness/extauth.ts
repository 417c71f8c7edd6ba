/** gatehouse-extauth, or any other program of its kind, as a server runs it: frames in, frames out, over pipes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { before } from './deadline.ts'
import { programs } from './paths.ts'
import { endWithUs, exited } from './process.ts'

export interface ExtauthProgram {
  readonly child: ChildProcess
  readonly end: Promise<number | null>
  /** Sends `op:user:host[:password]` and gives the answer's payload: `yes`, `no`, or its bytes in hexadecimal. */
  ask(request: string | Buffer, ms?: number): Promise<string>
  /** Bytes as they are, for broken frames. */
  write(bytes: Buffer): void
  /** The next answer, to a request that was sent with `write`. */
  answer(ms?: number): Promise<string>
  /** What it said on standard error. */
  log(): string
  /** End of input, as a server ends it; gives the exit code. */
  close(): Promise<number | null>
}

/** The bytes of one request. */
export function frame(request: string | Buffer): Buffer {
  const payload = Buffer.from(request)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(payload.length)
  return Buffer.concat([length, payload])
}

export function startExtauth(args: readonly string[], file: string = programs.extauth): ExtauthProgram {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  endWithUs(child)
  const end = exited(child)
  let log = ''
  let input = Buffer.alloc(0)
  const answers: string[] = []
  const waiting: { resolve(answer: string): void; reject(error: Error): void }[] = []
  let ended = false
  const mark = (how: unknown) => {
    ended = true
    const gone = new Error(`the program has ended (${String(how)}); it said:\n${log}`)
    for (const { reject } of waiting.splice(0)) reject(gone)
  }
  end.then(mark, mark)
  child.stdin.on('error', () => undefined) // it may end before it has read everything
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  child.stdout.on('data', (chunk: Buffer) => {
    input = Buffer.concat([input, chunk])
    while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
      const size = 2 + input.readUInt16BE(0)
      const payload = input.subarray(2, size).toString('hex')
      input = input.subarray(size)
      const answer = payload === '0001' ? 'yes' : payload === '0000' ? 'no' : payload
      const next = waiting.shift()
      if (next === undefined) answers.push(answer)
      else next.resolve(answer)
    }
  })
  const nextAnswer = (ms = 10_000): Promise<string> => {
    const here = answers.shift()
    if (here !== undefined) return Promise.resolve(here)
    if (ended) return Promise.reject(new Error(`the program has ended; it said:\n${log}`))
    const arrived = new Promise<string>((resolve, reject) => waiting.push({ resolve, reject }))
    return before(ms, () => `an answer of the program; it said:\n${log}`, arrived)
  }
  return {
    child,
    end,
    ask(request, ms) {
      child.stdin.write(frame(request))
      return nextAnswer(ms)
    },
    write: (bytes) => {
      child.stdin.write(bytes)
    },
    answer: nextAnswer,
    log: () => log,
    async close() {
      child.stdin.end()
      return await before(10_000, () => `the program to end; it said:\n${log}`, end)
    },
  }
}
