/**
 * Messages of the offline store on their way to one client (XEP-0160), from when its resource becomes available until it has
 * them all. Messages that others send meanwhile wait behind them, so that each sender's come in order.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { StreamError } from '../xmpp/errors.ts'
import type { Stanza } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'

/** So many are written at a time; none is larger than a stanza may be. */
const portion = 10
/** How long the client's next stanza waits for them, in milliseconds. */
const patience = 2_000

export class StoredMessages {
  readonly #c2s: C2s
  /** Stored ones that have not been sent to the client yet. */
  #stored: Stanza[] = []
  #behind: Stanza[] = []
  #bytesBehind = 0
  /** Look-ups in the store that have not answered yet. */
  #fetching = 0
  /** What has not been looked up yet: the resource has only just become available. */
  #expected = true
  #isSending = false

  constructor(c2s: C2s) {
    this.#c2s = c2s
  }

  /** Whether a message that comes now has to wait; then it is kept here. */
  holds(stanza: Stanza): boolean {
    if (stanza.kind !== 'message' || stanza.context?.offline !== undefined) return false
    this.#behind.push(stanza)
    this.#bytesBehind += stanza.element.content?.length ?? 0
    const { max_mailbox, max_mailbox_bytes } = this.#c2s.server.config
    if (this.#behind.length > max_mailbox || this.#bytesBehind > max_mailbox_bytes)
      this.#c2s.fail(new StreamError('resource-constraint', 'too much is waiting for this session'))
    return true
  }

  /** Takes out what waits behind the stored ones. */
  takeBehind(): readonly Stanza[] {
    this.#bytesBehind = 0
    return this.#behind.splice(0)
  }

  /** Looks what there is. Resolves when the client has it, or takes it slowly: then it is listened to meanwhile. */
  async fetch(): Promise<void> {
    this.#expected = false
    this.#fetching++
    try {
      const { jid, server } = this.#c2s
      const { user, host } = jid
      const asked = { user, host, session: this.#c2s }
      this.#stored.push(...(await server.hooks.fold('resend_offline_messages_hook', host, [], asked)))
    } finally {
      this.#fetching--
    }
    if (this.#stored.length === 0) return this.send()
    const enough = new AbortController()
    const { signal } = enough
    await Promise.race([
      this.send(),
      delay(patience, undefined, { signal, ref: false }).catch(() => undefined),
    ])
    enough.abort()
  }

  /** Sends the next, portion by portion, as fast as the client takes them; in the end what waits behind them. */
  async send(): Promise<void> {
    if (this.#isSending) return
    this.#isSending = true
    try {
      for (let work = this.#next(); work; work = this.#next()) await work
    } finally {
      this.#isSending = false
    }
  }

  /**
   * What to do next; undefined when nothing can be sent now. Nothing happens between that and the end of `send`: whoever has
   * more to send then begins anew.
   */
  #next(): Promise<void> | undefined {
    const c2s = this.#c2s
    if (this.#isOver) return undefined
    if (this.#stored.length > 0) {
      // with stream management the client says what it has got, which deletes it, and then more may come
      const canTake = c2s.management ? c2s.management.hasRoom : !c2s.connection.closed
      return canTake ? this.#sendPortion() : undefined
    }
    if (this.#expected || this.#fetching > 0) return undefined
    const live = this.#behind.shift()
    if (live) return Promise.resolve(c2s.inbox.receive(live))
    c2s.inbox.caughtUp()
    return undefined
  }

  async #sendPortion(): Promise<void> {
    const c2s = this.#c2s
    const next = this.#stored.splice(0, portion)
    for (const stanza of next) c2s.deliver(stanza)
    await c2s.settled()
    await c2s.connection.written()
    if (c2s.management || c2s.connection.closed || this.#isOver) return
    const seqs = next.map((stanza) => stanza.context?.offline).filter((seq) => seq !== undefined)
    await c2s.deliveredOffline(seqs)
  }

  get #isOver(): boolean {
    return this.#c2s.state.name === 'ended'
  }
}
