/** PLAIN (RFC 4616): the password itself, so over TLS only. */
import { preparedPassword } from '../../accounts/password.ts'
import { textOf } from '../../xmpp/utf8.ts'
import {
  conditionOf,
  failure,
  mayActAs,
  type SaslContext,
  type SaslMechanism,
  type SaslStep,
  unlessUnavailable,
  userOf,
} from './mechanism.ts'

export const plain: SaslMechanism = {
  name: 'PLAIN',
  needsTls: true,
  isOffered: ({ passwords, secure, allowPlainInClear }) => passwords && (secure || allowPlainInClear),
  start: (context) => ({ step: (data) => check(context, data) }),
}

async function check(context: SaslContext, data: Buffer): Promise<SaslStep> {
  const { authenticator, host, signal } = context
  const message = split(data)
  if (message === undefined) return failure('malformed-request')
  const { authzid, authcid, password } = message
  const user = userOf(authcid, host)
  if (user === undefined) return failure('malformed-request')
  if (!mayActAs(authzid, user, host)) return failure('invalid-authzid', user)
  return unlessUnavailable(user, async () => {
    const answer = await authenticator.checkPassword(user, password, signal)
    if (answer.ok) return { kind: 'success', user, backend: answer.backend }
    const condition = conditionOf(answer.reason)
    // Some backends take any bytes for a password, so this is said only when none did.
    const isNone = condition === 'not-authorized' && preparedPassword(password) === undefined
    return failure(isNone ? 'malformed-request' : condition, user)
  })
}

/** message = [authzid] NUL authcid NUL passwd, none of the last two empty (RFC 4616 §2). */
function split(data: Buffer): { authzid: string; authcid: string; password: Buffer } | undefined {
  const first = data.indexOf(0)
  const second = data.indexOf(0, first + 1)
  if (first === -1 || second === -1 || data.includes(0, second + 1)) return undefined
  const authzid = textOf(data.subarray(0, first))
  const authcid = textOf(data.subarray(first + 1, second))
  const password = data.subarray(second + 1)
  if (authzid === undefined || authcid === undefined || password.length === 0) return undefined
  return { authzid, authcid, password }
}
