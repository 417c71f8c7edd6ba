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
    const c2s = this.#c2s
    try {
      while (this.#stored.length > 0 && !this.#isOver) {
        // with stream management the client says what it has got, which deletes it, and then more may come
        if (c2s.management && !c2s.management.hasRoom) return
        const next = this.#stored.splice(0, portion)
        for (const stanza of next) c2s.deliver(stanza)
        await c2s.settled()
        await c2s.connection.written()
        if (c2s.management) continue
        if (c2s.connection.closed || this.#isOver) return
        await c2s.deliveredOffline(
          next.map((stanza) => stanza.context?.offline).filter((seq) => seq !== undefined),
        )
      }
      if (this.#expected || this.#fetching > 0) return
      while (this.#behind.length > 0 && !this.#isOver) await c2s.receive(this.#behind.shift() as Stanza)
      this.#bytesBehind = 0
    } finally {
      this.#isSending = false
    }
    if (!this.#isOver) c2s.caughtUp()
  }

  get #isOver(): boolean {
    return this.#c2s.state.name === 'ended'
  }
}
