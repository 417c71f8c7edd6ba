/** What ties a login to the TLS connection that it runs in, so that nobody in between can pass it on. */
import { createHash } from 'node:crypto'
import type { SecureContext, TLSSocket } from 'node:tls'

export type BindingType = 'tls-exporter' | 'tls-server-end-point' | 'tls-unique'

export interface Binding {
  /** What is announced. */
  readonly types: readonly BindingType[]
  /** Of what is announced and what is accepted besides; undefined for what cannot be had on this connection. */
  data(type: BindingType): Buffer | undefined
}

/** The hash of a certificate's signature, by the algorithm's object identifier as DER; MD5 and SHA-1 give way (RFC 5929 §4.1). */
const signatureHashes: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040302': 'sha256', // ecdsa-with-SHA256
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}

/** A certificate of ours, and the hash for tls-server-end-point; undefined when its algorithm names none. */
interface Shown {
  readonly certificate: Buffer | undefined
  readonly hash: string | undefined
}

/** By the context that they are in: to have OpenSSL write one out costs as much as half of a login. */
const shownIn = new WeakMap<SecureContext, Shown>()

function shown(socket: TLSSocket, context: SecureContext): Shown {
  let known = shownIn.get(context)
  if (known === undefined) {
    const certificate = socket.getX509Certificate()?.raw
    const hash = certificate && signatureHashes[signatureAlgorithm(certificate) ?? '']
    known = { certificate, hash }
    shownIn.set(context, known)
  }
  return known
}

/** What a server's connection can be bound to; `context` is the one whose certificate it has shown. */
export function channelBinding(socket: TLSSocket, context: SecureContext): Binding {
  const types: BindingType[] = []
  // before TLS 1.3 the exporter's secret need not be unique to the connection (RFC 9266 §2)
  if (socket.getProtocol() === 'TLSv1.3') types.push('tls-exporter')
  const { certificate, hash } = shown(socket, context)
  if (hash !== undefined) types.push('tls-server-end-point')
  return {
    types,
    data(type) {
      // Older clients know nothing else, whatever the version of TLS (RFC 5929 §3). It is not announced: it must not be
      // used by those who know better (RFC 9266 §4).
      if (type === 'tls-unique') return firstFinished(socket)
      if (!types.includes(type)) return undefined
      if (type === 'tls-exporter') {
        return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
      }
      return certificate && hash ? createHash(hash).update(certificate).digest() : undefined
    },
  }
}

/** The first Finished message of the handshake: the client's, but the server's where a session was resumed. */
function firstFinished(socket: TLSSocket): Buffer | undefined {
  return socket.isSessionReused() ? socket.getFinished() : socket.getPeerFinished()
}

/** Certificate ::= SEQUENCE { tbsCertificate, SEQUENCE { OBJECT IDENTIFIER, … }, … } (RFC 5280 §4.1), as hex. */
function signatureAlgorithm(der: Buffer): string | undefined {
  const whole = tlv(der, 0)
  const signed = whole && tlv(der, whole.start)
  const algorithm = signed && tlv(der, signed.end)
  const id = algorithm && tlv(der, algorithm.start)
  return id?.tag === 0x06 ? der.toString('hex', id.start, id.end) : undefined
}

function tlv(der: Buffer, at: number): { tag: number; start: number; end: number } | undefined {
  const [tag, first] = [der[at], der[at + 1]]
  if (tag === undefined || first === undefined) return undefined
  const lengthBytes = first & 0x80 ? first & 0x7f : 0
  if (lengthBytes > 4 || at + 2 + lengthBytes > der.length) return undefined
  const start = at + 2 + lengthBytes
  const length = lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes)
  return { tag, start, end: start + length }
}
