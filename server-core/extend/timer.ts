/** Calls that come later, and do not keep the process alive. */
import type { Logger } from '../log.ts'

/**
 * A call that comes again and again, never twice at the same time. Returns what ends it.
 * @param ms between the end of one call and the beginning of the next
 */
export function every(ms: number, call: () => void | Promise<void>, log: Logger): () => void {
  let stopped = false
  let timer: NodeJS.Timeout
  const tick = async (): Promise<void> => {
    try {
      await call()
    } catch (err) {
      log.error({ err }, 'a timer failed; it goes on')
    }
    plan()
  }
  const plan = (): void => {
    if (!stopped) timer = setTimeout(() => void tick(), ms).unref()
  }
  plan()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}

/** A call that comes once. Returns what prevents it. */
export function later(ms: number, call: () => void | Promise<void>, log: Logger): () => void {
  const timer = setTimeout(async () => {
    try {
      await call()
    } catch (err) {
      log.error({ err }, 'a timer failed')
    }
  }, ms).unref()
  return () => clearTimeout(timer)
}
