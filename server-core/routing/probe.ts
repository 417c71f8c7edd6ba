/** The answers to a presence probe (RFC 6121 §4.3.2). */
import { appendSubtags, type Element, el, withAttributes } from '../xml/element.ts'
import { ns } from '../xmpp/namespaces.ts'
import { Stanza } from '../xmpp/stanza.ts'
import { unsubscribed } from './local-router.ts'
import type { Session } from './session.ts'

/**
 * What a prober is told, given whether he may see the account's presence: by bare JID the presence of each available
 * resource, or that none is; by full JID merely whether that resource is there. Who may not, and has no directed presence
 * either, gets `unsubscribed`. `goneSince`: when the last resource went, in Unix milliseconds, if somebody knows.
 */
export function answerProbe(
  probe: Stanza,
  allowed: boolean,
  sessions: readonly Session[],
  goneSince?: number,
): readonly Stanza[] {
  const asked = probe.to.resource
  const seen = sessions.filter((session) => session.seenBy(probe.from))
  if (!allowed && seen.length === 0) return [unsubscribed(probe)]
  const visible = (allowed ? sessions : seen).filter(
    (session) => session.presence || session.seenBy(probe.from),
  )
  if (asked !== '') {
    const here = visible.some((session) => session.jid.resource === asked)
    const type = here ? undefined : 'unavailable'
    return [
      new Stanza(probe.to, probe.from, el('presence', { from: probe.to.text, to: probe.from.text, type })),
    ]
  }
  if (!allowed) {
    return visible.map(
      ({ jid }) => new Stanza(jid, probe.from, el('presence', { from: jid.text, to: probe.from.text })),
    )
  }
  const answers: Stanza[] = []
  for (const { jid, presence, presenceSince } of visible) {
    if (presence)
      answers.push(new Stanza(jid, probe.from, lastPresence(presence, jid.text, probe, presenceSince)))
  }
  if (answers.length > 0) return answers
  const from = probe.to.bare
  return [
    new Stanza(
      from,
      probe.from,
      el(
        'presence',
        { from: from.text, to: probe.from.text, type: 'unavailable', id: probe.id || undefined },
        el('delay', {
          xmlns: ns.delay,
          from: from.text,
          stamp: new Date(goneSince ?? Date.now()).toISOString(),
        }),
      ),
    ),
  ]
}

function lastPresence(presence: Element, from: string, probe: Stanza, since: number): Element {
  const stamped = el('delay', { xmlns: ns.delay, from, stamp: new Date(since).toISOString() })
  return appendSubtags(withAttributes(presence, { from, to: probe.from.text }), [stamped])
}
