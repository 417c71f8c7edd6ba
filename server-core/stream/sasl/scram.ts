/** SCRAM (RFC 5802, RFC 7677), with and without channel binding, for one hash each. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import {
  type ScramHash,
  type ScramKeys,
  scramDigest,
  scramHmac,
  scramIterations,
  scramKeyLength,
} from '../../accounts/formats/scram.ts'
import { textOf } from '../../xmpp/utf8.ts'
import {
  type ChannelBindingType,
  channelBindingTypes,
  conditionOf,
  failure,
  mayActAs,
  type SaslCondition,
  type SaslContext,
  type SaslExchange,
  type SaslMechanism,
  type SaslStep,
  unlessUnavailable,
  userOf,
} from './mechanism.ts'

/** `nonce` is for tests that repeat the exchanges of the specifications. */
export function scram(hash: ScramHash, options: { plus: boolean; nonce?: () => string }): SaslMechanism {
  const name = `SCRAM-${hash}${options.plus ? '-PLUS' : ''}`
  const nonce = options.nonce ?? (() => randomBytes(24).toString('base64'))
  return {
    name,
    needsTls: options.plus,
    isOffered: ({ scramHashes, canBind }) => scramHashes.includes(hash) && (canBind || !options.plus),
    start: (context) => new ScramExchange(context, hash, options.plus, nonce),
  }
}

interface FirstMessage {
  /** The GS2 header as sent. */
  readonly header: string
  readonly binding: ChannelBindingType | undefined
  readonly user: string
  readonly bare: string
  readonly nonce: string
}

interface Waiting {
  readonly first: FirstMessage
  readonly serverFirst: string
  readonly nonce: string
  readonly keys: ScramKeys
  readonly isKnown: boolean
}

class ScramExchange implements SaslExchange {
  readonly #context: SaslContext
  readonly #hash: ScramHash
  readonly #plus: boolean
  readonly #nonce: () => string
  #waiting: Waiting | undefined

  constructor(context: SaslContext, hash: ScramHash, plus: boolean, nonce: () => string) {
    this.#context = context
    this.#hash = hash
    this.#plus = plus
    this.#nonce = nonce
  }

  async step(data: Buffer): Promise<SaslStep> {
    const text = textOf(data)
    const waiting = this.#waiting
    this.#waiting = undefined
    if (text === undefined) return failure('malformed-request', waiting?.first.user)
    return waiting === undefined ? this.#challenge(text) : this.#verify(text, waiting)
  }

  async #challenge(text: string): Promise<SaslStep> {
    const { authenticator, signal } = this.#context
    const first = this.#parse(text)
    if ('condition' in first) return failure(first.condition, first.user)
    return unlessUnavailable(first.user, async () => {
      const keys = await authenticator.scramKeys(first.user, this.#hash, signal)
      const shown = keys ?? this.#nobodys(first.user)
      const nonce = first.nonce + this.#nonce()
      const serverFirst = `r=${nonce},s=${shown.salt.toString('base64')},i=${shown.iterations}${this.#offer()}`
      this.#waiting = { first, serverFirst, nonce, keys: shown, isKnown: keys !== undefined }
      return { kind: 'challenge', data: Buffer.from(serverFirst) }
    })
  }

