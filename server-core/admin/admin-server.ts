/** What commands act on: the server as an administrator sees it. server.ts makes the only one. */
import type { Authenticator } from '../auth/authenticator.ts'
import type { Caller } from '../extend/command.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import type { MemoryHolder } from '../extend/hooks.ts'
import type { Provided } from '../extend/provided.ts'
import type { Logger } from '../log.ts'
import type { Sessions } from '../routing/session.ts'
import type { Domain, Storage } from '../storage/storage.ts'
import type { Stanza } from '../xmpp/stanza.ts'

/** A host's certificate as its clients see it. */
export interface ShownCertificate {
  readonly file: string
  readonly names: readonly string[]
  /** Unix time in milliseconds. */
  readonly expires: number
  readonly daysLeft: number
  /** What clients will not like, in words. */
  readonly problems: readonly string[]
}

/** What has become of each change of the configuration, in words. */
export interface ReloadReport {
  readonly applied: string[]
  /** Holds for those who connect from now on. */
  readonly newConnections: string[]
  readonly restart: string[]
  /** What should have worked and did not; everything else is in place. */
  readonly failed: string[]
}

export type ReloadOutcome =
  | { readonly ok: true; readonly report: ReloadReport; readonly warnings: readonly string[] }
  /** Nothing was changed. */
  | { readonly ok: false; readonly complaints: readonly string[] }

/** The modules of the hosts, as an administrator starts and stops them. All of it throws an Error with a sentence. */
export interface AdminModules {
  /** All that there are, in order of the name, whether they run or not. */
  readonly known: readonly { readonly name: string; readonly doc: string }[]
  /** Those of a host, in the order of their start. */
  running(host: string): readonly string[]
  /** With these options, else with those of the configuration. */
  load(host: string, name: string, options: Readonly<Record<string, unknown>> | undefined): Promise<void>
  unload(host: string, name: string): Promise<void>
  /** Takes these options over, else those of the configuration, without a pause where the module can. */
  reload(host: string, name: string, options: Readonly<Record<string, unknown>> | undefined): Promise<void>
  /** Stops it and starts it with the options that it has. */
  restart(host: string, name: string): Promise<void>
}

/** The domains that were added by command. All of it throws an Error with a sentence. */
export interface AdminDomains {
  list(): readonly Domain[]
  /** Serves it from now on. */
  insert(host: string): Promise<void>
  /** Replaces its options; resolves with what could not be put in place, in words. */
  configure(host: string, options: Domain['options']): Promise<readonly string[]>
  /** Serves it no longer; with its accounts or without. Resolves with how many accounts were removed. */
  remove(host: string, withAccounts: boolean, caller: Pick<Caller, 'signal' | 'progress'>): Promise<number>
}

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
  /** What its clients see in TLS; undefined when the host is not served. */
  certificate(host: string): ShownCertificate | undefined
  /** What a module of that host provides; undefined when it is not loaded. */
  provided<K extends keyof Provided>(host: string, name: K): Provided[K] | undefined
  route(stanza: Stanza): void | Promise<void>
  /** Removes the account with everything that is kept for it, and ends its sessions. False if there was none. */
  removeAccount(user: string, host: string): Promise<boolean>
  readonly modules: AdminModules
  readonly domains: AdminDomains
  /** Reads the configuration again, or another file; `plan` says what would be done and does nothing. */
  reload(options: { readonly file?: string; readonly plan: boolean }): Promise<ReloadOutcome>
  /** Who has how much memory. */
  memory(): Promise<readonly MemoryHolder[]>
  /** Opens the log's file again; false when the log goes to no file. */
  reopenLog(): Promise<boolean>
  /** Ends the server after the answer has been sent, and starts it again in the same process. */
  restart(): void
  /** Ends the server after the answer has been sent. */
  stop(): void
}
