/** A call that comes again and again, never twice at the same time, and does not keep the process alive. */
import type { Logger } from '../log.ts'

/** @param ms between the end of one call and the beginning of the next. Returns what ends it. */
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
