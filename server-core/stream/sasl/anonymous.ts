/** ANONYMOUS (RFC 4505, XEP-0175): a user who is nobody's, for as long as the session lasts. */
import { textOf } from '../../xmpp/utf8.ts'
import { failure, type SaslContext, type SaslMechanism, type SaslStep } from './mechanism.ts'

/** In characters (RFC 4505 §2). */
const maxTrace = 255

export const anonymous: SaslMechanism = {
  name: 'ANONYMOUS',
  needsTls: false,
  isOffered: (means) => means.anonymous,
  start: (context) => ({ step: async (data) => join(context, data) }),
}

/** What the client says of itself is checked and not used: nothing proves it. */
function join({ authenticator }: SaslContext, data: Buffer): SaslStep {
  const trace = textOf(data)
  if (trace === undefined || [...trace].length > maxTrace) return failure('malformed-request')
  const joined = authenticator.joinAnonymously()
  return joined ? { kind: 'success', ...joined } : failure('not-authorized')
}
