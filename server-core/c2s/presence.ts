/**
 * Presence of one session (RFC 6121 §4): who may see it, whom it may see, who has been told. Sent once, in the order of
 * server-behaviour: presence.
 */
import type { Session } from '../routing/session.ts'
import type { Subscription } from '../storage/storage.ts'
import { type Element, el, getSubtag, getSubtagCdata, withAttributes } from '../xml/element.ts'
import { blocklist } from '../xmpp/blocklist.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { type Jid, parseJid } from '../xmpp/jid.ts'
import { Stanza } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'

export class Presence {
  /** The last available presence without `to`; undefined while the resource is not available. */
  last: Element | undefined
  /** Of `last`. */
  priority = 0
  /** When `last` was sent: Unix time in milliseconds. */
  since = 0
  readonly #c2s: C2s
  /** Bare JIDs that may see this account (from, both), and that it may see (to, both); the own one is never in them. */
  #mayBeSeenBy: Set<string> = nobody
  #maySee: Set<string> = nobody
  /** Who has this resource's directed presence, by address. */
  #directed: Map<string, Jid> | undefined
  /** Bare JIDs to whom a session that this one has replaced was shown as available. */
  #inherited: Set<string> = nobody

  constructor(c2s: C2s) {
    this.#c2s = c2s
  }

  /** Reads the subscription lists, and whom the account has blocked and is not seen by, before the session opens. */
  async load(): Promise<void> {
    const { user, host } = this.#c2s.jid
    const { hooks } = this.#c2s.server
    const lists = await hooks.fold(
      'roster_get_subscription_lists',
      host,
      { from: [], to: [] },
      { user, host },
    )
    const blocked = await hooks.fold('privacy_get_user_list', host, { jids: [] }, { user, host })
    if (lists.failed || blocked.failed) {
      throw new StanzaError('internal-server-error', 'the roster cannot be read now', { type: 'wait' })
    }
    const seenBy = withoutBlocked(lists.from, blocked.jids)
    this.#mayBeSeenBy = seenBy.length > 0 ? new Set(seenBy) : nobody
    this.#maySee = lists.to.length > 0 ? new Set(lists.to) : nobody
  }

  subscriptionChanged(contact: Jid, subscription: Subscription): void {
    const jid = contact.bareText
    this.#mayBeSeenBy = changed(this.#mayBeSeenBy, jid, subscription === 'from' || subscription === 'both')
    this.#maySee = changed(this.#maySee, jid, subscription === 'to' || subscription === 'both')
  }

  /** How many subscriptions are known, both ways. */
  get contacts(): number {
    return this.#mayBeSeenBy.size + this.#maySee.size
  }

  /** Somebody is one whatever resource he uses. */
  directedTo({ bareText }: Jid): boolean {
    for (const to of this.#directed?.values() ?? []) if (to.bareText === bareText) return true
    return false
  }

  /** Available presence without an address (RFC 6121 §4.2, §4.4). */
  async broadcastAvailable(element: Element): Promise<void> {
    const c2s = this.#c2s
    const { hooks } = c2s.server
    const { host } = c2s.jid
    const priority = readPriority(element)
    const presence = (await hooks.fold('c2s_update_presence', host, element, { session: c2s })) ?? element
    if (this.#isOver) return
    const first = this.last === undefined
    const before = first ? -1 : this.priority
    this.last = presence
    this.priority = priority
    this.since = Date.now()
    const wantsMessages = before < 0 && priority >= 0
    if (wantsMessages) c2s.inbox.catchUp()
    await hooks.run('set_presence_hook', host, { session: c2s, presence })
    await this.#broadcast(presence, () => this.#isOver)
    if (first && !this.#isOver) await this.#becameAvailable()
    if (wantsMessages && !this.#isOver) await c2s.inbox.catchUp().fetch()
    if (first && !this.#isOver) await this.#requestsAndOwn()
  }

  /** The session has ended while somebody waited: nobody is told any more that it is there. */
  get #isOver(): boolean {
    return this.#c2s.state.name === 'ended'
  }

  /** The own resources first, so that the client sees its own presence before anybody's answer. */
  async #broadcast(presence: Element, isOver = () => false): Promise<void> {
    const { jid, server } = this.#c2s
    this.#inherited = nobody
    await this.#send(presence, jid.bare)
    for (const contact of this.#mayBeSeenBy) {
      if (isOver()) return
      await this.#sendToText(presence, contact)
    }
    for (const to of await server.hooks.fold('c2s_broadcast_recipients', jid.host, [], {
      session: this.#c2s,
      presence,
    })) {
      if (isOver()) return
      await this.#send(presence, to)
    }
  }

  #sendToText(presence: Element, contact: string): void | Promise<void> {
    const to = parseJid(contact)
    if (to) return this.#send(presence, to)
  }

  #send(presence: Element, to: Jid): void | Promise<void> {
    const { jid, server } = this.#c2s
    return server.router.route(new Stanza(jid, to, withAttributes(presence, { from: jid.text, to: to.text })))
  }

  /** Contacts are asked for theirs: those here directly, those elsewhere by a probe (RFC 6121 §4.3). */
  async #becameAvailable(): Promise<void> {
    const { jid, server } = this.#c2s
    for (const contact of this.#maySee) {
      const to = parseJid(contact)
      if (!to) continue
      if (server.host(to.host)) {
        for (const session of server.sessions.ofUser(to.user, to.host))
          session.tell({ type: 'probe', from: jid })
      } else {
        const probe = el('presence', { type: 'probe', from: jid.bareText, to: to.text })
        await server.router.route(new Stanza(jid.bare, to, probe))
      }
    }
    await server.hooks.run('user_available_hook', jid.host, { jid })
  }

