/**
 * What can authenticate: one file per backend in this folder, one line in index.ts. A Verdict is an answer. A backend that
 * cannot find out throws BackendUnavailable; no path may turn that into a yes or a no.
 */
import type { ScramKeys } from '../accounts/formats/scram.ts'

export type Verdict = { readonly ok: true } | Refusal

export interface Refusal {
  readonly ok: false
  readonly reason: Reason
  /** The account may be unknown as well: nobody looked, or it cannot be told. */
  readonly maybeUnknown?: true
}

/** 'disabled' and 'expired' (the password has to be changed elsewhere) are said to who has the right password only. */
export type Reason = 'unknown' | 'wrong' | 'disabled' | 'expired' | 'refused' | 'exists'

export class BackendUnavailable extends Error {
  override readonly name = 'BackendUnavailable'
}

/**
 * Users and hosts are prepared (nodeprep, nameprep); passwords are the bytes as sent. Every call may reject with
 * BackendUnavailable or with its signal's reason: neither is an answer. Nothing is changed once the signal has aborted.
 */
export interface AuthBackend {
  checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict>
  accountExists(user: string, host: string, signal: AbortSignal): Promise<boolean>
  /**
   * Takes as long as refusing this password to somebody who has no account here, and asks nobody: in a chain, time must not tell
   * who answers for an account. Absent: such a refusal takes no time. `isLast` of the chain: behind any other, a refusal that leaves
   * open whether there is an account is followed by that question.
   */
  checkNobody?(host: string, password: Buffer, signal: AbortSignal, isLast: boolean): Promise<void>
  /** False: nobody logs in with a password, so it does not matter which mechanisms its accounts could be served with. */
  readonly hasPasswords?: boolean
  /** True: lets people in who have no account, under names that nobody has. It is asked behind all others. */
  readonly isForStrangers?: boolean
  /** A name for somebody without an account. Absent: such are not let in so. */
  joinAnonymously?(): string
  /** Absent: the backend cannot. The account must exist: 'unknown' otherwise, and nothing is created. */
  setPassword?(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict>
  /** 'exists' when there is such an account. */
  register?(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict>
  /** 'unknown' when there is no such account. */
  remove?(user: string, host: string, signal: AbortSignal): Promise<Verdict>
  /**
   * Whether an account that has proved itself without its password may be used: 'disabled' or 'unknown' otherwise. Absent:
   * it may if it exists.
   */
  standing?(user: string, host: string, signal: AbortSignal): Promise<Verdict>
  /** Unix time in seconds at which an account was made; undefined when it is unknown. Absent: that is not kept. */
  created?(user: string, host: string, signal: AbortSignal): Promise<number | undefined>
  /** Closes an account, or (undefined) opens it again; 'unknown' when there is none. The password stays. */
  setBan?(
    user: string,
    host: string,
    ban: { readonly reason: string; readonly by: string } | undefined,
    signal: AbortSignal,
  ): Promise<Verdict>
  /** The account's SCRAM keys for a hash; undefined when the account is unknown or has none. Absent: PLAIN only. */
  scramKeys?(
    user: string,
    host: string,
    hash: ScramKeys['hash'],
    signal: AbortSignal,
  ): Promise<ScramKeys | undefined>
  /** The hashes for which every account of the host has SCRAM keys, so that the mechanisms may be offered. */
  scramHashes?(host: string): Promise<readonly ScramKeys['hash'][]>
  /** The account's password, where it is kept as it is; undefined when the account is unknown or its is not. Absent: none are. */
  plainPassword?(user: string, host: string, signal: AbortSignal): Promise<string | undefined>
  /** Whether the passwords of all accounts of the host are kept as they are, so that digests of them can be checked. */
  keepsPlain?(host: string): Promise<boolean>
  /** The users of a host, in order of the name; absent: the backend cannot list. */
  list?(host: string): AsyncIterable<string>
  /** How much there is to do, for those who watch: programs, those that are answering, requests that wait. */
  load?(): BackendLoad
  close?(): Promise<void>
}

export interface BackendLoad {
  readonly running: number
  readonly busy: number
  readonly waiting: number
}
