#!/usr/bin/env node
/** The process edge of the command line. */
import { userInfo } from 'node:os'
import { runCtl } from './run.ts'

const argv = process.argv.slice(2)
// Passwords may be among the arguments: not longer than necessary where `ps` shows them.
process.title = 'gatehousectl'

function login(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

void runCtl({
  argv,
  cwd: process.cwd(),
  environment: process.env,
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  get stderr() {
    return process.stderr
  },
  login: login(),
  onInterrupt(call) {
    process.once('SIGINT', call)
    return () => process.off('SIGINT', call)
  },
}).then((code) => {
  // Everything is written; taking Node apart in good order takes longer than many a command.
  process.exit(code)
})
