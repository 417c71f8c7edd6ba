/** The blocklists of one host's accounts: what clients ask, and what becomes of stanzas. */

import type { IqRequest } from '../../extend/gen-iq-handler.ts'
import type { HostContext } from '../../extend/gen-mod.ts'
import { type Hooks, type Stop, stop } from '../../extend/hooks.ts'
import { attr, type Element, el, localName, removeCdata } from '../../xml/element.ts'
import { type Blocklist, blocklist } from '../../xmpp/blocklist.ts'
import { StanzaError } from '../../xmpp/errors.ts'
import { type Jid, makeJid, parseJid } from '../../xmpp/jid.ts'
import { ns } from '../../xmpp/namespaces.ts'
import { Stanza } from '../../xmpp/stanza.ts'

/** Lists that are kept in memory; the one that was read longest ago goes first. */
const maxKept = 10_000

type Verdict = Hooks['privacy_check_packet']['acc']
type Blocked = Hooks['privacy_get_user_list']['acc']

export class Blocking {
  readonly #host: HostContext
  readonly #limit: number
  readonly #kept = new Map<string, Blocklist>()
  readonly #reading = new Map<string, Promise<Blocklist>>()
  /** Sessions that have asked for the list, by sid: they are told of changes. */
  readonly #interested = new Set<string>()
  #pushes = 0

  constructor(host: HostContext, limit: number) {
    this.#host = host
    this.#limit = limit
  }

  /** How many lists are at hand. */
  get kept(): number {
    return this.#kept.size
  }

  async handle(request: IqRequest): Promise<Element | undefined> {
    if (!request.from.bare.equals(request.to.bare)) {
      throw new StanzaError('forbidden', 'a blocklist is only for its owner')
    }
    const { user } = request.to
    const action = `${request.type} ${localName(request.child)}`
    if (action === 'get blocklist') return this.#get(user, request)
    if (action === 'set block') await this.#block(user, request.child)
    else if (action === 'set unblock') await this.#unblock(user, request.child)
    else throw new StanzaError('bad-request')
    return undefined
  }

