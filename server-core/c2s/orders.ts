/** Orders of the server to end a session, each with what its client is told. */
import type { SessionEvent } from '../routing/session.ts'
import { StreamError } from '../xmpp/errors.ts'

/** Undefined when the event is no such order. */
export function orderToEnd(event: SessionEvent): StreamError | undefined {
  switch (event.type) {
    case 'replaced':
      return new StreamError('conflict', 'Replaced by new connection')
    case 'kicked':
    case 'banned':
      return new StreamError('conflict', event.reason)
    case 'account-removed':
      return new StreamError('not-authorized', 'The account has been removed')
    case 'shutdown':
      return new StreamError('system-shutdown', event.reason)
    default:
      return undefined
  }
}
