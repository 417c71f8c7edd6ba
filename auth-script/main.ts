#!/usr/bin/env node
/** The process edge of gatehouse-extauth: words, descriptors, signals, exit status. */
import { isatty } from 'node:tty'
import type { ExtauthContext } from './context.ts'
import { openAnswers, openRequests } from './descriptors.ts'

const { stderr, argv } = process
const isTerminal = isatty(0)
const env = { ...process.env }
// Set by the launcher and systemd for this process alone, not for those that it starts.
const named = env['GATEHOUSE_EXTAUTH_ANSWERS']
const guard = Number(env['GATEHOUSE_EXTAUTH_GUARD'])
for (const name of [
  'GATEHOUSE_EXTAUTH_ANSWERS',
  'GATEHOUSE_EXTAUTH_GUARD',
  'LISTEN_PID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
])
  delete process.env[name]

// The launcher's guard is for a node that does not get here.
if (guard > 1) release(guard)

let answers: ReturnType<typeof openAnswers> | undefined
void run({
  words: argv.slice(2),
  isTerminal,
  get stdin() {
    return process.stdin
  },
  stderr,
  openRequests,
  openAnswers: () => {
    answers ??= openAnswers(named === undefined ? undefined : Number(named), () => {
      process.stdout.write = stderr.write.bind(stderr) as typeof process.stdout.write
    })
    return answers
  },
  onSignal: (signals, handler) => {
    for (const signal of signals) process.on(signal, () => handler(signal))
  },
  onFault: (handler) => {
    process.on('uncaughtException', handler)
    process.on('unhandledRejection', handler)
  },
  exit: (status) => process.exit(status),
  threads: Number(env['UV_THREADPOOL_SIZE']) || 4,
  env,
  pid: process.pid,
  uid: process.getuid?.(),
  node: process.execPath,
}).then((status) => {
  process.exitCode = status
})

function release(pid: number): void {
  try {
    process.kill(pid)
  } catch {
    // it has ended
  }
}

/** An installation that is broken. A server gives up for good on a program that ends at once, a few times. */
async function run(context: ExtauthContext): Promise<number> {
  try {
    const { runExtauth } = await import('./program.ts')
    return await runExtauth(context)
  } catch (error) {
    stderr.write(`gatehouse-extauth: cannot run: ${(error as Error).stack}\n`)
    if (!isTerminal) await new Promise((resolve) => setTimeout(resolve, 5000))
    return 1
  }
}
