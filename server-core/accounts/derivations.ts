/**
 * Deriving a key takes a whole core for milliseconds to seconds. It happens on libuv's threads, which DNS and files share, so
 * only a few run at once; the others wait in a line of limited length, and leave it when their signal aborts.
 */
import { availableParallelism } from 'node:os'
import { BackendUnavailable } from '../auth/backend.ts'

/** How many may wait; more than that could not be served within any deadline. */
const maxWaiting = 1000

/** One more than there are cores, so that none waits while the event loop writes to disk; libuv has four threads for everything. */
let parallel = Math.min(availableParallelism() + 1, 3)
let running = 0
const waiting = new Set<() => void>()

/** For programs that know how many threads libuv has (UV_THREADPOOL_SIZE). */
export function setParallelDerivations(count: number): void {
  parallel = Math.max(1, count)
}

export function derivationsAreIdle(): boolean {
  return running < parallel && waiting.size === 0
}

/** Runs `work` when there is a place; rejects with the signal's reason, or with BackendUnavailable when the line is full. */
export async function derive<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  if (running < parallel) running++
  else await place(signal)
  try {
    return await work()
  } finally {
    // The place goes to the next in line without getting free, or somebody else would slip in.
    const [next] = waiting
    if (next === undefined) running--
    else next()
  }
}

async function place(signal: AbortSignal): Promise<void> {
  if (waiting.size >= maxWaiting) throw new BackendUnavailable('too many passwords wait to be checked')
  await new Promise<void>((resolve, reject) => {
    const leave = () => {
      waiting.delete(enter)
      reject(signal.reason)
    }
    const enter = () => {
      waiting.delete(enter)
      signal.removeEventListener('abort', leave)
      resolve()
    }
    waiting.add(enter)
    signal.addEventListener('abort', leave, { once: true })
  })
}
