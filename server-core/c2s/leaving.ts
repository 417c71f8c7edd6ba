/** The end of a session: who is told, what becomes of the stanzas that its client did not get (server-behaviour: End). */
import { setTimeout as delay } from 'node:timers/promises'
import type { Router } from '../routing/router.ts'
import { isAnonymous } from '../routing/session.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { errorReply, type Stanza } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'
import { afterTheEnd } from './stream-management.ts'

/** How long the end waits for what the client has sent last, in milliseconds; less than a new session waits for an old one. */
const inputTimeout = 1_500

/**
 * Unavailable presence, out of the registry, what still waits back to the router; never rejects. The session has ended
 * already: it takes nothing more. `input` is what the client has sent last, while that is being dealt with.
 */
export async function leave(
  c2s: C2s,
  wasEstablished: boolean,
  input: Promise<void> | undefined,
): Promise<void> {
  const { sessions, hooks, resumable, log } = c2s.server
  const givenBack = giveAllBack(c2s)
  try {
    // what the client has sent comes before its end: no contact shall hear that it is there after it has gone
    if (input) await Promise.race([input, delay(inputTimeout, undefined, { ref: false })])
    if (sessions.owns(c2s)) await c2s.own.end()
    else await handOverPresence(c2s)
    await sessions.close(c2s)
    if (wasEstablished)
      await hooks.run('c2s_terminated', c2s.jid.host, { session: c2s, reason: c2s.endReason ?? '' })
    if (c2s.management?.id) resumable.remove(c2s.management.id, c2s)
    await givenBack
    await purge(c2s)
  } catch (err) {
    log.error({ err, jid: c2s.jid.text }, 'the end of a session failed')
  }
}

/** The last session of somebody without an account takes everything with it. */
async function purge(c2s: C2s): Promise<void> {
  const { user, host } = c2s.jid
  if (!isAnonymous(c2s) || c2s.server.sessions.ofUser(user, host).length > 0) return
  await c2s.server.purgeAnonymous(user, host)
}

async function handOverPresence(c2s: C2s): Promise<void> {
  const successor = c2s.server.sessions.find(c2s.jid)
  if (successor) await c2s.own.replacedBy(successor)
}

/**
 * At once and in order, before anything that is sent to the account from now on: what the client has not acknowledged, then
 * what waited for it. The account's other resources or the offline store get it.
 */
function giveAllBack(c2s: C2s): Promise<unknown> {
  const { router } = c2s.server
  const work: (void | Promise<void>)[] = []
  const unacknowledged = c2s.management?.takeUnacknowledged() ?? []
  for (const again of afterTheEnd(c2s, unacknowledged)) work.push(router.route(again))
  for (const stanza of c2s.inbox.take()) work.push(giveBack(router, stanza))
  return Promise.all(work)
}

/** Somebody sent it here, and the client will not get it. The session itself is not one of those who do any more. */
export function giveBack(router: Router, stanza: Stanza): void | Promise<void> {
  // requests to subscribe and messages of the offline store are kept there
  if (stanza.kind === 'presence' || stanza.context?.offline !== undefined) return
  if (stanza.kind === 'iq') {
    const answer = errorReply(stanza, new StanzaError('service-unavailable'))
    return answer && router.route(answer)
  }
  const { fork } = stanza.context ?? {}
  if (fork && !fork.lost()) return
  return router.route(stanza.withContext({ rerouted: true, fork: undefined }).withTo(stanza.to.bare))
}
