/**
 * The rosters of one host's accounts: what clients get and set (RFC 6121 §2), what administrators change, and the pushes
 * that follow. The changes of one account are made one after the other, so that its pushes come in the order of versions.
 */

import { type IqRequest, ignore } from '../../extend/gen-iq-handler.ts'
import type { HostContext } from '../../extend/gen-mod.ts'
import type { RosterService } from '../../extend/provided.ts'
import { Turns } from '../../extend/turns.ts'
import type { Session } from '../../routing/session.ts'
import type { RosterChange, RosterItem, Subscription } from '../../storage/storage.ts'
import { attr, type Element, el } from '../../xml/element.ts'
import { StanzaError } from '../../xmpp/errors.ts'
import { type Jid, makeJid } from '../../xmpp/jid.ts'
import { ns } from '../../xmpp/namespaces.ts'
import { resultReply, Stanza } from '../../xmpp/stanza.ts'
import { itemElement, removedElement, showsDifferently, unknownItem, wantedItem } from './items.ts'
import { isSeenByContact, type SubscriptionType, seesContact } from './subscriptions.ts'

export interface RosterLimits {
  readonly maxItems: number
  readonly maxPendingIn: number
}

export class Rosters implements RosterService {
  readonly host: HostContext
  readonly limits: RosterLimits
  readonly #changes = new Turns()
  readonly #posts = new Turns()
  #pushes = 0

  constructor(host: HostContext, limits: RosterLimits) {
    this.host = host
    this.limits = limits
  }

  // what clients ask

  handle(request: IqRequest): Promise<Element | typeof ignore | undefined> {
    if (!request.from.bare.equals(request.to.bare)) {
      throw new StanzaError('forbidden', 'a roster is only for its owner')
    }
    return request.type === 'get' ? this.#get(request) : this.#set(request)
  }

