/** Connections to other servers. There are none yet: whoever is not served here is not found (RFC 6120 §10.4). */
import { StanzaError } from '../xmpp/errors.ts'
import { errorReply, type Stanza } from '../xmpp/stanza.ts'

export class S2sManager {
  readonly #reply: (stanza: Stanza) => void | Promise<void>

  constructor(reply: (stanza: Stanza) => void | Promise<void>) {
    this.#reply = reply
  }

  route(stanza: Stanza): void | Promise<void> {
    const error = new StanzaError(
      'remote-server-not-found',
      `this server has no connection to ${stanza.to.host}`,
    )
    const answer = errorReply(stanza, error)
    if (answer) return this.#reply(answer)
  }
}
