/** What a client sends once its session is open, step by step (server-behaviour: what a client sends). */
import { tryAgainLater } from '../extend/answer-to.ts'
import { goOn } from '../extend/hooks.ts'
import { attr, type Element, el, localName, removeCdata, withAttributes } from '../xml/element.ts'
import { StanzaError, StreamError } from '../xmpp/errors.ts'
import { type Jid, parseJid } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { resultReply, Stanza, stanzaKind } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'

export function handleStanza(c2s: C2s, element: Element): void | Promise<void> {
  const kind = element.ns === ns.client ? stanzaKind(element) : undefined
  if (!kind) return unknownElement(c2s, element)
  const { jid } = c2s
  const from = attr(element, 'from')
  if (from !== undefined && from !== jid.text && !isOwn(from, jid)) throw new StreamError('invalid-from')
  const toText = attr(element, 'to')
  const to = toText === undefined ? jid.bare : parseJid(toText)
  if (!to) throw new StanzaError('jid-malformed', 'the address in to is not a JID')
  if (kind === 'iq') checkIq(element)
  const stanza = stamp(c2s, element, to)
  const { hooks } = c2s.server
  if (!hooks.has('privacy_check_packet', jid.host) && !hooks.has('user_send_packet', jid.host)) {
    return dispatch(c2s, stanza, toText !== undefined)
  }
  return hooked(c2s, stanza, toText !== undefined)
}

/** What is no stanza is a module's (XEP-0352), or nobody's. */
function unknownElement(c2s: C2s, element: Element): void | Promise<void> {
  const taken = c2s.server.hooks.run('c2s_authenticated_packet', c2s.jid.host, { session: c2s, element })
  return goOn(taken, (isTaken) => {
    if (!isTaken) throw new StreamError('unsupported-stanza-type')
  })
}

/** The own full or bare JID, however it is written. */
function isOwn(text: string, jid: Jid): boolean {
  const from = parseJid(text)
  return from !== undefined && from.bareText === jid.bareText && (from.isBare || from.text === jid.text)
}

/** RFC 6120 §8.2.3. */
function checkIq(element: Element): void {
  const type = attr(element, 'type')
  if (!attr(element, 'id')) throw new StanzaError('bad-request', 'an iq needs an id')
  if (type === 'get' || type === 'set') {
    if (removeCdata(element.children).length === 1) return
    throw new StanzaError('bad-request', 'a request has exactly one child element')
  }
  if (type !== 'result' && type !== 'error') throw new StanzaError('bad-request', 'unknown type of iq')
}

/** The sender is who he is logged in as; subscriptions are the account's (RFC 6120 §8.1.2.1, RFC 6121 §3.1.2). */
function stamp(c2s: C2s, element: Element, to: Jid): Stanza {
  const { jid, lang } = c2s
  const type = attr(element, 'type')
  const subscription = stanzaKind(element) === 'presence' && isSubscription(type)
  const from = subscription ? jid.bare : jid
  const target = subscription ? to.bare : to
  const changes: Record<string, string> = { from: from.text }
  if (subscription) changes['to'] = target.text
  if (lang !== '' && attr(element, 'xml:lang') === undefined) changes['xml:lang'] = lang
  return new Stanza(from, target, withAttributes(element, changes))
}

function isSubscription(type: string | undefined): boolean {
  return type === 'subscribe' || type === 'subscribed' || type === 'unsubscribe' || type === 'unsubscribed'
}

function hooked(c2s: C2s, stanza: Stanza, addressed: boolean): void | Promise<void> {
  const { hooks } = c2s.server
  const { user, host } = c2s.jid
  const asked = { user, host, stanza, direction: 'out' } as const
  return goOn(hooks.fold('privacy_check_packet', host, 'allow', asked), (verdict) => {
    if (verdict === 'unknown') throw tryAgainLater()
    if (verdict === 'deny') {
      throw new StanzaError('not-acceptable', 'you have blocked this contact', {
        type: 'cancel',
        extra: el('blocked', { xmlns: ns.blockingErrors }),
      })
    }
    return goOn(hooks.fold('user_send_packet', host, stanza, { session: c2s }), (passed) => {
      if (passed) return dispatch(c2s, passed, addressed)
    })
  })
}

function dispatch(c2s: C2s, stanza: Stanza, addressed: boolean): void | Promise<void> {
  if (stanza.kind === 'message') return c2s.server.router.route(stanza)
  if (stanza.kind === 'presence') return presence(c2s, stanza, addressed)
  if (isFor(stanza, 'bind', ns.bind)) throw new StanzaError('not-allowed', 'a resource is bound already')
  if (isFor(stanza, 'session', ns.session)) return c2s.deliver(resultReply(stanza))
  return c2s.server.router.route(stanza)
}

/** A request to the server that belongs to the opening of a session: a second bind, RFC 3921's session establishment. */
function isFor({ type, from, to, element }: Stanza, name: string, namespace: string): boolean {
  if (type !== 'set' || to.host !== from.host || (to.user !== '' && !to.equals(from.bare))) return false
  const [child] = removeCdata(element.children)
  return child?.ns === namespace && localName(child) === name
}

function presence(c2s: C2s, stanza: Stanza, addressed: boolean): void | Promise<void> {
  const { own, server } = c2s
  if (!addressed) {
    switch (stanza.type) {
      case '':
        return own.broadcastAvailable(stanza.element)
      case 'unavailable':
        return own.broadcastUnavailable(stanza.element)
      case 'probe':
        return
      default:
        throw new StanzaError('bad-request', `presence of type ${stanza.type} needs an address`)
    }
  }
  switch (stanza.type) {
    case '':
    case 'unavailable':
      own.noteDirected(stanza)
      return server.router.route(stanza)
    case 'probe':
    case 'error':
      return server.router.route(stanza)
    case 'subscribe':
    case 'subscribed':
    case 'unsubscribe':
    case 'unsubscribed':
      return subscription(c2s, stanza)
    default:
      throw new StanzaError('bad-request', `unknown type of presence: ${stanza.type}`)
  }
}

/** The roster module decides what becomes of it; without one it is routed as it is. To oneself it means nothing. */
async function subscription(c2s: C2s, stanza: Stanza): Promise<void> {
  const { user, host } = c2s.jid
  if (stanza.to.text === c2s.jid.bareText) return
  if (await c2s.server.hooks.run('roster_out_subscription', host, { user, host, stanza })) return
  return c2s.server.router.route(stanza)
}
