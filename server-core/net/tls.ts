/**
 * Certificates by host: the configured files, else a self-signed one that is made at the first start and kept in the data
 * folder. A file may hold keys and chains in any order (ejabberd's `certfiles`).
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
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

/** Throws an Error that names the file and what is wrong with it. */
export async function loadCertificate(
  host: string,
  certfiles: readonly string[],
  dataDir: string,
  log: Logger,
): Promise<Certificate> {
  for (const file of certfiles) {
    const pem = await readFile(file, 'utf8')
    const certificate = fromPem(host, file, pem, false)
    if (certificate) return certificate
  }
  if (certfiles.length > 0) {
    log.warn({ host, certfiles }, 'no certificate file is for this host; a self-signed certificate is used')
  }
  return selfSigned(host, dataDir, log)
}

/** The certificate in that text when it is valid for the host; undefined when it is for others. */
function fromPem(host: string, file: string, pem: string, isSelfSigned: boolean): Certificate | undefined {
  const blocks = [...pem.matchAll(pemBlock)]
  const chain = blocks.filter((block) => block[1] === 'CERTIFICATE').map((block) => block[0])
  const key = blocks.find((block) => block[1]?.endsWith('PRIVATE KEY'))?.[0]
  const [leaf] = chain
  if (leaf === undefined || key === undefined)
    throw new Error(`${file} holds no certificate with its private key`)
  const x509 = new X509Certificate(leaf)
  if (!x509.checkPrivateKey(createPrivateKey(key)))
    throw new Error(`the key in ${file} is not the certificate's`)
  if (x509.checkHost(host) === undefined) return undefined
  return {
    host,
    context: createSecureContext({ key, cert: chain.join('\n'), minVersion: 'TLSv1.2' }),
    selfSigned: isSelfSigned,
    expires: Date.parse(x509.validTo),
  }
}

async function selfSigned(host: string, dataDir: string, log: Logger): Promise<Certificate> {
  const folder = join(dataDir, 'certificates')
  const file = join(folder, `${host.replaceAll(/[^A-Za-z0-9.-]/g, '_')}.pem`)
  const kept = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const before = kept === undefined ? undefined : fromPem(host, file, kept, true)
  if (before && before.expires > Date.now()) return before
  const pem = await makeSelfSigned(host)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(file, pem, { mode: 0o600 })
  log.info({ host, file }, 'made a self-signed certificate')
  const made = fromPem(host, file, pem, true)
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
