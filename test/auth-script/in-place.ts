/** A command of gatehouse-extauth in this process: its words, its input, what it says. */
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { runExtauth } from '../../auth-script/program.ts'

export interface Said {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export async function extauth(
  words: readonly string[],
  input = '',
  uid: number | undefined = process.getuid?.(),
): Promise<Said> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const stdin = Readable.from(input === '' ? [] : [Buffer.from(input)], { objectMode: false })
  const status = await runExtauth({
    words,
    isTerminal: false,
    stdin,
    openRequests: () => stdin,
    stderr,
    openAnswers: () => ({ stream: stdout }),
    onSignal: () => undefined,
    onFault: () => undefined,
    exit: () => undefined,
    threads: 4,
    env: {},
    pid: process.pid,
    uid,
    node: process.execPath,
  })
  stdout.end()
  stderr.end()
  return { status, stdout: await out, stderr: await err }
}
