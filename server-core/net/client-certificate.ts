/** The certificate that a client has shown, and the addresses that it is for (XEP-0178 §2, RFC 6120 §13.7.1.4). */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/**
 * The addresses (id-on-xmppAddr) in a client's certificate, as written. Empty when it has shown none, or one that the
 * authorities of the connection's context do not vouch for now.
 */
export function addressesInCertificate(socket: TLSSocket): readonly string[] {
  const certificate = isTrusted(socket) ? socket.getPeerX509Certificate() : undefined
  return certificate ? xmppAddresses(certificate) : []
}

/**
 * OpenSSL's verdict. Node shows it as `authorized` on connections of its own TLS servers only, not on those that began in the
 * clear; without it nobody is trusted.
 */
function isTrusted(socket: TLSSocket): boolean {
  const { ssl } = socket as { ssl?: { verifyError?(): Error | null } }
  return ssl?.verifyError?.() === null
}

/** One alternative name: its kind and value, where characters that could be taken for others are in a JSON string. */
const alternativeName = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy

/** Empty also when the text is not of Node's form. */
function xmppAddresses(certificate: X509Certificate): readonly string[] {
  const text = certificate.subjectAltName ?? ''
  const names = [...text.matchAll(alternativeName)]
  if (names.reduce((length, [whole]) => length + whole.length, 0) !== text.length) return []
  return names.flatMap(([, kind, value = '']) => {
    const name: unknown = kind !== 'othername' ? '' : value.startsWith('"') ? JSON.parse(value) : value
    return typeof name === 'string' && name.startsWith('XmppAddr:') ? [name.slice('XmppAddr:'.length)] : []
  })
}
