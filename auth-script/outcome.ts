/** What a request came to, and what it has to heed until then. */

/** The reason is for the log. A failure is no answer: it could not be found out. */
export type Outcome =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly reason: string }
  | { readonly kind: 'failure'; readonly reason: string }

export interface Result {
  readonly outcome: Outcome
  readonly op?: string
  readonly user?: string
  readonly host?: string
  readonly backend?: string
}

export interface Signals {
  /** Aborts when the answer is due. */
  readonly deadline: AbortSignal
  /** Aborts also when nobody is there any more to learn of a change: then none is made. */
  readonly change: AbortSignal
  /** Holds the answer back for so many milliseconds, or for less where that would be too long for others. */
  hold(ms: number): Promise<void>
}
