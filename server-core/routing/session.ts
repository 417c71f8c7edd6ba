/**
 * A session as routing sees it: something that takes a stanza. It may be a socket in this process or on another node, so it
 * is only ever spoken to by deliver and tell.
 */
import type { Subscription } from '../storage/storage.ts'
import type { Element } from '../xml/element.ts'
import type { Jid } from '../xmpp/jid.ts'
import type { Stanza } from '../xmpp/stanza.ts'

/** What is known of a session's connection, for administrators. */
export interface SessionInfo {
  readonly connection: 'c2s' | 'c2s_tls' | 'c2s_compressed' | 'c2s_compressed_tls' | 'unknown'
  readonly ip: string
  readonly port: number
  readonly node: string
  /** Who has let it in: as in auth_method. */
  readonly backend: string
  /** Unix time in milliseconds. */
  readonly since: number
}

/** News for a session from elsewhere in the server. */
export type SessionEvent =
  /** Another connection has bound the same full JID. */
  | { readonly type: 'replaced' }
  /** An administrator ends it; the text goes to the client with SE conflict. */
  | { readonly type: 'kicked'; readonly reason: string }
  | { readonly type: 'banned'; readonly reason: string }
  | { readonly type: 'account-removed' }
  | { readonly type: 'shutdown'; readonly reason: string }
  /** The account's roster changed: who may see whose presence. */
  | { readonly type: 'subscription'; readonly contact: Jid; readonly subscription: Subscription }
  /** Presence goes to one contact now: the resource's last available presence, or unavailable. */
  | { readonly type: 'send-presence'; readonly to: Jid; readonly available: boolean }
  /** Somebody of this server became available: the resource's presence, if he may see it, is delivered to him. */
  | { readonly type: 'probe'; readonly from: Jid }
  /** Messages wait in the offline store that were not there when the resource became available. */
  | { readonly type: 'stored-messages' }
  /**
   * Of the session that this one replaces, which says nothing at its end (server-behaviour: binding): who was shown the full
   * JID as available, by bare JID. They are to be told when this session goes, even if it never shows itself.
   */
  | { readonly type: 'inherits'; readonly shownTo: readonly string[] }
  /** A stanza is handled as if this client had sent it. */
  | { readonly type: 'inject'; readonly element: Element }

export interface Session {
  /** Unique for ever, also among nodes. */
  readonly sid: string
  readonly jid: Jid
  readonly info: SessionInfo
  /** The last available presence without `to`; undefined before it and after an unavailable one. */
  readonly presence: Element | undefined
  /** When that presence was sent: Unix time in milliseconds. */
  readonly presenceSince: number
  /** Of that presence; undefined when there is none. */
  readonly priority: number | undefined
  /** Its connection is lost, and it waits to be resumed (XEP-0198). */
  readonly detached?: boolean
  /** Has asked for the roster, so gets its pushes (RFC 6121 §2.2). */
  interested: boolean
  /** Whether somebody has this resource's directed presence (RFC 6121 §4.6). */
  seenBy(jid: Jid): boolean
  deliver(stanza: Stanza): void
  tell(event: SessionEvent): void
}

/** Whether it is of somebody without an account, of whom nothing is kept. */
export function isAnonymous({ info }: Session): boolean {
  return info.backend === 'anonymous'
}

/** The sessions of this server; the session manager is one, and modules and commands see it as this. */
export interface Sessions {
  /** One resource's session. */
  find(jid: Jid): Session | undefined
  /** All sessions of an account, in order of the resource. */
  ofUser(user: string, host: string): readonly Session[]
  ofHost(host: string): Iterable<Session>
  all(): Iterable<Session>
  /** Sessions of a host; of all hosts without one. */
  count(host?: string): number
}
