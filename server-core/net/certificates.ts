/**
 * What certificate files hold, and which of it serves a host: the certificate, its key, its chain, and what is wrong with
 * them. A file may hold keys and certificates in any order (ejabberd's `certfiles`).
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'

/** What one PEM file holds, in its order. */
export interface PemFile {
  readonly file: string
  readonly certificates: readonly X509Certificate[]
  readonly keys: readonly string[]
  /** Lists of revoked certificates, as PEM. */
  readonly revoked: readonly string[]
}

export interface HostsCertificate {
  /** The file that the certificate is in. */
  readonly file: string
  readonly key: string
  /** The host's own certificate, then those that vouch for it, as far as they were found; as PEM. */
  readonly chain: readonly string[]
  /** The names that it is valid for. */
  readonly names: readonly string[]
  /** Unix time in milliseconds. */
  readonly begins: number
  readonly expires: number
  readonly selfSigned: boolean
  /** Who has to vouch for the last of the chain and is not there; undefined when the chain is complete. */
  readonly missingIssuer: string | undefined
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g

/** Throws an Error that names the file and what is wrong with it. */
export function readPem(file: string, text: string): PemFile {
  const blocks = [...text.matchAll(pemBlock)].map(([block, kind = '']) => ({ block, kind }))
  const of = (wanted: (kind: string) => boolean) =>
    blocks.filter(({ kind }) => wanted(kind)).map(({ block }) => block)
  const keys = of((kind) => kind.endsWith('PRIVATE KEY'))
  const certificates = of((kind) => kind === 'CERTIFICATE').map((block) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new Error(`a certificate in ${file} cannot be read: ${(error as Error).message}`)
    }
  })
  for (const key of keys) readKey(file, key)
  const revoked = of((kind) => kind === 'X509 CRL')
  if (certificates.length + keys.length + revoked.length === 0)
    throw new Error(`${file} holds no certificate or private key`)
  return { file, certificates, keys, revoked }
}

function readKey(file: string, key: string): KeyObject {
  try {
    return createPrivateKey(key)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isLocked = code === 'ERR_MISSING_PASSPHRASE' || /ENCRYPTED/.test(key)
    const why = isLocked
      ? 'it has a passphrase; take that off, and let only this server read the file'
      : message
    throw new Error(`the private key in ${file} cannot be used: ${why}`)
  }
}

/**
 * The certificate that is valid for the host, with its key and chain from whichever files have them; of several the one that
 * is valid longest. Undefined when all are for others. Throws an Error when the key is missing.
 */
export function chooseCertificate(host: string, files: readonly PemFile[]): HostsCertificate | undefined {
  const keys = files.flatMap((file) => file.keys.map((pem) => ({ pem, key: readKey(file.file, pem) })))
  const pool = files.flatMap((file) => file.certificates)
  let best: { file: string; key: string; leaf: X509Certificate } | undefined
  for (const { file, certificates } of files) {
    for (const leaf of certificates) {
      if (leaf.ca || leaf.checkHost(host) === undefined) continue
      const key = keys.find((one) => leaf.checkPrivateKey(one.key))?.pem
      if (key === undefined) {
        throw new Error(`the private key of the certificate in ${file} is in none of the certificate files`)
      }
      if (!best || expiry(best.leaf) < expiry(leaf)) best = { file, key, leaf }
    }
  }
  if (!best) return undefined
  const { file, key, leaf } = best
  const { chain, missingIssuer } = chainOf(leaf, pool)
  return {
    file,
    key,
    chain: chain.map(String),
    names: namesOf(leaf),
    begins: Date.parse(leaf.validFrom),
    expires: expiry(leaf),
    selfSigned: isSelfSigned(leaf),
    missingIssuer,
  }
}

/** A self-signed root need not be sent: who trusts it has it (RFC 8446 §4.4.2). */
function chainOf(leaf: X509Certificate, pool: readonly X509Certificate[]) {
  const chain = [leaf]
  for (let last = leaf; ; ) {
    if (isSelfSigned(last)) break
    const next = pool.find((one) => one.ca && !chain.includes(one) && isIssuedBy(last, one))
    if (!next) {
      const known = rootCertificates.some((root) => isIssuedBy(last, new X509Certificate(root)))
      return { chain, missingIssuer: known ? undefined : inOneLine(last.issuer) }
    }
    if (isSelfSigned(next)) break
    chain.push(next)
    last = next
  }
  return { chain, missingIssuer: undefined }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

/** Also where it is not meant to vouch for others. */
function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey)
}

function expiry(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo)
}

function inOneLine(name: string): string {
  return name.replaceAll('\n', ', ')
}

/** Host names alone; the subject's where there are none. */
function namesOf({ subjectAltName, subject }: X509Certificate): readonly string[] {
  const names = [...(subjectAltName ?? '').matchAll(/(?:^|, )DNS:([^",]+)(?=, |$)/g)].map(
    ([, name = '']) => name,
  )
  const common = /^CN=(.+)$/m.exec(subject)?.[1]
  return names.length > 0 || common === undefined ? names : [common]
}

const day = 86_400_000
/** Days before the end of a certificate at which it is said. */
export const warningDays = [21, 7, 1] as const

export function daysLeft(certificate: Pick<HostsCertificate, 'expires'>, now = Date.now()): number {
  return Math.floor((certificate.expires - now) / day)
}

/** What clients will not like, in words; empty when all is well. */
export function certificateProblems(certificate: HostsCertificate, now = Date.now()): readonly string[] {
  const { begins, expires, file, missingIssuer } = certificate
  const date = (time: number) => new Date(time).toISOString().slice(0, 10)
  const days = daysLeft(certificate, now)
  const problems: string[] = []
  if (expires <= now) problems.push(`has ended on ${date(expires)}; renew it`)
  else if (begins > now) problems.push(`begins on ${date(begins)} only`)
  else if (days <= warningDays[0])
    problems.push(`ends in ${days} ${days === 1 ? 'day' : 'days'}, on ${date(expires)}`)
  if (missingIssuer !== undefined)
    problems.push(`is issued by ${missingIssuer}, whose certificate is not there; add it to ${file}`)
  return problems
}
