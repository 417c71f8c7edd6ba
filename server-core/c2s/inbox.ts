/**
 * What reaches a session from the rest of the server: stanzas and events, one after the other, and never while the session is
 * in the middle of something else.
 */
import type { SessionEvent } from '../routing/session.ts'
import { Mailbox } from '../stream/mailbox.ts'
import { StreamError } from '../xmpp/errors.ts'
import type { Stanza } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'
import { giveBack } from './leaving.ts'
import { handleStanza } from './stanza-in.ts'
import { ended } from './states.ts'
import { StoredMessages } from './stored-messages.ts'

type Letter =
  | { readonly stanza: Stanza }
  | { readonly event: SessionEvent }
  | { readonly settled: () => void }

export class Inbox {
  readonly #c2s: C2s
  readonly #mailbox: Mailbox<Letter>
  /** While its client gets what was stored for it. */
  #stored: StoredMessages | undefined
  /** Wait for a hook on their way to the client. */
  readonly #underway: Stanza[] = []

  /** Held until the session is open. */
  constructor(c2s: C2s) {
    this.#c2s = c2s
    const { config } = c2s.server
    this.#mailbox = new Mailbox<Letter>(
      (letter) => this.#handle(letter),
      sizeOf,
      { items: config.max_mailbox, bytes: config.max_mailbox_bytes },
      () => c2s.fail(new StreamError('resource-constraint', 'too much is waiting for this session')),
    )
    this.#mailbox.hold()
  }

  post(letter: Letter): void {
    this.#mailbox.post(letter)
  }

  /** Everything waits until as many releases. */
  hold(): void {
    this.#mailbox.hold()
  }

  release(): void {
    this.#mailbox.release()
  }

  #handle(letter: Letter): void | Promise<void> {
    const c2s = this.#c2s
    try {
      if ('settled' in letter) return letter.settled()
      if ('stanza' in letter && this.#stored?.holds(letter.stanza)) return
      const done = 'stanza' in letter ? this.receive(letter.stanza) : this.#handleEvent(letter.event)
      return done instanceof Promise
        ? done.catch((error: unknown) => c2s.failed(error, undefined))
        : undefined
    } catch (error) {
      c2s.failed(error, undefined)
    }
  }

  /** A stanza from somebody, in its turn. */
  receive(stanza: Stanza): void | Promise<void> {
    const c2s = this.#c2s
    if (c2s.connection.closed && !c2s.management) {
      // its end is known here before anybody is told of it: nothing more is written into the void
      c2s.end(c2s.connection.reason ?? 'connection closed')
      return giveBack(c2s.server.router, stanza)
    }
    if (stanza.kind === 'presence') c2s.own.noteIncoming(stanza)
    const { hooks } = c2s.server
    const { host } = c2s.jid
    if (!hooks.has('user_receive_packet', host) && !hooks.has('c2s_filter_send', host)) {
      c2s.send(stanza.element, stanza)
      return
    }
    return this.#receiveHooked(stanza)
  }

  /** If the session ends meanwhile, the stanza has gone back before those behind it. */
  async #receiveHooked(stanza: Stanza): Promise<void> {
    const c2s = this.#c2s
    const { hooks } = c2s.server
    const { host } = c2s.jid
    this.#underway.push(stanza)
    const passed = await hooks.fold('user_receive_packet', host, stanza, { session: c2s })
    if (this.#isOver) return
    const element = passed && (await hooks.fold('c2s_filter_send', host, passed.element, { session: c2s }))
    if (this.#isOver) return
    this.#underway.splice(this.#underway.indexOf(stanza), 1)
    if (passed && element) c2s.send(element, passed)
    else stanza.context?.fork?.lost()
  }

  get #isOver(): boolean {
    return this.#c2s.state === ended
  }

  #handleEvent(event: SessionEvent): void | Promise<void> {
    const c2s = this.#c2s
    switch (event.type) {
      case 'subscription':
        return c2s.own.subscriptionChanged(event.contact, event.subscription)
      case 'send-presence':
        return c2s.own.sendTo(event.to, event.available)
      case 'probe':
        return c2s.own.answer(event.from)
      case 'stored-messages':
        if ((c2s.priority ?? -1) >= 0) this.later(this.catchUp().fetch())
        return undefined
      case 'inject':
        return handleStanza(c2s, event.element)
      default:
        return undefined
    }
  }

  /** Nobody waits for it; what it throws ends the session. */
  later(work: Promise<void>): void {
    work.catch((error: unknown) => this.#c2s.failed(error, undefined))
  }

  /** From now on messages wait behind those that are stored. */
  catchUp(): StoredMessages {
    this.#stored ??= new StoredMessages(this.#c2s)
    return this.#stored
  }

  /** The client has all that was stored. */
  caughtUp(): void {
    this.#stored = undefined
  }

  /** The client has acknowledged something: if more is stored, it can take it now. */
  hasRoomAgain(): void {
    if (this.#stored) this.later(this.#stored.send())
  }

  /** Takes out the stanzas that have not reached the client, in order. */
  take(): readonly Stanza[] {
    const waiting = [...this.#underway.splice(0), ...(this.#stored?.takeBehind() ?? [])]
    for (const letter of this.#mailbox.empty()) {
      if ('stanza' in letter) waiting.push(letter.stanza)
      else if ('settled' in letter) letter.settled()
    }
    return waiting
  }
}

function sizeOf(letter: Letter): number {
  return 'stanza' in letter ? (letter.stanza.element.content?.length ?? 0) + 300 : 100
}