  async #get(user: string, request: IqRequest): Promise<Element> {
    const session = this.#host.sessions.find(request.from)
    if (session) this.#interested.add(session.sid)
    const { jids } = await this.#list(user)
    return el('blocklist', { xmlns: ns.blocking }, ...jids.map((jid) => el('item', { jid })))
  }

  async #block(user: string, child: Element): Promise<void> {
    const add = addresses(child)
    if (add.length === 0) throw new StanzaError('bad-request', 'nobody is named')
    await this.#change(user, { add, remove: [] }, child)
  }

  async #unblock(user: string, child: Element): Promise<void> {
    const remove = addresses(child)
    await this.#change(user, { add: [], remove: remove.length === 0 ? 'all' : remove }, child)
  }

  async #change(
    user: string,
    change: { readonly add: readonly string[]; readonly remove: readonly string[] | 'all' },
    child: Element,
  ): Promise<void> {
    const { host, storage } = this.#host
    const outcome = await storage.blocklists.change(user, host, change, this.#limit)
    if (outcome === 'full') {
      throw new StanzaError('not-acceptable', `at most ${this.#limit} addresses can be blocked`)
    }
    const before = blocklist(outcome.before)
    const after = blocklist(outcome.after)
    this.#keep(user, after)
    await this.#showChange(user, before, after)
    this.#push(user, child)
    await this.#host.run('privacy_updated_list', { user, host, before: outcome.before, after: outcome.after })
  }

  /** XEP-0191 §3.3, §3.4: who is blocked sees us go, who no longer is sees us come. */
  async #showChange(user: string, before: Blocklist, after: Blocklist): Promise<void> {
    const { host, sessions, storage } = this.#host
    const own = sessions.ofUser(user, host)
    if (own.length === 0) return
    for (const item of await storage.rosters.list(user, host)) {
      if (item.subscription !== 'from' && item.subscription !== 'both') continue
      const contact = parseJid(item.jid)
      if (contact === undefined || before.blocks(contact) === after.blocks(contact)) continue
      const isHidden = after.blocks(contact)
      const hidden = item.subscription === 'both' ? 'to' : 'none'
      const subscription = isHidden ? hidden : item.subscription
      for (const session of own) {
        if (isHidden) await this.#sayGone(session.jid, contact, session.presence !== undefined)
        session.tell({ type: 'subscription', contact, subscription })
        if (!isHidden) session.tell({ type: 'send-presence', to: contact, available: true })
      }
    }
    for (const text of after.jids) {
      const jid = before.jids.includes(text) ? undefined : parseJid(text)
      if (jid === undefined) continue
      for (const session of own) if (session.seenBy(jid)) await this.#sayGone(session.jid, jid, true)
    }
  }

  async #sayGone(from: Jid, to: Jid, isAvailable: boolean): Promise<void> {
    if (!isAvailable) return
    const element = el('presence', { type: 'unavailable', from: from.text, to: to.text })
    await this.#host.route(new Stanza(from, to, element))
  }

  #push(user: string, child: Element): void {
    const from = makeJid(user, this.#host.host)
    for (const session of this.#host.sessions.ofUser(user, this.#host.host)) {
      if (!this.#interested.has(session.sid)) continue
      const id = `block${++this.#pushes}`
      const iq = el('iq', { type: 'set', id, from: from.text, to: session.jid.text }, cleaned(child))
      session.deliver(new Stanza(from, session.jid, iq))
    }
  }

  /**
   * Stops the hook for what the account has blocked: at once where the list is in memory. Where it cannot be read, nothing
   * comes in unchecked.
   */
  check({
    user,
    host,
    stanza,
    direction,
  }: Hooks['privacy_check_packet']['info']): Stop<Verdict> | undefined | Promise<Stop<Verdict> | undefined> {
    const other = direction === 'in' ? stanza.from : stanza.to
    if (other.host === host && (other.user === user || (other.user === '' && other.resource === '')))
      return undefined
    const kept = this.#kept.get(user)
    if (kept !== undefined) return kept.blocks(other) ? stop<Verdict>('deny') : undefined
    return this.#list(user).then(
      (list) => (list.blocks(other) ? stop<Verdict>('deny') : undefined),
      (err: unknown) => {
        this.#host.log.error({ err, user }, 'a blocklist could not be read')
        return stop<Verdict>('unknown')
      },
    )
  }

  /** What a session of the account is told when it opens. */
  async addTo(user: string, blocked: Blocked): Promise<Blocked> {
    try {
      const { jids } = await this.#list(user)
      return jids.length === 0 ? blocked : { ...blocked, jids: [...blocked.jids, ...jids] }
    } catch (err) {
      this.#host.log.error({ err, user }, 'a blocklist could not be read')
      return { ...blocked, failed: true }
    }
  }

  ended(sid: string): void {
    this.#interested.delete(sid)
  }

  forget(user: string): void {
    this.#kept.delete(user)
    this.#reading.delete(user)
  }

  async #list(user: string): Promise<Blocklist> {
    const kept = this.#kept.get(user)
    if (kept !== undefined) {
      this.#keep(user, kept)
      return kept
    }
    const under = this.#reading.get(user)
    if (under !== undefined) return under
    const reading = this.#host.storage.blocklists.get(user, this.#host.host).then(blocklist)
    this.#reading.set(user, reading)
    try {
      const list = await reading
      // Not if it was changed meanwhile: then what was read is old.
      if (this.#reading.get(user) === reading) this.#keep(user, list)
      return list
    } finally {
      if (this.#reading.get(user) === reading) this.#reading.delete(user)
    }
  }

  /**
   * Strangers choose who is looked up: a name that blocks nobody and is not connected may be nobody's, and takes no place.
   */
  #keep(user: string, list: Blocklist): void {
    this.#reading.delete(user)
    this.#kept.delete(user)
    if (list.isEmpty && this.#host.sessions.ofUser(user, this.#host.host).length === 0) return
    this.#kept.set(user, list)
    if (this.#kept.size <= maxKept) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }
}

/** The addresses of a block or unblock request, prepared. */
function addresses(child: Element): string[] {
  const jids = new Set<string>()
  for (const item of removeCdata(child.children)) {
    if (localName(item) !== 'item') throw new StanzaError('bad-request', 'only items can be blocked')
    const jid = parseJid(attr(item, 'jid') ?? '')
    if (jid === undefined) throw new StanzaError('jid-malformed', 'the jid of an item is not an address')
    jids.add(jid.text)
  }
  return [...jids]
}

/** What is pushed names the same addresses as the request, and nothing else that came with it. */
function cleaned(child: Element): Element {
  return el(localName(child), { xmlns: ns.blocking }, ...addresses(child).map((jid) => el('item', { jid })))
}
