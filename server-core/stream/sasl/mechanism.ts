/** What a SASL mechanism is (RFC 6120 §6, RFC 4422): one file each in this folder, one line in index.ts. */
import type { ScramHash } from '../../accounts/formats/scram.ts'
import type { Authenticator } from '../../auth/authenticator.ts'
import { BackendUnavailable, type Reason } from '../../auth/backend.ts'
import { parseJid, prepareUser } from '../../xmpp/jid.ts'

export interface SaslMechanism {
  readonly name: string
  /** Whether it is offered and accepted on connections with TLS only. */
  readonly needsTls: boolean
  /** Whether the accounts of the host can be served with it on this connection. */
  isOffered(means: Means): boolean
  start(context: SaslContext): SaslExchange
}

/** What a login on one connection could be made with. */
export interface Means {
  readonly secure: boolean
  /** PLAIN without TLS, for clients on this machine. */
  readonly allowPlainInClear: boolean
  /** The connection can be bound to. */
  readonly canBind: boolean
  /** There are accounts with passwords. */
  readonly passwords: boolean
  /** The hashes for which every account has SCRAM keys. */
  readonly scramHashes: readonly ScramHash[]
  /** Who has no account may come in. */
  readonly anonymous: boolean
  /** The users of this host that the client's certificate names. */
  readonly certificateUsers: readonly string[]
}

export interface SaslContext {
  readonly host: string
  readonly authenticator: Authenticator
  /** The connection has TLS. */
  readonly secure: boolean
  readonly channelBinding?: ChannelBinding | undefined
  /** The mechanisms that were offered on this stream. */
  readonly offered: readonly string[]
  /** Whether a client is told what was offered, so that it sees when somebody between us has changed it (XEP-0474). */
  readonly protectsOffer: boolean
  /** The users of this host that the client's certificate names; the certificate is valid. */
  readonly certificateUsers: readonly string[]
  /** Lasts, and never leaves the server: what unknown users see is made with it. */
  readonly serverSecret: Buffer
  readonly signal: AbortSignal
}

/** What ties a login to the TLS connection that it runs in (RFC 5929, RFC 9266). */
export interface ChannelBinding {
  readonly types: readonly ChannelBindingType[]
  data(type: ChannelBindingType): Buffer | undefined
}

export type ChannelBindingType = 'tls-exporter' | 'tls-server-end-point' | 'tls-unique'

export const channelBindingTypes: readonly ChannelBindingType[] = [
  'tls-exporter',
  'tls-server-end-point',
  'tls-unique',
]

export interface SaslExchange {
  /** Takes what the client sent, decoded; the first one is the initial response, empty if the client sent none. */
  step(data: Buffer): Promise<SaslStep>
}

export type SaslStep =
  | { readonly kind: 'challenge'; readonly data: Buffer }
  | { readonly kind: 'success'; readonly user: string; readonly data?: Buffer; readonly backend: string }
  | SaslFailure

export interface SaslFailure {
  readonly kind: 'failure'
  readonly condition: SaslCondition
  readonly text?: string
  /** Who it was about, for the log; absent when that was not understood. */
  readonly user?: string
  /** Whether it was an attempt, of which there may be only so many. */
  readonly counts: boolean
}

/** RFC 6120 §6.5. */
export type SaslCondition =
  | 'aborted'
  | 'account-disabled'
  | 'credentials-expired'
  | 'encryption-required'
  | 'incorrect-encoding'
  | 'invalid-authzid'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'mechanism-too-weak'
  | 'not-authorized'
  | 'temporary-auth-failure'

export function failure(condition: SaslCondition, user?: string): SaslFailure {
  const counts = condition !== 'temporary-auth-failure'
  return user === undefined
    ? { kind: 'failure', condition, counts }
    : { kind: 'failure', condition, user, counts }
}

/** What a client is told whose account, or password, a backend has refused; only what its owner may know is told apart. */
export function conditionOf(reason: Reason): 'account-disabled' | 'credentials-expired' | 'not-authorized' {
  if (reason === 'disabled') return 'account-disabled'
  return reason === 'expired' ? 'credentials-expired' : 'not-authorized'
}

/** Gives what `work` gives; a backend that cannot find out is `temporary-auth-failure`, and no attempt. */
export async function unlessUnavailable(user: string, work: () => Promise<SaslStep>): Promise<SaslStep> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof BackendUnavailable) return failure('temporary-auth-failure', user)
    throw error
  }
}

/** The prepared user of an authentication identity: a user name, or the bare JID of an account of this host. */
export function userOf(authcid: string, host: string): string | undefined {
  const user = prepareUser(authcid)
  if (user !== undefined) return user === '' ? undefined : user
  const jid = parseJid(authcid)
  return jid !== undefined && jid.host === host && jid.resource === '' && jid.user !== ''
    ? jid.user
    : undefined
}

/** Whether somebody may act as this authorization identity: nobody but oneself (RFC 6120 §6.3.8). */
export function mayActAs(authzid: string, user: string, host: string): boolean {
  if (authzid === '') return true
  const jid = parseJid(authzid)
  return jid !== undefined && jid.user === user && jid.host === host && jid.resource === ''
}
