/** What the program is to do, whatever said so: flags, extauth.yml, or a gatehouse.yml. */

import { Authenticator, type NamedBackend } from '../server-core/auth/authenticator.ts'
import { type AuthBackend, BackendUnavailable } from '../server-core/auth/backend.ts'
import type { Operation } from '../server-core/extauth/packets.ts'
import type { LogFormat, Logger, LogLevel } from '../server-core/log.ts'
import type { HostKindName } from './host-kind.ts'
import type { FailureReply } from './wire.ts'

/** Absent: as the flags, the kind of the server or the program's defaults say. */
export interface Plan {
  readonly hostKind?: HostKindName | undefined
  readonly failureReply?: FailureReply | undefined
  /** What a password change that is refused is answered with; `error-frame`: as one that could not be made out. */
  readonly refusedSetpass?: FailureReply | undefined
  /** In milliseconds. */
  readonly deadline?: number | undefined
  readonly operations?: readonly Operation[] | undefined
  /** Passwords that ejabberd's `ban_account` sets close the account instead. */
  readonly banPrefix: boolean
  /** How long the answer to a wrong password may be held where it holds others, in milliseconds; 0: never, nowhere. */
  readonly throttle: number
  /** The backend that passwords are written to once another one has accepted them. */
  readonly learn?: string | undefined
  readonly daemon?: DaemonPlan | undefined
  readonly log?: LogPlan | undefined
  /** Where the metrics are written to, now and then. */
  readonly metricsFile?: string | undefined
  /** By prepared name; undefined: every host, with all backends. */
  readonly hosts: ReadonlyMap<string, readonly string[]> | undefined
  readonly backends: readonly PlannedBackend[]
}

export interface PlannedBackend extends NamedBackend {
  /** As in extauth.yml. */
  readonly type: string
  /** The files and folders that it works on, absolute: whoever runs the server needs them. */
  readonly paths: readonly string[]
}

/** Absent: as the program's defaults say. */
export interface LogPlan {
  readonly level?: LogLevel | undefined
  readonly file?: string | undefined
  readonly format?: LogFormat | undefined
}

/** The sockets of the daemon. */
export interface DaemonPlan {
  readonly path?: string | undefined
  readonly linePath?: string | undefined
  /** Permissions of both. */
  readonly mode: number
  readonly group?: string | undefined
  readonly maxConnections: number
  /** Loopback address for Prometheus. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined
}

const maxAuthenticators = 1000

/** A plan in use: the backends are open. */
export class Deployment {
  readonly plan: Plan
  /** The served hosts; undefined when every one is. */
  readonly hosts: readonly string[] | undefined
  readonly #log: Logger
  readonly #authenticators = new Map<string, Authenticator>()

  constructor(plan: Plan, log: Logger) {
    this.plan = plan
    this.hosts = plan.hosts === undefined ? undefined : [...plan.hosts.keys()]
    this.#log = log
  }

  /** Undefined when the host is not served. */
  authenticator(host: string): Authenticator | undefined {
    const known = this.#authenticators.get(host)
    if (known !== undefined) return known
    const made = this.#make(host)
    // Without a list of hosts the names are the server's to make up.
    if (made !== undefined && this.#authenticators.size < maxAuthenticators)
      this.#authenticators.set(host, made)
    return made
  }

  #make(host: string): Authenticator | undefined {
    const { hosts, backends } = this.plan
    if (hosts === undefined) return new Authenticator(host, backends, this.#log)
    const names = hosts.get(host)
    if (names === undefined) return undefined
    const chain = names.flatMap((name) => backends.find((backend) => backend.name === name) ?? [])
    return new Authenticator(host, chain, this.#log)
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.plan.backends.map(async ({ backend }) => backend.close?.()))
  }
}

/** In the place of a backend that cannot be made: it cannot find anything out. */
export function brokenBackend(reason: string): AuthBackend {
  const fail = async (): Promise<never> => {
    throw new BackendUnavailable(reason)
  }
  return { checkPassword: fail, accountExists: fail, setPassword: fail, register: fail, remove: fail }
}
