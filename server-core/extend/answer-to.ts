/** What is answered when something failed that had to be done for a stanza. */
import { BackendUnavailable } from '../auth/backend.ts'
import { StorageUnavailable } from '../storage/storage.ts'
import { StanzaError } from '../xmpp/errors.ts'

/**
 * A StanzaError is the answer itself. What could not be done or found out now may work later, and the sender is told so:
 * `wait`. Anything else is our mistake. Never the error's own text, which may hold what nobody outside shall read.
 */
export function answerTo(error: unknown): StanzaError {
  if (error instanceof StanzaError) return error
  if (error instanceof StorageUnavailable || error instanceof BackendUnavailable) return tryAgainLater()
  return new StanzaError('internal-server-error')
}

/** It could not be found out, or not be done, and may be later. */
export function tryAgainLater(): StanzaError {
  return new StanzaError('internal-server-error', 'this cannot be done now; try again later', {
    type: 'wait',
  })
}
