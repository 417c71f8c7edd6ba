/** How long a request may take: until the caller gives up, and at most until a moment of the monotonic clock. */
import { setMaxListeners } from 'node:events'
import { NoAnswer } from './no-answer.ts'

export interface Deadline {
  readonly signal: AbortSignal
  /** As performance.now() says it. */
  readonly at: number
}

export function deadlineIn(ms: number, signal: AbortSignal): Deadline {
  // One signal may stand behind many requests at once: that is no leak.
  setMaxListeners(0, signal)
  return { signal, at: performance.now() + ms }
}

/** The same, but not longer than that. */
export function within(ms: number, deadline: Deadline): Deadline {
  return { signal: deadline.signal, at: Math.min(deadline.at, performance.now() + ms) }
}

/** Throws the signal's reason, or NoAnswer when the time is over. Before anything is changed, this has to be asked. */
export function check(deadline: Deadline): void {
  deadline.signal.throwIfAborted()
  if (performance.now() >= deadline.at) throw new NoAnswer('busy', 'no answer in time')
}

/**
 * Calls `expire` once, with the signal's reason or with undefined when the time is over; the function that is returned
 * takes that back.
 */
export function onExpiry(deadline: Deadline, expire: (reason: unknown) => void): () => void {
  const timer = setTimeout(() => done(undefined), Math.max(0, deadline.at - performance.now()))
  const abort = () => done(deadline.signal.reason)
  const clear = () => {
    clearTimeout(timer)
    deadline.signal.removeEventListener('abort', abort)
  }
  const done = (reason: unknown) => {
    clear()
    expire(reason)
  }
  if (deadline.signal.aborted) queueMicrotask(abort)
  else deadline.signal.addEventListener('abort', abort)
  return clear
}
