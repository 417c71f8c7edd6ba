/** EXTERNAL (RFC 4422 appendix A) by the certificate that the client has shown in TLS (XEP-0178 §2). */
import { textOf } from '../../xmpp/utf8.ts'
import {
  conditionOf,
  failure,
  mayActAs,
  type SaslContext,
  type SaslMechanism,
  type SaslStep,
  unlessUnavailable,
} from './mechanism.ts'

export const external: SaslMechanism = {
  name: 'EXTERNAL',
  needsTls: true,
  isOffered: ({ secure, certificateUsers }) => secure && certificateUsers.length > 0,
  start: (context) => ({ step: (data) => check(context, data) }),
}

async function check(context: SaslContext, data: Buffer): Promise<SaslStep> {
  const authzid = textOf(data)
  if (authzid === undefined || authzid.includes('\0')) return failure('malformed-request')
  const user = chosen(context, authzid)
  if (user === undefined) return failure('invalid-authzid')
  return unlessUnavailable(user, async () => {
    const standing = await context.authenticator.standing(user, context.signal)
    if (standing.ok) return { kind: 'success', user, backend: standing.backend }
    return failure(conditionOf(standing.reason), user)
  })
}

/** The address that the client names; it need name none when its certificate has only one. */
function chosen({ certificateUsers, host }: SaslContext, authzid: string): string | undefined {
  if (authzid === '') return certificateUsers.length === 1 ? certificateUsers[0] : undefined
  return certificateUsers.find((user) => mayActAs(authzid, user, host))
}
