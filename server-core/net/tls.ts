/**
 * Certificates by host: the configured files, else a self-signed one that is made at the first start and kept in the data
 * folder. A file may hold keys and chains in any order (ejabberd's `certfiles`).
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Logger } from '../log.ts'

export interface Certificate {
  readonly host: string
  readonly context: SecureContext
  readonly selfSigned: boolean
  /** Unix time in milliseconds. */
  readonly expires: number
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g
const selfSignedDays = 3_650

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
  const certificate = choose(host, files, trust)
  if (certificate) return certificate
  if (certfiles.length > 0) {
    log.warn({ host, certfiles }, 'no certificate file is for this host; a self-signed certificate is used')
  }
  return selfSigned(host, trust, dataDir, log)
}

function readAll(files: readonly string[]): Promise<PemFile[]> {
  return Promise.all(files.map(async (file) => readPem(file, await readFile(file, 'utf8'))))
}

/** Days before the end of a certificate at which it is said. */
const warnings = [21, 7, 1]
const day = 86_400_000

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
    this.daysToWarn()
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
    this.#log.info(
      { host: this.#host, expires: new Date(this.#current.expires).toISOString() },
      'certificate renewed',
    )
    return true
  }

  /** The days that are left, when it is time to say so: once at 21, 7 and 1. */
  daysToWarn(now = Date.now()): number | undefined {
    const days = Math.floor((this.#current.expires - now) / day)
    const limit = warnings.filter((one) => days <= one).at(-1)
    if (limit === undefined || limit >= this.#warned) return undefined
    this.#warned = limit
    this.#log.warn({ host: this.#host, days }, 'the certificate ends soon')
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

/** What one PEM file holds, in its order. */
interface PemFile {
  readonly file: string
  readonly chain: readonly string[]
  readonly keys: readonly string[]
  /** Lists of revoked certificates. */
  readonly revoked: readonly string[]
}

function readPem(file: string, text: string): PemFile {
  const blocks = [...text.matchAll(pemBlock)]
  const chain = blocks.filter((block) => block[1] === 'CERTIFICATE').map((block) => block[0])
  const keys = blocks.filter((block) => block[1]?.endsWith('PRIVATE KEY')).map((block) => block[0])
  const revoked = blocks.filter((block) => block[1] === 'X509 CRL').map((block) => block[0])
  if (chain.length + keys.length + revoked.length === 0)
    throw new Error(`${file} holds no certificate or private key`)
  return { file, chain, keys, revoked }
}

/** Whose word is taken for a client's certificate. */
type Trust = Pick<SecureContextOptions, 'ca' | 'crl'>

function trustIn(files: readonly PemFile[]): Trust {
  const ca = files.flatMap(({ chain }) => chain)
  const crl = files.flatMap(({ revoked }) => revoked)
  return { ...(ca.length > 0 ? { ca } : {}), ...(crl.length > 0 ? { crl } : {}) }
}

/**
 * The certificate that is valid for the host, with its key from whichever file has it; of several the one that is valid
 * longest. Undefined when all are for others. Throws an Error when the key is missing.
 */
function choose(
  host: string,
  files: readonly PemFile[],
  trust: Trust,
  isSelfSigned = false,
): Certificate | undefined {
  const keys = files.flatMap((file) => file.keys)
  let best: Certificate | undefined
  for (const { file, chain } of files) {
    const [leaf] = chain
    if (leaf === undefined) continue
    const x509 = new X509Certificate(leaf)
    if (x509.checkHost(host) === undefined) continue
    const key = keys.find((one) => x509.checkPrivateKey(createPrivateKey(one)))
    if (key === undefined) {
      throw new Error(`the private key of the certificate in ${file} is in none of the certificate files`)
    }
    const expires = Date.parse(x509.validTo)
    if (best && best.expires >= expires) continue
    const context = createSecureContext({
      key,
      cert: chain.join('\n'),
      minVersion: 'TLSv1.2',
      ...trust,
      // a session in which a client has shown its certificate is continued with this host only
      sessionIdContext: createHash('sha256').update(host).digest('hex').slice(0, 32),
    })
    best = { host, context, selfSigned: isSelfSigned, expires }
  }
  return best
}

async function selfSigned(host: string, trust: Trust, dataDir: string, log: Logger): Promise<Certificate> {
  const folder = join(dataDir, 'certificates')
  const file = join(folder, `${host.replaceAll(/[^A-Za-z0-9.-]/g, '_')}.pem`)
  const kept = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const before = kept === undefined ? undefined : choose(host, [readPem(file, kept)], trust, true)
  if (before && before.expires > Date.now()) return before
  const pem = await makeSelfSigned(host)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(file, pem, { mode: 0o600 })
  log.info({ host, file }, 'made a self-signed certificate')
  const made = choose(host, [readPem(file, pem)], trust, true)
  if (!made) throw new Error(`the self-signed certificate in ${file} is not valid for ${host}`)
  return made
}

async function makeSelfSigned(host: string): Promise<string> {
  const { generate } = await import('selfsigned')
  const now = Date.now()
  const pems = await generate([{ name: 'commonName', value: host }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - 3_600_000),
    notAfterDate: new Date(now + selfSignedDays * 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: host }] },
    ],
  })
  return `${pems.cert}\n${pems.private}\n`
}
