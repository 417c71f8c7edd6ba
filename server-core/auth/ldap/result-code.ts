/** What the codes of results mean for us (RFC 4511 §4.1.9, appendix A). */
import { BackendUnavailable, type Verdict } from '../backend.ts'
import { NoAnswer } from './no-answer.ts'
import type { Result } from './response.ts'

export const codes = {
  success: 0,
  protocolError: 2,
  sizeLimitExceeded: 4,
  constraintViolation: 19,
  noSuchObject: 32,
  inappropriateAuthentication: 48,
  invalidCredentials: 49,
  insufficientAccessRights: 50,
  busy: 51,
  unavailable: 52,
  unwillingToPerform: 53,
  notAllowedOnNonLeaf: 66,
  entryAlreadyExists: 68,
} as const

const names = new Map<number, string>(Object.entries(codes).map(([name, code]) => [code, name]))

/** For logs and errors: `49 invalidCredentials: …`. */
export function inWords(result: Result): string {
  const name = names.get(result.code)
  const diagnostic = result.diagnostic === '' ? '' : `: ${result.diagnostic}`
  return `${result.code}${name === undefined ? '' : ` ${name}`}${diagnostic}`
}

/** Neither yes nor no. A server that is only overloaded is worth asking another one. */
export function failure(what: string, result: Result): Error {
  const message = `${what}: ${inWords(result)}`
  return result.code === codes.busy || result.code === codes.unavailable
    ? new NoAnswer('troubled', message)
    : new BackendUnavailable(message)
}

const activeDirectory: Readonly<Record<string, 'disabled' | 'expired'>> = {
  '532': 'expired',
  '533': 'disabled',
  '701': 'disabled',
  '773': 'expired',
}

/**
 * A user's bind. Only 0 is a yes; a few codes are a no; all others are neither, and are thrown. Active Directory tells the
 * owner of the right password that the account is closed (533) or has ended (701), or that the password has (532) or is to be
 * changed first (773), within code 49.
 */
export function bindVerdict(result: Result): Verdict {
  switch (result.code) {
    case codes.success:
      return { ok: true }
    case codes.invalidCredentials: {
      const data = /\bdata ([0-9a-f]{3})\b/.exec(result.diagnostic)?.[1] ?? ''
      return { ok: false, reason: activeDirectory[data] ?? 'wrong' }
    }
    case codes.noSuchObject:
      return { ok: false, reason: 'unknown' }
    case codes.constraintViolation:
    case codes.inappropriateAuthentication:
    case codes.insufficientAccessRights:
    case codes.unwillingToPerform:
      return { ok: false, reason: 'refused' }
    default:
      throw failure('the bind as the user failed', result)
  }
}

/** A change. 68 is a no to a new entry, 32 to any other change; a refusal by policy or by rights is a no as well. */
export function changeVerdict(what: string, result: Result): Verdict {
  switch (result.code) {
    case codes.success:
      return { ok: true }
    case codes.noSuchObject:
      return { ok: false, reason: 'unknown' }
    case codes.entryAlreadyExists:
      return { ok: false, reason: 'exists' }
    case codes.constraintViolation:
    case codes.insufficientAccessRights:
    case codes.unwillingToPerform:
    case codes.notAllowedOnNonLeaf:
      return { ok: false, reason: 'refused' }
    default:
      throw failure(what, result)
  }
}
