/**
 * What happens when a presence of a subscription type is sent or received: the tables of subscriptions.ts, carried out in
 * the order that RFC 6121 §3 gives. State is stored first; then stanzas go out, clients are told, and sessions learn who may
 * see whom.
 */
import type { RosterItem } from '../../storage/storage.ts'
import { withAttributes } from '../../xml/element.ts'
import { StanzaError } from '../../xmpp/errors.ts'
import { type Jid, parseJid } from '../../xmpp/jid.ts'
import { errorReply, Stanza } from '../../xmpp/stanza.ts'
import { readStanzaText, stanzaText } from '../../xmpp/stored-stanza.ts'
import { inState, stateOf } from './items.ts'
import type { Rosters } from './roster.ts'
import {
  hasPendingIn,
  isSeenByContact,
  isSubscriptionType,
  onReceived,
  onSent,
  type ReceivedEffect,
  type SentEffect,
  type SubscriptionType,
  seesContact,
} from './subscriptions.ts'

/** An outgoing request that nobody answers is repeated when the account comes online, at most this often. */
const repeatAfter = 86_400_000
/** So many of them are remembered; the oldest is forgotten, and may be repeated earlier. */
const maxAsked = 50_000

export class Subscribing {
  readonly #rosters: Rosters
  readonly #now: () => number
  /** When each unanswered request was last sent: 'user contact' → milliseconds. */
  readonly #asked = new Map<string, number>()

  constructor(rosters: Rosters, now: () => number = () => performance.now()) {
    this.#rosters = rosters
    this.#now = now
  }

  /** A client's stanza, from and to bare. It is dealt with here, whatever comes of it. */
  async outgoing(user: string, stanza: Stanza): Promise<void> {
    const contact = stanza.to.bare
    if (contact.equals(this.#rosters.bareJid(user)) || !isSubscriptionType(stanza.type)) return
    try {
      await this.#rosters.change(user, () => this.#send(user, contact, stanza))
    } catch (error) {
      this.#refuse(user, stanza, error)
    }
  }

  async #send(user: string, contact: Jid, stanza: Stanza): Promise<Promise<void>[]> {
    const rosters = this.#rosters
    const jid = contact.bareText
    const type = stanza.type
    if (!isSubscriptionType(type)) return []
    if (type === 'subscribe' || type === 'subscribed') await this.#checkRoom(user, jid, type)
    const change = await this.#store.update(user, this.#host, jid, (old) => sentItem(old, jid, type))
    const posts = sentEffect(change.before, type).routes ? this.#route(user, stanza, type, change.before) : []
    rosters.tellSubscription(user, contact, change)
    return [...posts, rosters.push(user, jid, change)]
  }

  /** A stanza that does not make a contact of somebody needs no room. */
  async #checkRoom(user: string, jid: string, type: 'subscribe' | 'subscribed'): Promise<void> {
    const old = await this.#store.get(user, this.#host, jid)
    if (sentItem(old, jid, type)?.listed) await this.#rosters.checkRoom(user, jid)
  }

