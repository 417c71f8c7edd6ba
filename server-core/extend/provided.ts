/** What modules give to other modules and to commands, by name: all of it on this page. */
import type { RosterItem, Subscription } from '../storage/storage.ts'
import type { Jid } from '../xmpp/jid.ts'

export interface Provided {
  roster: RosterService
  offline: OfflineService
}

/** The rosters of a host's accounts, as an administrator changes them: stored, then pushed to interested resources. */
export interface RosterService {
  items(user: string): Promise<readonly RosterItem[]>
  /** Adds the contact or replaces what shows of it; the contact's side stays as it is. */
  set(
    user: string,
    contact: Jid,
    item: { readonly name: string; readonly groups: readonly string[]; readonly subscription: Subscription },
  ): Promise<void>
  /** False when it was not there. */
  remove(user: string, contact: Jid): Promise<boolean>
}

export interface OfflineService {
  count(user: string): Promise<number>
  /**
   * These messages (`offline` in a stanza's context) have been written, or acknowledged where the stream can: they are
   * deleted. Whoever got them from resend_offline_messages_hook calls this; until then they stay.
   */
  delivered(user: string, seqs: readonly number[]): Promise<void>
}
