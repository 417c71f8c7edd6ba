/** A served domain: its accounts, its certificate. */
import type { SecureContext } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import type { ShownCertificate } from './admin/admin-server.ts'
import type { Authenticator } from './auth/authenticator.ts'
import { openAuthenticator } from './auth/index.ts'
import type { C2sHost } from './c2s/c2s-server.ts'
import { type HostOptions, hostOptionNames } from './config/schema.ts'
import type { OfflineService } from './extend/provided.ts'
import { every } from './extend/timer.ts'
import type { Logger } from './log.ts'
import { certificateProblems, daysLeft } from './net/certificates.ts'
import { type CertificateFiles, HostCertificate } from './net/tls.ts'
import type { Storage } from './storage/storage.ts'

export interface VirtualHostOptions {
  readonly name: string
  readonly options: HostOptions
  readonly dataDir: string
  readonly secret: Buffer
  readonly storage: Storage
  readonly log: Logger
  /** What a module of this host provides for offline messages. */
  offline(): OfflineService | undefined
  /** Whether mod_legacy_auth is loaded. */
  legacyAuth(): boolean
  isAnonymous(user: string, host: string): boolean
  /** So many days are left of the certificate in these files. */
  certificateExpires(host: string, files: readonly string[], days: number): void
}

/** How often it is looked whether the certificate has changed, in milliseconds. */
const certificateInterval = 10_000

/** Logins that have begun when the authenticator is replaced have so long to end, in milliseconds. */
const retirement = 60_000

/** What new options need, opened and not yet used. */
export interface HostChange {
  readonly authenticator: Authenticator | undefined
  readonly certificate: HostCertificate | undefined
  commit(): void
  discard(): Promise<void>
}

export class VirtualHost implements C2sHost {
  readonly name: string
  readonly serverSecret: Buffer
  readonly #environment: VirtualHostOptions
  readonly #stopWatching: () => void
  readonly #offline: () => OfflineService | undefined
  readonly #retired = new Map<Authenticator, NodeJS.Timeout>()
  #options: HostOptions
  #authenticator: Authenticator
  #certificate: HostCertificate

  /** Rejects with an Error that says which file or backend is at fault. */
  static async open(options: VirtualHostOptions): Promise<VirtualHost> {
    const { name, dataDir, log } = options
    const authenticator = openAuthenticator(name, options)
    const certificate = await HostCertificate.open(name, filesOf(options.options), dataDir, log)
    return new VirtualHost(options, authenticator, certificate)
  }

  private constructor(
    options: VirtualHostOptions,
    authenticator: Authenticator,
    certificate: HostCertificate,
  ) {
    this.name = options.name
    this.serverSecret = options.secret
    this.#environment = options
    this.#options = options.options
    this.#authenticator = authenticator
    this.#certificate = certificate
    this.#offline = options.offline
    this.#stopWatching = every(certificateInterval, () => this.#watchCertificate(), options.log)
  }

  get options(): HostOptions {
    return this.#options
  }

  get authenticator(): Authenticator {
    return this.#authenticator
  }

  /**
   * Opens what these options need besides what is there. Rejects with an Error that says what is wrong; nothing is changed
   * before `commit`.
   */
  async prepare(options: HostOptions): Promise<HostChange> {
    const { name, dataDir, log } = this.#environment
    const changed = changedOptions(this.#options, options)
    const certificate = changed.some(isOfCertificate)
      ? await HostCertificate.open(name, filesOf(options), dataDir, log)
      : undefined
    const authenticator = changed.some((option) => !isOfCertificate(option))
      ? openAuthenticator(name, { ...this.#environment, options })
      : undefined
    return {
      authenticator,
      certificate,
      commit: () => {
        this.#options = options
        if (certificate) this.#certificate = certificate
        this.tellDaysLeft()
        if (!authenticator) return
        const before = this.#authenticator
        this.#authenticator = authenticator
        this.#retired.set(before, setTimeout(() => void this.#retire(before), retirement).unref())
      },
      discard: async () => authenticator?.close(),
    }
  }

  async #retire(authenticator: Authenticator): Promise<void> {
    clearTimeout(this.#retired.get(authenticator))
    this.#retired.delete(authenticator)
    try {
      await authenticator.close()
    } catch (err) {
      this.#environment.log.error({ err, host: this.name }, 'an authenticator could not be closed')
    }
  }

  get secureContext(): SecureContext {
    return this.#certificate.context
  }

  /** What clients see in TLS. */
  get certificate(): ShownCertificate {
    const { found } = this.#certificate
    return { ...found, daysLeft: daysLeft(found), problems: certificateProblems(found) }
  }

  get asksForCertificate(): boolean {
    return this.#certificate.asksClients
  }

  get legacyAuth(): boolean {
    return this.#environment.legacyAuth()
  }

  get sharesAnonymousNames(): boolean {
    return this.#options.allow_multiple_connections
  }

  get offline(): OfflineService | undefined {
    return this.#offline()
  }

  async #watchCertificate(): Promise<void> {
    await this.#certificate.refresh()
    this.tellDaysLeft()
  }

  /** Says when the certificate is about to end, to the log and to whoever listens: each time it is time to say so, once. */
  tellDaysLeft(): void {
    const { name, certificateExpires } = this.#environment
    const days = this.#certificate.daysToWarn()
    if (days !== undefined) certificateExpires(name, this.#options.certfiles, days)
  }

  async close(): Promise<void> {
    this.#stopWatching()
    for (const authenticator of [...this.#retired.keys()]) await this.#retire(authenticator)
    await this.#authenticator.close()
  }
}

function filesOf({ certfiles, c2s_cafile }: HostOptions): CertificateFiles {
  return { certfiles, cafiles: c2s_cafile }
}

/** Options that are about TLS; new connections see them. */
export function isOfCertificate(option: keyof HostOptions): boolean {
  return option === 'certfiles' || option === 'c2s_cafile'
}

/** The names of a host's own options that differ. */
export function changedOptions(before: HostOptions, now: HostOptions): (keyof HostOptions)[] {
  return hostOptionNames.filter((name) => !isDeepStrictEqual(before[name], now[name]))
}
