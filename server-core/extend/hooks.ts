/**
 * Hooks: the places where modules take part. All of them are on this page, with their types; how they run is in
 * hook-registry.ts.
 */
import type { Session, SessionInfo } from '../routing/session.ts'
import type { RosterItem, Subscription } from '../storage/storage.ts'
import type { Element } from '../xml/element.ts'
import type { StanzaError } from '../xmpp/errors.ts'
import type { Jid } from '../xmpp/jid.ts'
import type { Stanza } from '../xmpp/stanza.ts'

/**
 * Every hook: `acc` is what a fold hands on (null drops a packet and ends the hook; a handler that returns nothing leaves it
 * as it is; undefined is a hook that only tells), `info` what it is about. docs/modules.md says when each of them runs.
 */
export interface Hooks {
  // routing
  filter_packet: { acc: Stanza | null; info: object }
  route_registered: { acc: undefined; info: { domain: string } }
  route_unregistered: { acc: undefined; info: { domain: string } }
  local_send_to_resource_hook: { acc: undefined; info: { stanza: Stanza } }
  sm_receive_packet: { acc: Stanza | null; info: object }
  bounce_sm_packet: { acc: Stanza | null; info: object }
  offline_message_hook: { acc: undefined; info: { stanza: Stanza } }
  // life of the server and its hosts
  host_up: { acc: undefined; info: { host: string } }
  host_down: { acc: undefined; info: { host: string } }
  config_reloaded: { acc: undefined; info: object }
  server_started: { acc: undefined; info: object }
  server_stopping: { acc: undefined; info: object }
  // client connections
  check_bl_c2s: { acc: boolean; info: { address: string } }
  /** Of the whole server: which host it will be to is not known yet. */
  c2s_init: { acc: undefined; info: { sid: string; address: string } }
  c2s_stream_features: { acc: readonly Element[]; info: { host: string; authenticated: boolean } }
  c2s_unauthenticated_iq: { acc: Element | undefined; info: { host: string; iq: Element; address: string } }
  c2s_auth_result: {
    acc: undefined
    info: { result: string; user: string; mechanism: string; backend: string; address: string }
  }
  /** A resource is about to be bound: another one may be put in its place, or it is refused with an error. */
  c2s_handle_bind: {
    acc: { readonly resource: string; readonly refused?: StanzaError }
    info: { sid: string; user: string; host: string; asked: string }
  }
  forbidden_session_hook: { acc: undefined; info: { jid: Jid } }
  sm_register_connection_hook: { acc: undefined; info: { sid: string; jid: Jid; info: SessionInfo } }
  sm_remove_connection_hook: { acc: undefined; info: { sid: string; jid: Jid; info: SessionInfo } }
  c2s_session_opened: { acc: undefined; info: { session: Session } }
  c2s_session_pending: { acc: undefined; info: { session: Session; reason: string } }
  c2s_session_resumed: { acc: undefined; info: { session: Session } }
  /** The connection has ended; the session may go on without it. */
  c2s_closed: { acc: undefined; info: { session: Session; reason: string } }
  c2s_terminated: { acc: undefined; info: { session: Session; reason: string } }
  /** An element that is no stanza; stopped means that it was dealt with. */
  c2s_authenticated_packet: { acc: undefined; info: { session: Session; element: Element } }
  c2s_ack_overdue: { acc: undefined; info: { session: Session } }
  // stanzas of a session
  user_send_packet: { acc: Stanza | null; info: { session: Session } }
  user_receive_packet: { acc: Stanza | null; info: { session: Session } }
  c2s_filter_send: { acc: Element | null; info: { session: Session } }
  /** `unknown`: it could not be found out now; the stanza does not pass, and its sender may try again. */
  privacy_check_packet: {
    acc: 'allow' | 'deny' | 'unknown'
    info: { user: string; host: string; stanza: Stanza; direction: 'in' | 'out' }
  }
  // presence
  c2s_presence_in: { acc: undefined; info: { session: Session; stanza: Stanza } }
  c2s_update_presence: { acc: Element; info: { session: Session } }
  c2s_broadcast_recipients: { acc: readonly Jid[]; info: { session: Session; presence: Element } }
  user_available_hook: { acc: undefined; info: { jid: Jid } }
  set_presence_hook: { acc: undefined; info: { session: Session; presence: Element } }
  unset_presence_hook: { acc: undefined; info: { jid: Jid; status: string } }
  presence_probe_hook: { acc: undefined; info: { from: Jid; to: Jid } }
  // roster and subscriptions
  roster_get: { acc: readonly RosterItem[]; info: { user: string; host: string } }
  /** `failed`: nobody could find out now, which is not "nobody". */
  roster_get_subscription_lists: {
    acc: { readonly from: readonly string[]; readonly to: readonly string[]; readonly failed?: true }
    info: { user: string; host: string }
  }
  /** `failed`: it could not be found out now, which is not "none": no `unsubscribed` may follow from it. */
  roster_get_jid_info: {
    acc: { readonly subscription: Subscription; readonly groups: readonly string[]; readonly failed?: true }
    info: { user: string; host: string; jid: Jid }
  }
  /** A subscription stanza came for an account; true lets the session manager deliver it. */
  roster_in_subscription: { acc: boolean; info: { user: string; host: string; stanza: Stanza } }
  /** A client sends a subscription stanza; stopped means that it was dealt with and is not routed. */
  roster_out_subscription: { acc: undefined; info: { user: string; host: string; stanza: Stanza } }
  roster_process_item: { acc: RosterItem; info: { user: string; host: string } }
  roster_get_versioning_feature: { acc: readonly Element[]; info: { host: string } }
  resend_subscription_requests_hook: { acc: readonly Stanza[]; info: { user: string; host: string } }
  /** The messages for this session; what it does not write stays, and is for another when this one has ended. */
  resend_offline_messages_hook: {
    acc: readonly Stanza[]
    info: { user: string; host: string; session: Session }
  }
  // discovery (XEP-0030)
  disco_local_identity: { acc: readonly Element[]; info: DiscoInfo }
  disco_local_features: { acc: readonly string[]; info: DiscoInfo }
  disco_local_items: { acc: readonly Element[]; info: DiscoInfo }
  disco_sm_identity: { acc: readonly Element[]; info: DiscoInfo }
  disco_sm_features: { acc: readonly string[]; info: DiscoInfo }
  disco_sm_items: { acc: readonly Element[]; info: DiscoInfo }
  disco_info: { acc: readonly Element[]; info: { host: string; node: string; lang: string } }
  // accounts
  register_user: { acc: undefined; info: { user: string; host: string } }
  remove_user: { acc: undefined; info: { user: string; host: string } }
  /** The last session of somebody without an account has ended; remove_user runs next. */
  anonymous_purge_hook: { acc: undefined; info: { user: string; host: string } }
  set_password: { acc: undefined; info: { user: string; host: string } }
  sm_kick_user: { acc: undefined; info: { user: string; host: string } }
  vcard_set: { acc: undefined; info: { user: string; host: string; vcard: Element } }
  /** A session opens: the addresses that its account has blocked, who do not see it. `failed`: they could not be found out. */
  privacy_get_user_list: {
    acc: { readonly jids: readonly string[]; readonly failed?: true }
    info: { user: string; host: string }
  }
  privacy_updated_list: {
    acc: undefined
    info: { user: string; host: string; before: readonly string[]; after: readonly string[] }
  }
  user_ping_timeout: { acc: undefined; info: { jid: Jid } }
  // administration
  api_call: {
    acc: undefined
    info: { caller: string; command: string; arguments: Readonly<Record<string, unknown>>; result: string }
  }
  /** Words of the command line that are no command; what is not '' is the answer. */
  ejabberd_ctl_process: { acc: string; info: { words: readonly string[]; caller: string } }
  /** At 21, 7 and 1 days. */
  cert_expiring: { acc: undefined; info: { host: string; files: readonly string[]; days: number } }
  reopen_log_hook: { acc: undefined; info: object }
  /** What holds memory adds itself. */
  memory_holders: { acc: readonly MemoryHolder[]; info: object }
}

