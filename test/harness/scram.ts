/** The client's half of SCRAM (RFC 5802), written here from node:crypto so that the server's own is checked by it. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

const hashes = { 'SCRAM-SHA-1': 'sha1', 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512' } as const

export interface ScramExchange {
  readonly first: string
  /** The final message for the server's challenge. */
  final(challenge: string): string
  /** Whether the server has proved that it knows the keys. */
  verify(success: string): boolean
}

/** `binding` is what the connection has for the type: with it the mechanism's -PLUS form is spoken. */
export function scram(
  mechanism: string,
  user: string,
  password: string,
  binding?: Buffer,
  type = 'tls-exporter',
): ScramExchange {
  const name = mechanism.replace(/-PLUS$/, '')
  const hash = hashes[name as keyof typeof hashes]
  if (hash === undefined) throw new Error(`the test client does not speak ${mechanism}`)
  const header = binding === undefined ? 'n,,' : `p=${type},,`
  const nonce = randomBytes(18).toString('base64')
  const bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`
  const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest()
  let signature: string | undefined
  return {
    first: header + bare,
    final(challenge) {
      const fields = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(challenge)
      const [, both, salt, iterations] = fields ?? []
      if (both === undefined || salt === undefined || !both.startsWith(nonce)) {
        throw new Error(`no SCRAM challenge for us: ${challenge}`)
      }
      const length = createHash(hash).digest().length
      const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), length, hash)
      const clientKey = hmac(salted, 'Client Key')
      const stored = createHash(hash).update(clientKey).digest()
      const channel = Buffer.concat([Buffer.from(header), binding ?? Buffer.alloc(0)]).toString('base64')
      const withoutProof = `c=${channel},r=${both}`
      const message = `${bare},${challenge},${withoutProof}`
      const proof = hmac(stored, message).map((byte, index) => byte ^ (clientKey[index] ?? 0))
      signature = hmac(hmac(salted, 'Server Key'), message).toString('base64')
      return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`
    },
    verify: (success) => signature !== undefined && success === `v=${signature}`,
  }
}

/** XEP-0474 §5.1, in the words of that specification. */
export function offerHash(
  mechanism: string,
  mechanisms: readonly string[],
  bindingTypes: readonly string[] | undefined,
): string {
  const hash = hashes[mechanism.replace(/-PLUS$/, '') as keyof typeof hashes]
  let s = [...mechanisms].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).join('\u001e')
  if (bindingTypes !== undefined) {
    s += '\u001f'
    s += [...bindingTypes].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).join('\u001e')
  }
  return createHash(hash).update(s).digest('base64')
}
