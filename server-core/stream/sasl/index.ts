/** The table of SASL mechanisms, best first, as they are offered. To add one: a file in this folder and a line here. */
import type { Authenticator } from '../../auth/authenticator.ts'
import { anonymous } from './anonymous.ts'
import { external } from './external.ts'
import type { ChannelBinding, Means, SaslMechanism } from './mechanism.ts'
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
export { conditionOf } from './mechanism.ts'
export { offersBinding } from './scram.ts'

const mechanisms: readonly SaslMechanism[] = [
  external,
  scram('SHA-512', { plus: true }),
  scram('SHA-256', { plus: true }),
  scram('SHA-1', { plus: true }),
  scram('SHA-512', { plus: false }),
  scram('SHA-256', { plus: false }),
  scram('SHA-1', { plus: false }),
  plain,
  anonymous,
]

export const saslMechanisms: ReadonlyMap<string, SaslMechanism> = new Map(
  mechanisms.map((mechanism) => [mechanism.name, mechanism]),
)

export interface OfferOptions {
  readonly secure: boolean
  readonly allowPlainInClear: boolean
  /** Absent, or without types: the connection cannot be bound to. */
  readonly channelBinding?: ChannelBinding | undefined
  readonly certificateUsers?: readonly string[]
}

/** What the accounts of this host can be served with on such a connection, best first. */
export async function mechanismsFor(
  authenticator: Authenticator,
  { secure, allowPlainInClear, channelBinding, certificateUsers = [] }: OfferOptions,
): Promise<readonly string[]> {
  const means: Means = {
    secure,
    allowPlainInClear,
    canBind: secure && channelBinding !== undefined && channelBinding.types.length > 0,
    passwords: authenticator.hasPasswords,
    scramHashes: await authenticator.scramHashes(),
    anonymous: authenticator.takesAnonymous,
    certificateUsers,
  }
  return mechanisms.filter((mechanism) => mechanism.isOffered(means)).map(({ name }) => name)
}
