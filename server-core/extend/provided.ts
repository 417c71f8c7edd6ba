/** What modules give to other modules and to commands, by name: all of it on this page. */
import type { LastActivity, RosterItem, Subscription } from '../storage/storage.ts'
import type { Element } from '../xml/element.ts'
import type { Jid } from '../xmpp/jid.ts'

export interface Provided {
  last: LastService
  /** Clients may log in as before SASL (XEP-0078). */
  legacyAuth: true
  offline: OfflineService
  private: PrivateService
  roster: RosterService
  vcard: VcardService
}

/** The rosters of a host's accounts, as an administrator changes them: stored, then pushed to interested resources. */
export interface RosterService {
  items(user: string): Promise<readonly RosterItem[]>
  /**
   * Adds the contact or replaces what shows of it; the contact's side stays as it is. Who may no longer see the account sees
   * it go.
   */
  set(
    user: string,
    contact: Jid,
    item: { readonly name: string; readonly groups: readonly string[]; readonly subscription: Subscription },
  ): Promise<void>
  /**
   * False when it was not there. A request that waits for an answer is no contact: it goes only when that is asked for, or with
   * the contact. The contact's side stays as it is.
   */
  remove(user: string, contact: Jid, what?: 'even-request'): Promise<boolean>
}

export interface OfflineService {
  count(user: string): Promise<number>
  /**
   * These messages (`offline` in a stanza's context) have been written, or acknowledged where the stream can: they are
   * deleted. Whoever got them from resend_offline_messages_hook calls this; until then they stay.
   */
  delivered(user: string, seqs: readonly number[]): Promise<void>
}

/** When accounts were last seen. */
export interface LastService {
  get(user: string): Promise<LastActivity | undefined>
  set(user: string, last: LastActivity): Promise<void>
}

/** What clients keep for themselves. */
export interface PrivateService {
  /** The whole element as text. */
  get(user: string, ns: string): Promise<string | undefined>
  /** Replaces what has the same namespace; 'full' when the account keeps too much already. */
  set(user: string, element: Element): Promise<'stored' | 'full'>
}

export interface VcardService {
  /** The whole vCard; undefined when there is none. */
  get(user: string): Promise<Element | undefined>
  /** Replaces the vCard and tells the modules that care. */
  set(user: string, vcard: Element): Promise<void>
}

/** What services give, to modules, other services and commands. */
export interface ProvidedByServices {
  cache: CacheService
}

export type Looked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string }

export interface CacheService {
  /**
   * The value kept for the key, or what `find` gives; an `ok` is kept, an error is returned and not kept, a throw is passed
   * on. Keys compare by value. Look-ups of one key at the same time run `find` once.
   */
  lookup<T>(key: unknown, find: () => Looked<T> | Promise<Looked<T>>): Promise<Looked<T>>
  forget(key: unknown): void
}
