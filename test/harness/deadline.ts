/** Waiting with a deadline: tests wait for what they want to see, never for a time. */
import { setTimeout as delay } from 'node:timers/promises'

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** The promise's value, or a DeadlineError with `what` (a function is asked at the deadline, for a transcript). */
export async function before<T>(ms: number, what: string | (() => string), promise: Promise<T>): Promise<T> {
  const controller = new AbortController()
  const expired = delay(ms, undefined, { signal: controller.signal }).then(
    () => {
      throw new DeadlineError(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`)
    },
    () => new Promise<never>(() => undefined),
  )
  try {
    return await Promise.race([promise, expired])
  } finally {
    controller.abort()
  }
}

/** Asks again every 25 ms until the answer is neither undefined nor false. */
export async function until<T>(
  what: string | (() => string),
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 10_000,
): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > end) {
      throw new DeadlineError(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`)
    }
    await delay(25)
  }
}
