/** Whom a list of addresses blocks (XEP-0191 §3). */
import type { Jid } from './jid.ts'

/**
 * A list as it is looked up. An address matches by its full JID, its bare JID, its domain and resource, or its domain alone;
 * as a list only blocks, the longest match says the same as any.
 */
export class Blocklist {
  readonly jids: readonly string[]
  readonly #set: ReadonlySet<string>

  constructor(jids: readonly string[]) {
    this.jids = jids
    this.#set = new Set(jids)
  }

  get isEmpty(): boolean {
    return this.jids.length === 0
  }

  blocks(jid: Jid): boolean {
    if (this.isEmpty) return false
    return (
      this.#set.has(jid.text) ||
      this.#set.has(jid.bareText) ||
      this.#set.has(jid.host) ||
      (jid.resource !== '' && this.#set.has(`${jid.host}/${jid.resource}`))
    )
  }
}

/** Shared by all who block nobody. */
const nobody = new Blocklist([])

export function blocklist(jids: readonly string[]): Blocklist {
  return jids.length === 0 ? nobody : new Blocklist(jids)
}
