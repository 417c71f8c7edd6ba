/** Reading the fields of a stored value: exactly as the programs that make such values write them, or UnusableCredential. */
import { UnusableCredential } from './format.ts'

/** A cost, in digits without leading zeros. `what` is a plural for the complaint. */
export function readCost(text: string | undefined, what: string, min: number, max: number): number {
  if (text === undefined || !/^(?:0|[1-9]\d{0,9})$/.test(text)) {
    throw new UnusableCredential(`the number of ${what} is not a number`)
  }
  const count = Number(text)
  if (count < min || count > max) {
    throw new UnusableCredential(`${count} ${what} are not accepted (${min} to ${max})`)
  }
  return count
}

/** RFC 4648 §4, with its padding. */
export function readBase64(text: string | undefined): Buffer {
  const bytes = Buffer.from(text ?? '', 'base64')
  if (text === undefined || bytes.toString('base64') !== text) throw new UnusableCredential('not base64')
  return bytes
}

/** Base64 without padding, as in the strings of the Password Hashing Competition. */
export function readBareBase64(text: string | undefined): Buffer {
  if (text?.includes('=')) throw new UnusableCredential('base64 with padding where there is none')
  return readBase64(text === undefined ? undefined : text + '='.repeat(-text.length & 3))
}

/** passlib's and OpenLDAP's base64 for PBKDF2: without padding, `.` in place of `+`. */
export function readDottedBase64(text: string | undefined): Buffer {
  if (text?.includes('+')) throw new UnusableCredential('base64 of another alphabet')
  return readBareBase64(text?.replaceAll('.', '+'))
}

/** In either case, as databases disagree about it. */
export function readHex(text: string | undefined): Buffer {
  const bytes = Buffer.from(text ?? '', 'hex')
  if (text === undefined || bytes.toString('hex') !== text.toLowerCase()) {
    throw new UnusableCredential('not hexadecimal')
  }
  return bytes
}

export function requireLength(bytes: Buffer, min: number, max = min): Buffer {
  if (bytes.length < min || bytes.length > max) {
    throw new UnusableCredential(`a field of ${bytes.length} bytes, where there are ${min} to ${max}`)
  }
  return bytes
}

/** `{SCHEME}rest`, `{SCHEME.ENCODING}rest`: names are case-insensitive (RFC 2307 §5.3), so they come in upper case. */
export function readScheme(value: string): {
  scheme: string
  encoding: 'HEX' | 'B64' | undefined
  rest: string
} {
  const [, scheme, encoding, rest] = /^\{([A-Z0-9-]+)(?:\.(HEX|B64|BASE64))?\}(.*)$/is.exec(value) ?? []
  if (scheme === undefined || rest === undefined) throw new UnusableCredential('no scheme in braces')
  const word = encoding?.toUpperCase()
  return { scheme: scheme.toUpperCase(), encoding: word === 'BASE64' ? 'B64' : (word as 'HEX' | 'B64'), rest }
}

/** How values of these schemes begin, also with Dovecot's suffixes for the encoding. */
export function schemePrefixes(schemes: readonly string[]): string[] {
  return schemes.flatMap((scheme) => ['', '.HEX', '.B64', '.BASE64'].map((suffix) => `{${scheme}${suffix}}`))
}
