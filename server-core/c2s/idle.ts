/** Clients that have been silent for long are asked whether they are there (XEP-0199 §4.2); who says nothing is gone. */
import type { Config } from '../config/schema.ts'
import type { SessionManager } from '../routing/session-manager.ts'
import { C2s } from './c2s.ts'

/** How often everybody is looked at, in milliseconds. */
const interval = 1_000

/** Returns what ends it. */
export function watchIdle(
  sessions: SessionManager,
  config: Pick<Config, 'ack_timeout' | 'ping_interval' | 'ping_timeout'>,
): () => void {
  const timer = setInterval(() => {
    const now = Date.now()
    for (const session of sessions.all()) {
      if (!(session instanceof C2s) || session.detached) continue
      if (session.management?.check(now, config.ack_timeout)) session.liveness.giveUp()
      // only who was asked can have failed to answer: the silence may be that of this machine, which has slept
      const { receiver } = session
      const { askedAt } = session.liveness
      if (askedAt === undefined) {
        if (now - receiver.lastInput >= config.ping_interval) session.liveness.ask()
      } else if (now - askedAt >= config.ping_timeout) session.liveness.giveUp()
    }
  }, interval)
  timer.unref()
  return () => clearInterval(timer)
}
