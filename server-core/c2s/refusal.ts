/** The error to a client about a stanza of its own that went nowhere. */
import { attr, type Element, el, withAttributes } from '../xml/element.ts'
import { StanzaError, stanzaErrorElement } from '../xmpp/errors.ts'
import type { Jid } from '../xmpp/jid.ts'
import { errorReply, Stanza, stanzaKind } from '../xmpp/stanza.ts'

/**
 * Undefined where an error must not be answered. `jid` is the client's, undefined before it has one; the error comes from
 * whoever the stanza was for, as it was written.
 */
export function refusal(element: Element, error: StanzaError, jid: Jid | undefined): Element | undefined {
  const type = attr(element, 'type')
  if (type === 'error' || (stanzaKind(element) === 'iq' && type === 'result')) return undefined
  if (!jid) return el(element.name, { type: 'error', id: attr(element, 'id') }, stanzaErrorElement(error))
  const reply = errorReply(new Stanza(jid, jid.bare, element), error)
  return reply && withAttributes(reply.element, { from: attr(element, 'to') })
}

/** What a client gets in place of an answer that cannot be written as XML. */
export function unwritable(stanza: Stanza): Stanza | undefined {
  const { kind, type, from, to, id } = stanza
  if (kind !== 'iq' || type !== 'result') return undefined
  const error = stanzaErrorElement(new StanzaError('internal-server-error'))
  return stanza.withElement(el('iq', { type: 'error', from: from.text, to: to.text, id }, error))
}
