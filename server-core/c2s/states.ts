/** The states of a client's session (server-behaviour: c2s state machine), each with what only it knows. */
import type { SaslExchange } from '../stream/sasl/index.ts'

export type C2sState =
  /** At first, and again after TLS and after login. */
  | { readonly name: 'wait_for_stream' }
  | { readonly name: 'wait_for_feature_request' }
  | { readonly name: 'wait_for_sasl_response'; readonly mechanism: string; readonly exchange: SaslExchange }
  /** A stream of before XMPP 1.0: account, password and resource come in one request (XEP-0078). */
  | { readonly name: 'wait_for_auth' }
  | { readonly name: 'wait_for_bind' }
  /** Bound; the session is being opened. */
  | { readonly name: 'wait_for_session' }
  | { readonly name: 'session_established' }
  /** The connection is lost; the client may continue on another (XEP-0198 §5). */
  | { readonly name: 'resume' }
  | { readonly name: 'ended' }

export const waitForStream: C2sState = { name: 'wait_for_stream' }
export const waitForFeatureRequest: C2sState = { name: 'wait_for_feature_request' }
export const waitForAuth: C2sState = { name: 'wait_for_auth' }
export const waitForBind: C2sState = { name: 'wait_for_bind' }
export const waitForSession: C2sState = { name: 'wait_for_session' }
export const sessionEstablished: C2sState = { name: 'session_established' }
export const ended: C2sState = { name: 'ended' }
