/** What an XMPP server's configuration says about authentication, in one shape whichever server it is. */
import type { HostKindName } from '../host-kind.ts'

/** A value and where it is written. */
export interface Setting<T = unknown> {
  readonly value: T
  /** `ejabberd.yml:12` */
  readonly place: string
}

export interface HostSettings {
  readonly host: string
  readonly methods: Setting<readonly string[]>
  /** Whether `methods` is written for this host alone. */
  readonly hasOwnMethods: boolean
  readonly program: Setting<string> | undefined
  /** Processes of one pool. */
  readonly poolSize: Setting<number> | undefined
  readonly poolName: Setting<string> | undefined
  /** How long the server waits for an answer, in milliseconds. */
  readonly patience: Setting<number>
  /** Whether the server remembers answers. */
  readonly cache: boolean
  /** The module by which users change their passwords from their clients. */
  readonly register: Setting | undefined
  /** The option that promises SCRAM, which this protocol cannot do. */
  readonly scram: Setting | undefined
}

export interface ServerSettings {
  readonly kind: HostKindName
  readonly file: string
  /** The name of the program that hosts it, for people. */
  readonly name: string
  readonly version: string | undefined
  /** The user that it usually runs as. */
  readonly user: string
  readonly hosts: readonly HostSettings[]
  /** Options that are accepted and do nothing. */
  readonly dead: readonly (Setting & { readonly option: string })[]
  /** Listeners that take passwords without TLS. */
  readonly clearListeners: readonly Setting[]
  /** What could not be understood. */
  readonly complaints: readonly string[]
  readonly words: ServerWords
}

/** The options by this server's names. */
export interface ServerWords {
  readonly methods: string
  readonly program: string
  readonly poolSize: string
  /** How many processes a pool has when nothing is said. */
  readonly usualPoolSize: 'cpus' | number
  /** Lines to paste. */
  paste(program: string, poolSize: number, hasManyHosts: boolean): string
}

export function asList(value: unknown): readonly string[] {
  return (Array.isArray(value) ? value : [value])
    .filter((one) => one !== undefined && one !== null)
    .map(String)
}