  async #get(request: IqRequest): Promise<Element | typeof ignore> {
    const { user } = request.to
    const session = this.host.sessions.find(request.from)
    // Before the roster is read: a change between the two is pushed, even if it is in the result already.
    if (session) session.interested = true
    return this.#changes.take(user, async () => {
      const version = await this.#store.version(user, this.host.host)
      const stored = await this.items(user)
      const all = await this.host.fold('roster_get', stored, { user, host: this.host.host })
      // What other modules add has no versions.
      if (all !== stored) return rosterElement(all, undefined)
      const known = knownVersion(attr(request.child, 'ver'))
      const changes =
        known === undefined ? undefined : await this.#store.changesSince(user, this.host.host, known)
      if (changes === undefined || session === undefined) return rosterElement(stored, String(version))
      // RFC 6121 §2.6.3: an empty result, then a push for every change since.
      session.deliver(resultReply(request.stanza))
      for (const { jid, item, version: at } of changes) {
        session.deliver(this.#pushFor(session.jid, item ? itemElement(item) : removedElement(jid), at))
      }
      return ignore
    })
  }

  async #set(request: IqRequest): Promise<undefined> {
    const wanted = wantedItem(request.child, request.to.bare)
    if (wanted.remove) await this.#removeFor(request.to, wanted.contact)
    else await this.#setFor(request.to.user, wanted.contact, wanted.name, wanted.groups)
  }

  async #setFor(user: string, contact: Jid, name: string, groups: readonly string[]): Promise<void> {
    await this.change(user, async () => {
      const jid = contact.bareText
      await this.checkRoom(user, jid)
      const { host } = this.host
      const wanted = { ...unknownItem(jid), name, groups, listed: true }
      const item = await this.host.fold('roster_process_item', wanted, { user, host })
      const change = await this.#store.update(user, host, jid, (old) => ({
        ...(old ?? unknownItem(jid)),
        name: item.name,
        groups: item.groups,
        listed: true,
      }))
      return [this.push(user, jid, change)]
    })
  }

  /** RFC 6121 §2.5.2: the contact is told that both subscriptions are over. */
  async #removeFor(owner: Jid, contact: Jid): Promise<void> {
    const { user } = owner
    const jid = contact.bareText
    await this.change(user, async () => {
      const change = await this.#delete(user, jid)
      const { before } = change
      if (!before?.listed) return this.#cannotRemove(user, jid)
      const { subscription } = before
      const types: (SubscriptionType | 'unavailable')[] = []
      if (seesContact(subscription) || before.pendingOut) types.push('unsubscribe')
      if (isSeenByContact(subscription)) types.push('unavailable')
      if (isSeenByContact(subscription) || before.pendingIn !== undefined) types.push('unsubscribed')
      const posts = types.map((type) =>
        type === 'unavailable' ? this.postUnavailable(user, contact) : this.post(user, contact, type),
      )
      this.tellSubscription(user, contact, change)
      return [...posts, this.push(user, jid, change)]
    })
  }

  /** A mere request of the contact's is no item: it stays. */
  #delete(user: string, jid: string): Promise<RosterChange> {
    return this.#store.update(user, this.host.host, jid, (old) => (old?.listed ? undefined : old))
  }

  async #cannotRemove(user: string, jid: string): Promise<never> {
    const shared = await this.host.fold('roster_get', [], { user, host: this.host.host })
    if (shared.some((item) => item.jid === jid)) {
      throw new StanzaError('not-allowed', 'this contact comes from a shared group')
    }
    throw new StanzaError('item-not-found')
  }

  // what administrators ask

  async items(user: string): Promise<readonly RosterItem[]> {
    const all = await this.#store.list(user, this.host.host)
    return all.filter((item) => item.listed)
  }

  async set(
    user: string,
    contact: Jid,
    item: { readonly name: string; readonly groups: readonly string[]; readonly subscription: Subscription },
  ): Promise<void> {
    await this.change(user, async () => {
      const jid = contact.bareText
      const change = await this.#store.update(user, this.host.host, jid, (old) => {
        const before = old ?? unknownItem(jid)
        const pendingIn = isSeenByContact(item.subscription) ? undefined : before.pendingIn
        return { ...before, ...item, pendingOut: false, pendingIn, listed: true }
      })
      const isHidden = await this.#isBlocked(user, contact)
      const gone = isHidden ? [] : this.#hide(user, contact, change)
      this.tellSubscription(user, contact, change, isHidden)
      return [...gone, this.push(user, jid, change)]
    })
  }

  /**
   * An administrator's order sends no stanza of a subscription, nor presence: the next one finds its way. But who may no longer
   * see the account would never hear that it has gone.
   */
  #hide(user: string, contact: Jid, { before, after }: RosterChange): Promise<void>[] {
    return sees(before) && !sees(after) ? [this.postUnavailable(user, contact)] : []
  }

  /** Whom the account has blocked does not see its presence, whatever the roster says. */
  async #isBlocked(user: string, contact: Jid): Promise<boolean> {
    const { host } = this.host
    const from = this.bareJid(user)
    const stanza = new Stanza(from, contact.bare, el('presence', { from: from.text, to: contact.bareText }))
    const asked = { user, host, stanza, direction: 'out' } as const
    return (await this.host.fold('privacy_check_packet', 'allow', asked)) !== 'allow'
  }

  async remove(user: string, contact: Jid, what?: 'even-request'): Promise<boolean> {
    const jid = contact.bareText
    let wasThere = false
    await this.change(user, async () => {
      const change =
        what === 'even-request'
          ? await this.#store.update(user, this.host.host, jid, () => undefined)
          : await this.#delete(user, jid)
      wasThere = change.before !== undefined && change.after === undefined
      if (!wasThere) return []
      const gone = (await this.#isBlocked(user, contact)) ? [] : this.#hide(user, contact, change)
      this.tellSubscription(user, contact, change)
      return [...gone, this.push(user, jid, change)]
    })
    return wasThere
  }

  // what is shared with the subscriptions

  get #store() {
    return this.host.storage.rosters
  }

  /**
   * Makes a change of an account's roster when those before it are made, then waits for the posts that it returns. The work
   * itself never waits for a post: what that brings about may come back to this account and wait for its turn.
   */
  async change(user: string, work: () => Promise<readonly Promise<void>[]>): Promise<void> {
    const { posts } = await this.#changes.take(user, async () => ({ posts: await work() }))
    await Promise.all(posts)
  }

  /** Throws not-acceptable when the contact would be one too many. */
  async checkRoom(user: string, jid: string): Promise<void> {
    const { host } = this.host
    if ((await this.#store.get(user, host, jid))?.listed) return
    if ((await this.#store.count(user, host)) < this.limits.maxItems) return
    throw new StanzaError('not-acceptable', `a roster has at most ${this.limits.maxItems} contacts`)
  }

  bareJid(user: string): Jid {
    return makeJid(user, this.host.host)
  }

  available(user: string): readonly Session[] {
    return this.host.sessions.ofUser(user, this.host.host).filter((session) => session.presence !== undefined)
  }

  interested(user: string): readonly Session[] {
    return this.host.sessions.ofUser(user, this.host.host).filter((session) => session.interested)
  }

  /** A post: hands a stanza of an account to the router, behind the account's earlier posts. */
  send(user: string, stanza: Stanza): Promise<void> {
    return this.#posts.take(user, async () => {
      await this.host.route(stanza)
    })
  }

  post(user: string, contact: Jid, type: SubscriptionType): Promise<void> {
    const from = this.bareJid(user)
    const to = contact.bare
    return this.send(user, new Stanza(from, to, el('presence', { type, from: from.text, to: to.text })))
  }

  /**
   * The contact sees every resource go. Made here and not by the sessions: it goes out before the stanza that ends the
   * subscription.
   */
  async postUnavailable(user: string, contact: Jid): Promise<void> {
    const to = contact.bare
    const posts = this.available(user).map(({ jid }) => {
      const element = el('presence', { type: 'unavailable', from: jid.text, to: to.text })
      return this.send(user, new Stanza(jid, to, element))
    })
    await Promise.all(posts)
  }

  tellSubscription(user: string, contact: Jid, { before, after }: RosterChange, isHidden = false): void {
    const now = after?.subscription ?? 'none'
    if (now === (before?.subscription ?? 'none')) return
    const subscription = !isHidden ? now : seesContact(now) ? 'to' : 'none'
    for (const session of this.host.sessions.ofUser(user, this.host.host)) {
      session.tell({ type: 'subscription', contact: contact.bare, subscription })
    }
  }

  /** A post: tells every interested resource what has changed, if it shows (RFC 6121 §2.1.6). */
  async push(user: string, jid: string, { before, after, version }: RosterChange): Promise<void> {
    if (!showsDifferently(before, after)) return
    const item = after?.listed ? itemElement(after) : removedElement(jid)
    await this.#posts.take(user, async () => {
      for (const session of this.interested(user)) session.deliver(this.#pushFor(session.jid, item, version))
    })
  }

  #pushFor(to: Jid, item: Element, version: number): Stanza {
    const from = to.bare
    const id = `push${++this.#pushes}`
    const query = el('query', { xmlns: ns.roster, ver: String(version) }, item)
    return new Stanza(from, to, el('iq', { type: 'set', id, from: from.text, to: to.text }, query))
  }
}

/** Whether the contact sees the account. */
function sees(item: RosterItem | undefined): boolean {
  return item !== undefined && isSeenByContact(item.subscription)
}

function rosterElement(items: readonly RosterItem[], version: string | undefined): Element {
  return el('query', { xmlns: ns.roster, ver: version }, ...items.map(itemElement))
}

/** The version a client has; undefined when it has none that we gave out. */
function knownVersion(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
