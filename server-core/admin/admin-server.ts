/** What commands act on: the server as an administrator sees it. server.ts makes the only one. */
import type { Authenticator } from '../auth/authenticator.ts'
import type { HookRegistry } from '../extend/hooks.ts'
import type { Provided } from '../extend/provided.ts'
import type { Logger } from '../log.ts'
import type { Sessions } from '../routing/session.ts'
import type { Storage } from '../storage/storage.ts'
import type { Stanza } from '../xmpp/stanza.ts'

export interface AdminServer {
  readonly version: string
  /** gatehouse@HOSTNAME */
  readonly node: string
  /** Process id. */
  readonly pid: number
  /** Unix time in milliseconds. */
  readonly startedAt: number
  readonly state: 'starting' | 'started' | 'stopping'
  readonly hosts: readonly string[]
  readonly storage: Storage
  readonly sessions: Sessions
  readonly hooks: HookRegistry
  readonly log: Logger
  /** Where the log goes, for people: a path, or 'standard error'. */
  readonly logDestination: string
  /** The file that is logged to, if it is one. */
  readonly logFile: string | undefined
  /** The secret by which nodes of one cluster know each other; lasts. */
  readonly cookie: string
  /** undefined when the host is not served. */
  authenticator(host: string): Authenticator | undefined
  /** What a module of that host provides; undefined when it is not loaded. */
  provided<K extends keyof Provided>(host: string, name: K): Provided[K] | undefined
  route(stanza: Stanza): void | Promise<void>
  /** Removes the account with everything that is kept for it, and ends its sessions. False if there was none. */
  removeAccount(user: string, host: string): Promise<boolean>
  /** Ends the server after the answer has been sent. */
  stop(): void
}