/** One that holds memory: how many things, and bytes where they can be told; undefined where they cannot. */
export interface MemoryHolder {
  readonly name: string
  readonly count: number | undefined
  readonly bytes: number | undefined
}

export interface DiscoInfo {
  readonly host: string
  readonly from: Jid
  readonly to: Jid
  readonly node: string
  readonly lang: string
}

/** For those who are not checked by types: a name that is none of these may be a mistake. */
export const hookNames: readonly string[] = Object.keys({
  filter_packet: true,
  route_registered: true,
  route_unregistered: true,
  local_send_to_resource_hook: true,
  sm_receive_packet: true,
  bounce_sm_packet: true,
  offline_message_hook: true,
  host_up: true,
  host_down: true,
  config_reloaded: true,
  server_started: true,
  server_stopping: true,
  check_bl_c2s: true,
  c2s_init: true,
  c2s_stream_features: true,
  c2s_unauthenticated_iq: true,
  c2s_auth_result: true,
  c2s_handle_bind: true,
  forbidden_session_hook: true,
  sm_register_connection_hook: true,
  sm_remove_connection_hook: true,
  c2s_session_opened: true,
  c2s_session_pending: true,
  c2s_session_resumed: true,
  c2s_closed: true,
  c2s_terminated: true,
  c2s_authenticated_packet: true,
  c2s_ack_overdue: true,
  user_send_packet: true,
  user_receive_packet: true,
  c2s_filter_send: true,
  privacy_check_packet: true,
  c2s_presence_in: true,
  c2s_update_presence: true,
  c2s_broadcast_recipients: true,
  user_available_hook: true,
  set_presence_hook: true,
  unset_presence_hook: true,
  presence_probe_hook: true,
  roster_get: true,
  roster_get_subscription_lists: true,
  roster_get_jid_info: true,
  roster_in_subscription: true,
  roster_out_subscription: true,
  roster_process_item: true,
  roster_get_versioning_feature: true,
  resend_subscription_requests_hook: true,
  resend_offline_messages_hook: true,
  disco_local_identity: true,
  disco_local_features: true,
  disco_local_items: true,
  disco_sm_identity: true,
  disco_sm_features: true,
  disco_sm_items: true,
  disco_info: true,
  register_user: true,
  remove_user: true,
  anonymous_purge_hook: true,
  set_password: true,
  sm_kick_user: true,
  vcard_set: true,
  privacy_get_user_list: true,
  privacy_updated_list: true,
  user_ping_timeout: true,
  api_call: true,
  ejabberd_ctl_process: true,
  cert_expiring: true,
  reopen_log_hook: true,
  memory_holders: true,
} satisfies Record<keyof Hooks, true>)