  async #verify(text: string, { first, serverFirst, nonce, keys, isKnown }: Waiting): Promise<SaslStep> {
    const { authenticator, signal } = this.#context
    // client-final-message = channel-binding "," nonce ["," extensions] "," proof (RFC 5802 §7)
    const [, withoutProof, channel, sentNonce, proofText] =
      /^(c=([A-Za-z0-9+/]+=*),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^\0,]+)*),p=([A-Za-z0-9+/]+=*)$/.exec(
        text,
      ) ?? []
    if (withoutProof === undefined || proofText === undefined) return failure('malformed-request', first.user)
    const proof = Buffer.from(proofText, 'base64')
    if (proof.length !== scramKeyLength(this.#hash)) return failure('malformed-request', first.user)
    if (sentNonce !== nonce || channel !== this.#channelInput(first))
      return failure('not-authorized', first.user)

    const message = `${first.bare},${serverFirst},${withoutProof}`
    const signature = scramHmac(this.#hash, keys.storedKey, message)
    const clientKey = proof.map((byte, index) => byte ^ (signature[index] ?? 0))
    const isRight = timingSafeEqual(scramDigest(this.#hash, Buffer.from(clientKey)), keys.storedKey)
    if (!isRight || !isKnown) return failure('not-authorized', first.user)
    return unlessUnavailable(first.user, async () => {
      const standing = await authenticator.standing(first.user, signal)
      if (!standing.ok) return failure(conditionOf(standing.reason), first.user)
      const data = Buffer.from(`v=${scramHmac(this.#hash, keys.serverKey, message).toString('base64')}`)
      return { kind: 'success', user: first.user, data, backend: standing.backend }
    })
  }

  /** client-first-message = gs2-header [reserved-mext ","] username "," nonce ["," extensions] (RFC 5802 §7). */
  #parse(text: string): FirstMessage | { condition: SaslCondition; user?: string } {
    const [, header, flag, authzidText, bare, userText, nonce] =
      /^((n|y|p=[A-Za-z0-9.-]+),(?:a=([^\0,]*))?,)(n=([^\0,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^\0,]+)*)$/.exec(
        text,
      ) ?? []
    if (header === undefined || flag === undefined || bare === undefined || nonce === undefined) {
      return { condition: 'malformed-request' }
    }
    const authzid = saslName(authzidText ?? '')
    const authcid = saslName(userText ?? '')
    const { host } = this.#context
    const user = authcid === undefined ? undefined : userOf(authcid, host)
    if (authzid === undefined || user === undefined) return { condition: 'malformed-request' }
    if (!mayActAs(authzid, user, host)) return { condition: 'invalid-authzid', user }
    const binding = this.#bindingType(flag)
    if (binding === 'refused') return { condition: 'not-authorized', user }
    return { header, binding, user, bare, nonce }
  }

  /** What the GS2 flag asks for (RFC 5802 §6). */
  #bindingType(flag: string): ChannelBindingType | undefined | 'refused' {
    if (this.#plus) {
      const type = channelBindingTypes.find((one) => flag === `p=${one}`)
      return type && this.#context.channelBinding?.data(type) ? type : 'refused'
    }
    // "y": the client could, and believes that we cannot; somebody between us has changed the list of mechanisms.
    if (flag === 'n' || (flag === 'y' && !offersBinding(this.#context.offered))) return undefined
    return 'refused'
  }

  /**
   * The attribute with the hash of what was offered (XEP-0474 §5.1), so that a client sees when somebody between us has changed the list; who
   * changes the hash as well spoils the proof. Code units sort as bytes do here: all of it is ASCII.
   */
  #offer(): string {
    const { offered, channelBinding, protectsOffer } = this.#context
    if (!protectsOffer) return ''
    const mechanisms = [...offered].sort().join('\x1e')
    const types = offersBinding(offered)
      ? `\x1f${[...(channelBinding?.types ?? [])].sort().join('\x1e')}`
      : ''
    return `,h=${scramDigest(this.#hash, Buffer.from(mechanisms + types)).toString('base64')}`
  }

  /** What the client must send as `c=`: the header again, and the data of the connection. */
  #channelInput({ header, binding }: FirstMessage): string | undefined {
    const data = binding === undefined ? Buffer.alloc(0) : this.#context.channelBinding?.data(binding)
    return data === undefined ? undefined : Buffer.concat([Buffer.from(header), data]).toString('base64')
  }

  /** Keys that nobody has the password of, always the same for one name, so that it looks like an account. */
  #nobodys(user: string): ScramKeys {
    const made = (what: string) =>
      createHmac('sha512', this.#context.serverSecret)
        .update(`${what}:${this.#hash}:${user}@${this.#context.host}`)
        .digest()
    return {
      hash: this.#hash,
      iterations: scramIterations[this.#hash],
      salt: made('salt').subarray(0, 16),
      storedKey: made('stored key').subarray(0, scramKeyLength(this.#hash)),
      serverKey: made('server key').subarray(0, scramKeyLength(this.#hash)),
    }
  }
}

/** Whether there is a -PLUS mechanism: only then is the list of channel-binding types shown (XEP-0440 §3). */
export function offersBinding(mechanisms: readonly string[]): boolean {
  return mechanisms.some((name) => name.endsWith('-PLUS'))
}

/** Undoes `=2C` and `=3D`; a `=` for anything else is an error (RFC 5802 §5.1). */
function saslName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text)) return undefined
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=')
}
