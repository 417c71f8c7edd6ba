/** A served domain: its accounts, its certificate. */
import type { SecureContext } from 'node:tls'
import type { Authenticator } from './auth/authenticator.ts'
import { openAuthenticator } from './auth/index.ts'
import type { C2sHost } from './c2s/c2s-server.ts'
import type { HostOptions } from './config/schema.ts'
import type { OfflineService } from './extend/provided.ts'
import { every } from './extend/timer.ts'
import type { Logger } from './log.ts'
import { HostCertificate } from './net/tls.ts'
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
  /** So many days are left of the certificate in these files. */
  certificateExpires(host: string, files: readonly string[], days: number): void
}

/** How often it is looked whether the certificate has changed, in milliseconds. */
const certificateInterval = 10_000

export class VirtualHost implements C2sHost {
  readonly name: string
  readonly authenticator: Authenticator
  readonly serverSecret: Buffer
  readonly #certificate: HostCertificate
  readonly #stopWatching: () => void
  readonly #offline: () => OfflineService | undefined

  /** Rejects with an Error that says which file or backend is at fault. */
  static async open(options: VirtualHostOptions): Promise<VirtualHost> {
    const { name, dataDir, log } = options
    const authenticator = openAuthenticator(name, options)
    const certificate = await HostCertificate.open(name, options.options.certfiles, dataDir, log)
    return new VirtualHost(options, authenticator, certificate)
  }

  private constructor(
    options: VirtualHostOptions,
    authenticator: Authenticator,
    certificate: HostCertificate,
  ) {
    this.name = options.name
    this.serverSecret = options.secret
    this.authenticator = authenticator
    this.#certificate = certificate
    this.#offline = options.offline
    this.#stopWatching = every(certificateInterval, () => this.#watchCertificate(options), options.log)
  }

  get secureContext(): SecureContext {
    return this.#certificate.context
  }

  get offline(): OfflineService | undefined {
    return this.#offline()
  }

  async #watchCertificate({ name, options, certificateExpires }: VirtualHostOptions): Promise<void> {
    await this.#certificate.refresh()
    const days = this.#certificate.daysToWarn()
    if (days !== undefined) certificateExpires(name, options.certfiles, days)
  }

  close(): Promise<void> {
    this.#stopWatching()
    return this.authenticator.close()
  }
}
