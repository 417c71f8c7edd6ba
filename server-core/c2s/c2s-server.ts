/** What a client's session needs of the server around it. server.ts makes the only one. */
import type { SecureContext } from 'node:tls'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Throttle } from '../auth/throttle.ts'
import type { Config } from '../config/schema.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import type { OfflineService } from '../extend/provided.ts'
import type { Logger } from '../log.ts'
import type { AddressLimits } from '../net/address-limits.ts'
import type { Router } from '../routing/router.ts'
import type { SessionManager } from '../routing/session-manager.ts'

import type { ResumableSessions } from './stream-management.ts'

export interface C2sHost {
  readonly name: string
  readonly authenticator: Authenticator
  /** What stable salts for unknown users are made with; never leaves the server. */
  readonly serverSecret: Buffer
  /** The certificate's context; it changes when the certificate does. */
  readonly secureContext: SecureContext
  /** Whether clients are asked for a certificate in TLS, and may log in with it. */
  readonly asksForCertificate: boolean
  /** Whether clients may log in as before SASL (XEP-0078): mod_legacy_auth is loaded. */
  readonly legacyAuth: boolean
  /** Whether several people without an account may have one name at a time. */
  readonly sharesAnonymousNames: boolean
  readonly offline: OfflineService | undefined
}

export interface C2sServer {
  readonly config: Config
  readonly node: string
  /** The first configured host: who speaks when the client asked for one that is not ours. */
  readonly defaultHost: string
  host(name: string): C2sHost | undefined
  /** Whether any host asks clients for a certificate: before a client says whom it wants, it is asked then. */
  readonly asksForCertificates: boolean
  /** Somebody without an account is connected: resolves when that is durable. */
  noteAnonymous(user: string, host: string): Promise<void>
  /** Somebody without an account has gone, and all that was kept for him goes. */
  purgeAnonymous(user: string, host: string): Promise<void>
  readonly router: Router
  readonly sessions: SessionManager
  readonly hooks: HookRegistry
  readonly limits: AddressLimits
  readonly throttle: Throttle
  readonly resumable: ResumableSessions
  readonly log: Logger
}
