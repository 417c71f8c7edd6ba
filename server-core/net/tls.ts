/**
 * Certificates by host: the configured files, else a self-signed one that is made at the first start and kept in the data
 * folder.
 */
import { constants, createHash } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Logger } from '../log.ts'
import {
  chooseCertificate,
  daysLeft,
  type HostsCertificate,
  type PemFile,
  readPem,
  warningDays,
} from './certificates.ts'
import { makeSelfSigned } from './self-signed.ts'

export interface Certificate {
  readonly host: string
  readonly context: SecureContext
  readonly found: HostsCertificate
}

/** PEM files. */
export interface CertificateFiles {
  /** Certificates with their chains, and keys. */
  readonly certfiles: readonly string[]
  /** Authorities whose word is taken for clients' certificates; none: clients are not asked for any. */
  readonly cafiles: readonly string[]
}

/** Rejects with an Error that names the file and what is wrong with it. */
export async function loadCertificate(
  host: string,
  { certfiles, cafiles }: CertificateFiles,
  dataDir: string,
  log: Logger,
): Promise<Certificate> {
  const [files, authorities] = await Promise.all([readAll(certfiles), readAll(cafiles)])
  const trust = trustIn(authorities)
  const found = chooseCertificate(host, files)
  if (found) return secured(host, found, trust)
  if (certfiles.length > 0) {
    log.warn({ host, certfiles }, 'no certificate file is for this host; a self-signed certificate is used')
  }
  return selfSigned(host, trust, dataDir, log)
}

function readAll(files: readonly string[]): Promise<PemFile[]> {
  return Promise.all(files.map(async (file) => readPem(file, await readFile(file, 'utf8'))))
}

/** A host's certificate while the server runs: taken anew when its files change. */
export class HostCertificate {
  readonly #host: string
  readonly #files: CertificateFiles
  readonly #dataDir: string
  readonly #log: Logger
  #current: Certificate
  #state: string
  #warned = Number.POSITIVE_INFINITY

  static async open(
    host: string,
    files: CertificateFiles,
    dataDir: string,
    log: Logger,
  ): Promise<HostCertificate> {
    const state = await stateOf(files)
    const first = await loadCertificate(host, files, dataDir, log)
    return new HostCertificate(host, files, dataDir, log, first, state)
  }

  private constructor(
    host: string,
    files: CertificateFiles,
    dataDir: string,
    log: Logger,
    first: Certificate,
    state: string,
  ) {
    this.#host = host
    this.#files = files
    this.#dataDir = dataDir
    this.#log = log
    this.#current = first
    this.#state = state
    this.#tellProblems()
  }

  /** What clients see. */
  get found(): HostsCertificate {
    return this.#current.found
  }

  /** A chain that cannot be followed and the like; the end of the certificate is told apart. */
  #tellProblems(): void {
    const { file, missingIssuer } = this.found
    if (missingIssuer === undefined) return
    this.#log.warn(
      { host: this.#host, file, issuer: missingIssuer },
      'the chain of the certificate is not complete',
    )
  }

  get context(): SecureContext {
    return this.#current.context
  }

  /** Whether clients are asked for a certificate: there are authorities to vouch for it. */
  get asksClients(): boolean {
    return this.#files.cafiles.length > 0
  }

  /** True when another certificate is used from now on. A file that cannot be used is logged, and changes nothing. */
  async refresh(): Promise<boolean> {
    const state = await stateOf(this.#files)
    if (state === this.#state) return false
    this.#state = state
    try {
      this.#current = await loadCertificate(this.#host, this.#files, this.#dataDir, this.#log)
    } catch (error) {
      this.#log.error(
        { host: this.#host, reason: (error as Error).message },
        'the new certificate cannot be used; the one before it stays',
      )
      return false
    }
    this.#warned = Number.POSITIVE_INFINITY
    const { file, expires } = this.found
    this.#log.info(
      { host: this.#host, file, expires: new Date(expires).toISOString() },
      'certificate renewed',
    )
    this.#tellProblems()
    return true
  }

  /** The days that are left, when it is time to say so: once at 21, 7 and 1. */
  daysToWarn(now = Date.now()): number | undefined {
    const days = daysLeft(this.found, now)
    const limit = warningDays.filter((one) => days <= one).at(-1)
    if (limit === undefined || limit >= this.#warned) return undefined
    this.#warned = limit
    this.#log.warn(
      { host: this.#host, days },
      days < 0 ? 'the certificate has ended' : 'the certificate ends soon',
    )
    return days
  }
}

/** Changes when a file does. */
async function stateOf({ certfiles, cafiles }: CertificateFiles): Promise<string> {
  const states = [...certfiles, ...cafiles].map(async (file) => {
    const { ino, size, mtimeMs } = await stat(file).catch(() => ({ ino: 0, size: 0, mtimeMs: 0 }))
    return `${ino} ${size} ${mtimeMs}`
  })
  return (await Promise.all(states)).join('\n')
}

/** Whose word is taken for a client's certificate. */
type Trust = Pick<SecureContextOptions, 'ca' | 'crl'>

function trustIn(files: readonly PemFile[]): Trust {
  const ca = files.flatMap(({ certificates }) => certificates.map(String))
  const crl = files.flatMap(({ revoked }) => revoked)
  return { ...(ca.length > 0 ? { ca } : {}), ...(crl.length > 0 ? { crl } : {}) }
}

function secured(host: string, found: HostsCertificate, trust: Trust): Certificate {
  const context = createSecureContext({
    key: found.key,
    cert: found.chain.join('\n'),
    minVersion: 'TLSv1.2',
    // who has logged in stays who he is (RFC 6120 §5.3.5)
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...trust,
    // a session in which a client has shown its certificate is continued with this host only
    sessionIdContext: createHash('sha256').update(host).digest('hex').slice(0, 32),
  })
  return { host, context, found }
}

async function selfSigned(host: string, trust: Trust, dataDir: string, log: Logger): Promise<Certificate> {
  const folder = join(dataDir, 'certificates')
  const file = join(folder, `${host.replaceAll(/[^A-Za-z0-9.-]/g, '_')}.pem`)
  const kept = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const before = kept === undefined ? undefined : chooseCertificate(host, [readPem(file, kept)])
  if (before && before.expires > Date.now()) return secured(host, before, trust)
  const pem = await makeSelfSigned(host)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(file, pem, { mode: 0o600 })
  log.info({ host, file }, 'made a self-signed certificate')
  const made = chooseCertificate(host, [readPem(file, pem)])
  if (!made) throw new Error(`the self-signed certificate in ${file} is not valid for ${host}`)
  return secured(host, made, trust)
}