  async #requestsAndOwn(): Promise<void> {
    const { jid, server } = this.#c2s
    const { user, host } = jid
    for (const request of await server.hooks.fold('resend_subscription_requests_hook', host, [], {
      user,
      host,
    })) {
      this.#c2s.deliver(request)
    }
    for (const session of server.sessions.ofUser(user, host)) {
      if (session !== this.#c2s) session.tell({ type: 'probe', from: jid })
    }
  }

  /** Somebody of this server became available: he is sent what he may see. */
  answer(from: Jid): void | Promise<void> {
    if (!this.last) return
    const own = from.bareText === this.#c2s.jid.bareText
    if (own || this.#mayBeSeenBy.has(from.bareText)) return this.#send(this.last, from)
  }

  /** One contact is told now, by order of the roster. */
  sendTo(to: Jid, available: boolean): void | Promise<void> {
    if (!this.last) return
    return this.#send(available ? this.last : el('presence', { type: 'unavailable' }), to)
  }

  /** Unavailable without an address: everybody who was told that it is there (RFC 6121 §4.5). */
  async broadcastUnavailable(element: Element): Promise<void> {
    const { jid, server } = this.#c2s
    const wasAvailable = this.last !== undefined
    const inherited = this.#inherited
    this.#inherited = nobody
    if (wasAvailable) await this.#broadcast(element)
    else for (const contact of inherited) await this.#sendToText(element, contact)
    this.last = undefined
    await this.#endDirected(element, wasAvailable ? this.#mayBeSeenBy : inherited)
    if (wasAvailable) {
      const status = getSubtagCdata(element, 'status')
      await server.hooks.run('unset_presence_hook', jid.host, { jid, status })
    }
  }

  /** Who has directed presence hears that it is over, unless the broadcast has told him. */
  async #endDirected(element: Element, told: ReadonlySet<string>): Promise<void> {
    const directed = this.#directed
    this.#directed = undefined
    for (const to of directed?.values() ?? []) {
      if (!to.isBare || !told.has(to.text)) await this.#send(element, to)
    }
  }

  /** The session is over: the same, made by the server if the client has not said it (RFC 6121 §4.5.2). */
  end(): Promise<void> {
    return this.broadcastUnavailable(unavailable)
  }

  /**
   * Another session has the full JID now. It will show itself to those who get the broadcast, and tell them its end; who had
   * directed presence from here alone hears nothing of that session, so he is told now (RFC 6121 §4.6.3).
   */
  async replacedBy(successor: Session): Promise<void> {
    const shownTo = this.last ? [this.#c2s.jid.bareText, ...this.#mayBeSeenBy] : [...this.#inherited]
    if (shownTo.length > 0) successor.tell({ type: 'inherits', shownTo })
    this.last = undefined
    await this.#endDirected(unavailable, new Set(shownTo))
  }

  inherit(shownTo: readonly string[]): void {
    // once it has shown itself, all of them know
    if (this.last === undefined) this.#inherited = new Set(shownTo)
  }

  /** Directed presence that goes out (RFC 6121 §4.6): who does not get the broadcast is remembered, to be told the end. */
  noteDirected({ to, type }: Stanza): void {
    if (type === 'unavailable') {
      this.#directed?.delete(to.text)
      return
    }
    const getsBroadcast = this.last !== undefined && this.#mayBeSeenBy.has(to.bareText)
    if (getsBroadcast || to.bareText === this.#c2s.jid.bareText) return
    this.#directed ??= new Map()
    const { max_directed } = this.#c2s.server.config
    if (this.#directed.size >= max_directed && !this.#directed.has(to.text)) {
      throw new StanzaError('resource-constraint', 'directed presence to too many addresses')
    }
    this.#directed.set(to.text, to)
  }

  /** Presence that comes in: who has gone, or cannot be reached, need not be told our end. */
  noteIncoming(stanza: Stanza): void {
    if (stanza.type === 'unavailable' || stanza.type === 'error') this.#directed?.delete(stanza.from.text)
    const { hooks } = this.#c2s.server
    if (hooks.has('c2s_presence_in', this.#c2s.jid.host)) {
      void hooks.run('c2s_presence_in', this.#c2s.jid.host, { session: this.#c2s, stanza })
    }
  }
}

const unavailable = el('presence', { type: 'unavailable' })

/** Shared by all sessions without contacts. */
const nobody: Set<string> = new Set()

function changed(set: Set<string>, jid: string, isIn: boolean): Set<string> {
  if (set.has(jid) === isIn) return set
  const copy = set === nobody ? new Set<string>() : set
  if (isIn) copy.add(jid)
  else copy.delete(jid)
  return copy
}

/** −128 … 127, 0 when absent (RFC 6121 §4.7.2.3). */
function readPriority(element: Element): number {
  if (!getSubtag(element, 'priority')) return 0
  const text = getSubtagCdata(element, 'priority').trim()
  const priority = Number(text)
  if (!/^[+-]?\d+$/.test(text) || priority < -128 || priority > 127) {
    throw new StanzaError('bad-request', 'priority is a whole number from -128 to 127')
  }
  return priority
}

function withoutBlocked(contacts: readonly string[], blocked: readonly string[]): readonly string[] {
  if (blocked.length === 0) return contacts
  const list = blocklist(blocked)
  return contacts.filter((text) => {
    const jid = parseJid(text)
    return jid === undefined || !list.blocks(jid)
  })
}
