/** `started` and `stopped`: look until it is so. */
import { setTimeout as delay } from 'node:timers/promises'
import { findSockets, NoServer, openClient } from './client.ts'
import { exit } from './exit.ts'
import type { Program } from './run.ts'

const interval = 250
/** In milliseconds, as ejabberdctl and mongooseimctl wait. */
const longest = { started: 60_000, stopped: 30_000 }

export async function waitForServer(program: Program, isStarted: boolean): Promise<number> {
  const { timeout } = program.options
  const ms = timeout === undefined ? longest[isStarted ? 'started' : 'stopped'] : timeout * 1_000
  const end = performance.now() + ms
  while (performance.now() < end) {
    const state = await stateOf(program)
    if (isStarted ? state === 'started' : state === undefined) return exit.done
    await delay(interval)
  }
  return exit.no
}

async function stateOf(program: Program): Promise<string | undefined> {
  try {
    const client = await openClient(
      await findSockets(program.options, program.context),
      program.context.login,
    )
    try {
      return (await client.hello()).state
    } finally {
      client.close()
    }
  } catch (error) {
    if (error instanceof NoServer) return undefined
    throw error
  }
}
