#!/usr/bin/env node
/** The process edge of the server: words, signals, exit status. */
import { runServer } from './program.ts'

const { stdout, stderr, env, argv } = process
process.exitCode = await runServer({
  words: argv.slice(2),
  program: argv[1] ?? 'gatehouse',
  cwd: process.cwd(),
  pid: process.pid,
  memoryUsage: () => process.memoryUsage(),
  environment: env,
  stdout,
  stderr,
  onSignal: (signals, handler) => {
    for (const signal of signals) process.on(signal, () => handler(signal))
  },
  onUncaught: (handler) => void process.on('uncaughtException', handler),
  exit: (status) => process.exit(status),
})
