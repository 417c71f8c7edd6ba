/**
 * mod_offline: keeps messages for accounts that nobody is connected to (XEP-0160). A message stays stored until it was
 * written to a client (or acknowledged, where the stream can), and waits for one session at a time.
 */

import { count, duration, size } from '../config/fields.ts'
import { answerTo } from '../extend/answer-to.ts'
import { defineModule, type HostContext } from '../extend/gen-mod.ts'
import { type Stop, stop } from '../extend/hooks.ts'
import type { OfflineService } from '../extend/provided.ts'
import { Turns } from '../extend/turns.ts'
import type { Session } from '../routing/session.ts'
import { isAnonymous } from '../routing/session.ts'
import type { OfflineMessage } from '../storage/storage.ts'
import {
  appendSubtags,
  attr,
  type Element,
  el,
  getChild,
  removeCdata,
  withAttributes,
} from '../xml/element.ts'
import { makeJid, parseJid } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { errorReply, Stanza } from '../xmpp/stanza.ts'
import { readStanzaText, stanzaText } from '../xmpp/stored-stanza.ts'

export const modOffline = defineModule({
  name: 'mod_offline',
  doc: 'Keeps messages for those who are not connected (XEP-0160)',
  options: {
    max_offline: count(1).default(5_000).describe('messages kept for one account'),
    max_offline_bytes: size({ min: 1_024 }).default(20_971_520).describe('bytes kept for one account'),
    max_age: duration({ min: 1_000, infinity: true })
      .default(Number.POSITIVE_INFINITY)
      .describe('how long a message is kept at most'),
  },

  start(host, options) {
    const offline = new Offline(host, {
      messages: options.max_offline,
      bytes: options.max_offline_bytes,
      age: options.max_age,
    })
    host.provide('offline', offline)
    host.feature('local', ns.offline)
    host.hook('offline_message_hook', (_, { stanza }) => offline.keep(stanza))
    host.hook('resend_offline_messages_hook', async (stanzas, { user, session }) => [
      ...stanzas,
      ...(await offline.take(user, session)),
    ])
    host.hook('sm_remove_connection_hook', (_, { sid, jid }) => offline.release(jid.user, sid))
    host.hook('remove_user', (_, { user }) => offline.forget(user))
    host.every(3_600_000, async () => {
      await host.storage.offline.deleteExpired(host.host)
    })
  },
})

interface Limits {
  readonly messages: number
  readonly bytes: number
  /** Milliseconds. */
  readonly age: number
}

class Offline implements OfflineService {
  readonly #host: HostContext
  readonly #limits: Limits
  readonly #turns = new Turns()
  /** User → number of a message → the session that it was handed to. */
  readonly #handed = new Map<string, Map<number, string>>()

  constructor(host: HostContext, limits: Limits) {
    this.#host = host
    this.#limits = limits
  }

  /** Stops the hook when the message is safe or its sender has been told; else the sender gets service-unavailable. */
  async keep(stanza: Stanza): Promise<Stop | undefined> {
    const { user, host } = stanza.to
    const { offline } = stanza.context ?? {}
    if (offline !== undefined) {
      // It has never left the store.
      this.#handed.get(user)?.delete(offline)
      return stop()
    }
    const isOfNobody = this.#host.sessions.ofUser(user, host).some(isAnonymous)
    if (isOfNobody || !isWorthKeeping(stanza)) return undefined
    const received = Date.now()
    const text = stanzaText(
      withAttributes(stanza.element, {
        from: stanza.from.text,
        to: attr(stanza.element, 'to') ?? stanza.to.text,
      }),
    )
    // A prefix that only the sender's stream declared: nobody could read it later.
    if (stanza.element.content === undefined && readStanzaText(text) === undefined) return undefined
    const expires = expiry(stanza.element, received, this.#limits.age)
    try {
      const outcome = await this.#turns.take(user, () =>
        this.#host.storage.offline.store(user, host, text, received, expires, this.#limits),
      )
      if (outcome === 'stored') {
        // for a resource that has become available while the message was on its way to the store
        this.#offer(user)
        return stop()
      }
      this.#host.log.info({ user }, 'a message was refused: as many are kept as may be')
      return undefined
    } catch (err) {
      // Not service-unavailable: that would say that this account takes no messages.
      this.#host.log.error({ err, user }, 'a message could not be kept')
      const reply = errorReply(stanza, answerTo(err))
      if (reply) await this.#host.route(reply)
      return stop()
    }
  }

