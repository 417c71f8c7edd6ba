/**
 * Distinguished names as text (RFC 4514). Names that the server gave us are sent back exactly as they came; what we make
 * ourselves has everything escaped that is not plainly harmless, so that no user name can leave its place.
 */

/** A value for a place in a name (RFC 4514 §2.4): every byte outside of A-Z a-z 0-9 _ . - as \xx. */
export function escapeDnValue(value: string): string {
  let text = ''
  for (const byte of Buffer.from(value)) {
    const char = String.fromCharCode(byte)
    text += /[A-Za-z0-9_.-]/.test(char) ? char : `\\${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

/** The name of an entry with that attribute below another entry. */
export function dnBelow(attribute: string, value: string, parent: string): string {
  const name = `${attribute}=${escapeDnValue(value)}`
  return parent === '' ? name : `${name},${parent}`
}
