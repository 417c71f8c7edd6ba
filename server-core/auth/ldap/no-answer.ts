/**
 * Why there is no answer. Never an answer itself: whoever catches it asks another server, or cannot find out.
 *
 * - unreachable: no connection, or the server does not let us in; nothing was asked
 * - lost: the question was sent and the answer never came
 * - troubled: the server answers that it cannot answer now
 * - busy: it is us who have no connection to spare, or no time left
 */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly kind: 'unreachable' | 'lost' | 'troubled' | 'busy'

  constructor(kind: NoAnswer['kind'], message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}