  /** What no other session has got; from now on this one has it. */
  async take(user: string, session: Session): Promise<readonly Stanza[]> {
    const { jid, sid } = session
    return this.#turns.take(user, async () => {
      const messages = await this.#host.storage.offline.list(user, this.#host.host)
      // it has ended meanwhile: nobody would take back what it is handed now
      if (this.#host.sessions.find(jid)?.sid !== sid) return []
      const handed = this.#handed.get(user) ?? new Map<number, string>()
      const stanzas: Stanza[] = []
      for (const message of messages) {
        const stanza = handed.has(message.seq) ? undefined : this.#stanzaOf(user, message)
        if (stanza === undefined) continue
        handed.set(message.seq, sid)
        stanzas.push(stanza)
      }
      if (handed.size > 0) this.#handed.set(user, handed)
      return stanzas
    })
  }

  #stanzaOf(user: string, { seq, received, stanza: text }: OfflineMessage): Stanza | undefined {
    const element = readStanzaText(text)
    const from = element && parseJid(attr(element, 'from') ?? '')
    if (element === undefined || from === undefined) {
      this.#host.log.warn({ user, seq }, 'a stored message cannot be read; it stays where it is')
      return undefined
    }
    const to = makeJid(user, this.#host.host)
    return new Stanza(from, to, stamped(element, this.#host.host, received), { offline: seq })
  }

  async delivered(user: string, seqs: readonly number[]): Promise<void> {
    await this.#host.storage.offline.delete(user, this.#host.host, seqs)
    const handed = this.#handed.get(user)
    for (const seq of seqs) handed?.delete(seq)
    if (handed?.size === 0) this.#handed.delete(user)
  }

  count(user: string): Promise<number> {
    return this.#host.storage.offline.count(user, this.#host.host)
  }

  /** The session is over: what it did not write is for another, at once when one is there. */
  release(user: string, sid: string): void {
    const handed = this.#handed.get(user)
    if (handed === undefined) return
    const before = handed.size
    for (const [seq, holder] of handed) if (holder === sid) handed.delete(seq)
    const isMore = handed.size < before
    if (handed.size === 0) this.#handed.delete(user)
    if (isMore) this.#offer(user)
  }

  /** Tells the resource of the highest priority that more is stored than it has been given. */
  #offer(user: string): void {
    const [best] = this.#host.sessions
      .ofUser(user, this.#host.host)
      .filter(({ priority }) => (priority ?? -1) >= 0)
      .sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))
    best?.tell({ type: 'stored-messages' })
  }

  forget(user: string): void {
    this.#handed.delete(user)
  }
}

/** Children that say something about a message and are none themselves. */
const aside: ReadonlySet<string> = new Set([ns.chatStates, ns.hints, ns.stanzaIds, ns.delay, ns.expire])

/** XEP-0160 §3: messages of normal or chat type with something in them; chat states alone are over when nobody is there. */
function isWorthKeeping({ element, type }: Stanza): boolean {
  if (type === 'groupchat' || type === 'headline' || type === 'error') return false
  if (getChild(element, 'no-store', ns.hints)) return false
  if (getChild(element, 'store', ns.hints)) return true
  return removeCdata(element.children).some((child) => {
    const space = child.ns || element.ns
    return !aside.has(space) && !(space === ns.client && child.name === 'thread')
  })
}

/** When the message is of no use any more, in Unix milliseconds: the sender's word (XEP-0023) or the option's, the sooner. */
function expiry(element: Element, received: number, age: number): number | undefined {
  const wish = getChild(element, 'x', ns.expire)
  const seconds = wish ? attr(wish, 'seconds') : undefined
  const span = Math.min(
    age,
    seconds !== undefined && /^\d{1,12}$/.test(seconds) ? Number(seconds) * 1_000 : Infinity,
  )
  return Number.isFinite(span) ? received + span : undefined
}

/** XEP-0203: when the host got it; not a second time. */
function stamped(element: Element, host: string, received: number): Element {
  const isStamped = removeCdata(element.children).some(
    (child) => child.ns === ns.delay && attr(child, 'from') === host,
  )
  if (isStamped) return element
  const stamp = new Date(received).toISOString()
  return appendSubtags(element, [el('delay', { xmlns: ns.delay, from: host, stamp })])
}