  #route(
    user: string,
    stanza: Stanza,
    type: SubscriptionType,
    before: RosterItem | undefined,
  ): Promise<void>[] {
    const rosters = this.#rosters
    const contact = stanza.to.bare
    if (type === 'subscribe') this.#noteAsked(`${user} ${contact.text}`, this.#now())
    else if (type === 'unsubscribe') this.#asked.delete(`${user} ${contact.text}`)
    const isSeen = before !== undefined && isSeenByContact(before.subscription)
    const gone = type === 'unsubscribed' && isSeen ? [rosters.postUnavailable(user, contact)] : []
    const sent = rosters.send(user, stanza)
    return [...gone, type === 'subscribed' ? sent.then(() => this.#showPresence(user, contact)) : sent]
  }

  /** The client learns that his stanza went nowhere; the address that wrote it is bare, so all who see the roster do. */
  #refuse(user: string, stanza: Stanza, error: unknown): void {
    const known = error instanceof StanzaError
    if (!known) this.#rosters.host.log.error({ err: error, user }, 'a subscription could not be changed')
    const reply = errorReply(stanza, known ? error : new StanzaError('internal-server-error'))
    if (!reply) return
    for (const session of this.#rosters.interested(user)) {
      session.deliver(new Stanza(reply.from, session.jid, reply.element))
    }
  }

  /** A stanza for an account of this host. */
  async incoming(user: string, stanza: Stanza): Promise<void> {
    const contact = stanza.from.bare
    if (contact.equals(this.#rosters.bareJid(user))) return
    try {
      // Its posts are not waited for: who sent this may be waiting for it, and they for him.
      await this.#rosters.change(user, async () => {
        for (const post of await this.#receive(user, contact, stanza)) this.#later(post)
        return []
      })
    } catch (err) {
      // It is not lost without a word: who sent it may send it again.
      this.#rosters.host.log.error({ err, user, from: contact.text }, 'a subscription could not be changed')
      const reply = errorReply(stanza, new StanzaError('internal-server-error'))
      if (reply) this.#later(this.#rosters.send(user, reply))
    }
  }

  async #receive(user: string, contact: Jid, stanza: Stanza): Promise<readonly Promise<void>[]> {
    const rosters = this.#rosters
    const jid = contact.bareText
    const type = stanza.type
    if (!isSubscriptionType(type)) return []
    if (type === 'subscribe' && (await this.#isOneTooMany(user, jid))) {
      rosters.host.log.info({ user, from: jid }, 'a subscription request was dropped: too many wait already')
      return []
    }
    const arrived = this.#addressed(user, contact, stanza)
    const request = type === 'subscribe' ? stanzaText(arrived.element) : undefined
    const change = await this.#store.update(user, this.#host, jid, (old) =>
      inState(old, jid, receivedEffect(old, type).next, old?.approved ?? false, request),
    )
    const effect = receivedEffect(change.before, type)
    if (effect.delivers) {
      const receivers = type === 'subscribe' ? rosters.available(user) : rosters.interested(user)
      for (const session of receivers) session.deliver(arrived)
    }
    rosters.tellSubscription(user, contact, change)
    if (type === 'subscribed' || type === 'unsubscribed') this.#asked.delete(`${user} ${jid}`)
    const posts = [rosters.push(user, jid, change)]
    if (effect.losesSight) posts.push(rosters.postUnavailable(user, contact))
    if (effect.answer !== undefined) posts.push(this.#answer(user, contact, effect.answer))
    return posts
  }

  async #answer(user: string, contact: Jid, type: 'subscribed' | 'unsubscribed'): Promise<void> {
    await this.#rosters.post(user, contact, type)
    if (type === 'subscribed') this.#showPresence(user, contact)
  }

  #later(post: Promise<void>): void {
    post.catch((err: unknown) => this.#rosters.host.log.error({ err }, 'an answer could not be sent'))
  }

  async #isOneTooMany(user: string, jid: string): Promise<boolean> {
    const item = await this.#store.get(user, this.#host, jid)
    if (item?.pendingIn !== undefined || !hasPendingIn(receivedEffect(item, 'subscribe').next)) return false
    const pending = await this.#store.pending(user, this.#host)
    const waiting = pending.filter((one) => one.pendingIn !== undefined)
    return waiting.length >= this.#rosters.limits.maxPendingIn
  }

  /** The stanza between the two bare addresses, which is how it is kept and delivered (RFC 6121 §3.1.3). */
  #addressed(user: string, contact: Jid, stanza: Stanza): Stanza {
    const to = this.#rosters.bareJid(user)
    const from = contact.bare
    const element = withAttributes(stanza.element, { from: from.text, to: to.text })
    return new Stanza(from, to, element, stanza.context)
  }

  #showPresence(user: string, to: Jid): void {
    for (const session of this.#rosters.available(user)) {
      session.tell({ type: 'send-presence', to: to.bare, available: true })
    }
  }

  /** The requests that wait for an answer, whole. */
  async waiting(user: string): Promise<readonly Stanza[]> {
    const to = this.#rosters.bareJid(user)
    const stanzas: Stanza[] = []
    for (const item of await this.#store.pending(user, this.#host)) {
      const from = parseJid(item.jid)
      const element = item.pendingIn === undefined ? undefined : readStanzaText(item.pendingIn)
      if (element !== undefined && from !== undefined) stanzas.push(new Stanza(from, to, element))
    }
    return stanzas
  }

  /** The account has come online: what was asked and never answered is asked again. */
  async repeat(user: string): Promise<void> {
    const items = await this.#store.pending(user, this.#host)
    const now = this.#now()
    for (const item of items) {
      const key = `${user} ${item.jid}`
      const contact = item.pendingOut ? parseJid(item.jid) : undefined
      if (contact === undefined || now - (this.#asked.get(key) ?? Number.NEGATIVE_INFINITY) < repeatAfter) {
        continue
      }
      this.#noteAsked(key, now)
      await this.#rosters.post(user, contact, 'subscribe')
    }
  }

  #noteAsked(key: string, now: number): void {
    this.#asked.delete(key)
    this.#asked.set(key, now)
    if (this.#asked.size <= maxAsked) return
    for (const oldest of this.#asked.keys()) {
      this.#asked.delete(oldest)
      return
    }
  }

  /** The account is about to go: its contacts are told that nothing is left between them (XEP-0077 §3.2). */
  async endAll(user: string): Promise<void> {
    for (const item of await this.#store.list(user, this.#host)) {
      this.#asked.delete(`${user} ${item.jid}`)
      const contact = parseJid(item.jid)
      if (contact === undefined) continue
      const { subscription, pendingOut, pendingIn } = item
      if (seesContact(subscription) || pendingOut) await this.#rosters.post(user, contact, 'unsubscribe')
      if (isSeenByContact(subscription) || pendingIn !== undefined) {
        await this.#rosters.post(user, contact, 'unsubscribed')
      }
    }
  }

  /** Forgets when old requests were sent: they may be repeated anyway. */
  prune(): void {
    const now = this.#now()
    for (const [key, at] of this.#asked) if (now - at >= repeatAfter) this.#asked.delete(key)
  }

  get #store() {
    return this.#rosters.host.storage.rosters
  }

  get #host(): string {
    return this.#rosters.host.host
  }
}

function sentEffect(item: RosterItem | undefined, type: SubscriptionType): SentEffect {
  return onSent(stateOf(item), item?.approved ?? false, type)
}

function sentItem(item: RosterItem | undefined, jid: string, type: SubscriptionType): RosterItem | undefined {
  const effect = sentEffect(item, type)
  return inState(item, jid, effect.next, effect.approved, undefined)
}

function receivedEffect(item: RosterItem | undefined, type: SubscriptionType): ReceivedEffect {
  return onReceived(stateOf(item), item?.approved ?? false, type)
}
