/** Whether a silent client is there (XEP-0199 §4.2): asked once for each silence; anything that it says is an answer. */
import { el } from '../xml/element.ts'
import { ns } from '../xmpp/namespaces.ts'
import type { C2s } from './c2s.ts'
import { sessionEstablished } from './states.ts'

export class Liveness {
  readonly #c2s: C2s
  /** The client's last input when it was asked. */
  #silentSince = 0
  #askedAt = 0

  constructor(c2s: C2s) {
    this.#c2s = c2s
  }

  ask(): void {
    const { receiver, state, jid } = this.#c2s
    if (state !== sessionEstablished || this.#silentSince === receiver.lastInput) return
    this.#silentSince = receiver.lastInput
    this.#askedAt = Date.now()
    const id = `ping-${receiver.lastInput.toString(36)}`
    this.#c2s.send(
      el('iq', { type: 'get', id, from: jid.host, to: jid.text }, el('ping', { xmlns: ns.ping })),
    )
  }

  /** When it was asked: Unix time in milliseconds; undefined when it has said something since. */
  get askedAt(): number | undefined {
    return this.#silentSince === this.#c2s.receiver.lastInput ? this.#askedAt : undefined
  }

  /** It does not answer: it is gone without a word. */
  giveUp(): void {
    const { connection, jid, server } = this.#c2s
    void server.hooks.run('user_ping_timeout', jid.host, { jid })
    connection.destroy('the client does not answer')
  }
}
