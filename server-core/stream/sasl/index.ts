/** The table of SASL mechanisms, best first, as they are offered. To add one: a file in this folder and a line here. */
import type { Authenticator } from '../../auth/authenticator.ts'
import type { ChannelBinding, SaslMechanism } from './mechanism.ts'
import { plain } from './plain.ts'
import { scram } from './scram.ts'

export type {
  ChannelBinding,
  ChannelBindingType,
  SaslCondition,
  SaslContext,
  SaslExchange,
  SaslMechanism,
  SaslStep,
} from './mechanism.ts'

const mechanisms: readonly SaslMechanism[] = [
  scram('SHA-512', { plus: true }),
  scram('SHA-256', { plus: true }),
  scram('SHA-1', { plus: true }),
  scram('SHA-512', { plus: false }),
  scram('SHA-256', { plus: false }),
  scram('SHA-1', { plus: false }),
  plain,
]

export const saslMechanisms: ReadonlyMap<string, SaslMechanism> = new Map(
  mechanisms.map((mechanism) => [mechanism.name, mechanism]),
)

export interface OfferOptions {
  readonly secure: boolean
  /** PLAIN without TLS, for clients on this machine. */
  readonly allowPlainInClear: boolean
  /** Absent, or without types: the connection cannot be bound to. */
  readonly channelBinding?: ChannelBinding | undefined
}

/** What the accounts of this host can be served with on such a connection, best first. */
export async function mechanismsFor(
  authenticator: Authenticator,
  _host: string,
  { secure, allowPlainInClear, channelBinding }: OfferOptions,
): Promise<readonly string[]> {
  const hashes: readonly string[] = await authenticator.scramHashes()
  const canBind = secure && channelBinding !== undefined && channelBinding.types.length > 0
  const isOffered = ({ name, needsTls }: SaslMechanism): boolean => {
    const [, hash, plus] = /^SCRAM-(SHA-\d+)(-PLUS)?$/.exec(name) ?? []
    if (hash !== undefined) return hashes.includes(hash) && (plus === undefined || canBind)
    return secure || !needsTls || (name === 'PLAIN' && allowPlainInClear)
  }
  return mechanisms.filter(isOffered).map(({ name }) => name)
}
