/**
 * How long somebody else's system takes to say no, to a password and to the question whether there is an account: in a chain both are
 * asked about a user whom it may not know, so nobody must come through sooner for whom it is not asked (CWE-208).
 */
import { RefusalTimes } from './refusal-times.ts'

export class QuestionTimes {
  readonly #passwords = new RefusalTimes()
  readonly #accounts = new RefusalTimes()

  /** What is answered to a question about a password. */
  async ofPassword<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
    return noted(this.#passwords, ask, isRight)
  }

  /** What is answered to the question whether there is an account. */
  async ofAccount(ask: () => Promise<boolean>): Promise<boolean> {
    return noted(this.#accounts, ask, (answer) => answer)
  }

  /** As long as a wrong password takes. Rejects with the signal's reason. */
  waitForPassword(signal: AbortSignal): Promise<void> {
    return this.#passwords.wait(performance.now(), { at: Number.POSITIVE_INFINITY, signal })
  }

  /** As long as an account takes that there is not. Rejects with the signal's reason. */
  waitForAccount(signal: AbortSignal): Promise<void> {
    return this.#accounts.wait(performance.now(), { at: Number.POSITIVE_INFINITY, signal })
  }
}

async function noted<T>(
  times: RefusalTimes,
  ask: () => Promise<T>,
  isYes: (answer: T) => boolean,
): Promise<T> {
  const began = performance.now()
  const answer = await ask()
  const ms = performance.now() - began
  if (isYes(answer)) times.accepted(ms)
  else times.refused(ms)
  return answer
}
