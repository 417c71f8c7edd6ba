/**
 * The small JSON contract for somebody's own system, whatever carries it (HTTP, a program's pipes): one request object, one
 * answer object. docs/extauth.md describes it to its users.
 */
import { z } from 'zod'
import { type AuthBackend, BackendUnavailable, type Verdict } from './backend.ts'
import { RefusalTimes } from './refusal-times.ts'

export interface JsonRequest {
  readonly op: 'auth' | 'isuser' | 'setpass' | 'tryregister' | 'removeuser'
  readonly user: string
  readonly host: string
  readonly password?: string
  /** In place of `password` when its bytes are no UTF-8. */
  readonly password_base64?: string
}

const answerSchema = z.object({
  result: z.boolean(),
  // One that nobody knows is no reason to doubt the result.
  reason: z
    .enum(['unknown', 'wrong', 'disabled', 'expired', 'refused', 'exists'])
    .optional()
    .catch(undefined),
})

export type JsonAnswer = z.output<typeof answerSchema>

/** Longest answer, in bytes: a yes or no needs less. */
export const maxAnswerBytes = 65_536

/** Throws BackendUnavailable for whatever is not an answer: it must never count as one. */
export function readAnswer(text: string): JsonAnswer {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new BackendUnavailable('the answer is not JSON')
  }
  const answer = answerSchema.safeParse(value)
  if (!answer.success) throw new BackendUnavailable('the answer has no "result" that is true or false')
  return answer.data
}

/** What carries the contract: gives the answer, or rejects with BackendUnavailable. */
export interface JsonCarrier {
  ask(request: JsonRequest, signal: AbortSignal): Promise<JsonAnswer>
  close(): Promise<void>
}

export class JsonBackend implements AuthBackend {
  readonly #carrier: JsonCarrier
  readonly #refusals = new RefusalTimes()
  /** Of the question whether there is an account. */
  readonly #absences = new RefusalTimes()
  /** Whether it has said of somebody that it does not know him. */
  #tellsUnknown: boolean = false

  constructor(carrier: JsonCarrier) {
    this.#carrier = carrier
  }

  async checkPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    const request = { op: 'auth', user, host, ...secret(password) } as const
    const ask = () => this.#carrier.ask(request, signal)
    const { result, reason } = await this.#refusals.noted(ask, (answer) => answer.result)
    if (result) return { ok: true }
    if (reason === 'unknown') {
      this.#tellsUnknown = true
      return { ok: false, reason }
    }
    return { ok: false, reason: reason ?? 'wrong', maybeUnknown: true }
  }

  async checkNobody(_host: string, _password: Buffer, signal: AbortSignal, isLast: boolean): Promise<void> {
    await this.#refusals.wait(performance.now(), { signal })
    if (!isLast && !this.#tellsUnknown) await this.#absences.wait(performance.now(), { signal })
  }

  accountExists(user: string, host: string, signal: AbortSignal): Promise<boolean> {
    const ask = async () => (await this.#carrier.ask({ op: 'isuser', user, host }, signal)).result
    return this.#absences.noted(ask, (exists) => exists)
  }

  async setPassword(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (!(await this.accountExists(user, host, signal))) return { ok: false, reason: 'unknown' }
    return this.#change({ op: 'setpass', user, host, ...secret(password) }, signal)
  }

  async register(user: string, host: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (await this.accountExists(user, host, signal)) return { ok: false, reason: 'exists' }
    return this.#change({ op: 'tryregister', user, host, ...secret(password) }, signal)
  }

  async remove(user: string, host: string, signal: AbortSignal): Promise<Verdict> {
    if (!(await this.accountExists(user, host, signal))) return { ok: false, reason: 'unknown' }
    return this.#change({ op: 'removeuser', user, host }, signal)
  }

  close(): Promise<void> {
    return this.#carrier.close()
  }

  async #change(request: JsonRequest, signal: AbortSignal): Promise<Verdict> {
    const { result, reason } = await this.#carrier.ask(request, signal)
    return result ? { ok: true } : { ok: false, reason: reason ?? 'refused' }
  }
}

function secret(password: Buffer): Pick<JsonRequest, 'password' | 'password_base64'> {
  const text = password.toString('utf8')
  return Buffer.from(text).equals(password)
    ? { password: text }
    : { password_base64: password.toString('base64') }
}
