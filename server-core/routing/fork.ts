/**
 * One message that went to several resources of its account. It has arrived when one of them has it; a copy that a session
 * could not bring to its client is sent again only when no other copy has arrived or still may.
 */
import type { CopyTracker } from '../xmpp/stanza.ts'

export class Fork implements CopyTracker {
  #open: number
  #hasArrived = false

  /** @param copies how many sessions have got one */
  constructor(copies: number) {
    this.#open = copies
  }

  /** A copy has been written to a client, or acknowledged where the stream can. */
  arrived(): void {
    this.#open--
    this.#hasArrived = true
  }

  /** A copy will not arrive; true when the message is to be sent again. */
  lost(): boolean {
    this.#open--
    return this.#open === 0 && !this.#hasArrived
  }
}