export type HookName = keyof Hooks
export type Acc<N extends HookName> = Hooks[N]['acc']
export type Info<N extends HookName> = Hooks[N]['info']

/** What a handler returns to end a hook with a value: nobody behind it runs. */
export class Stop<T = undefined> {
  readonly value: T
  constructor(value: T) {
    this.value = value
  }
}

export function stop(): Stop
export function stop<T>(value: T): Stop<T>
export function stop<T>(value?: T): Stop<T | undefined> {
  return new Stop(value)
}

/** Goes on with what a hook gave: at once, unless the hook waits. */
export function goOn<T, R>(given: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return given instanceof Promise ? given.then(next) : next(given)
}

export type HookHandler<N extends HookName> = (
  acc: Acc<N>,
  info: Info<N>,
) => Acc<N> | Stop<Acc<N>> | void | Promise<Acc<N> | Stop<Acc<N>> | void>

/** A handler of a hook that only tells may return nothing. */
export type HookListener<N extends HookName> =
  undefined extends Acc<N> ? (acc: Acc<N>, info: Info<N>) => unknown : HookHandler<N>

/** Sees every run of every hook, those too that nobody takes part in; host is '' for hooks of the whole server. */
export interface HookTracer {
  before?(hook: string, host: string, acc: unknown, info: unknown): void
  /** `acc` is what came of it. */
  after?(hook: string, host: string, acc: unknown, stopped: boolean): void
}
