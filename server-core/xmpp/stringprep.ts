/** Preparation of internationalised strings (RFC 3454) in the profiles of RFC 3491, 3920 and 4013. */

/** The user part of a JID (RFC 3920 appendix A); undefined when it cannot be one. */
export function nodeprep(text: string): string | undefined {
  const prepared = prepare(text.toLowerCase())
  return prepared === undefined || /["&'/:<>@ ]/.test(prepared) ? undefined : prepared
}

/** A domain name (RFC 3491). */
export function nameprep(text: string): string | undefined {
  return prepare(text.toLowerCase())
}

/** The resource part of a JID (RFC 3920 appendix B). */
export function resourceprep(text: string): string | undefined {
  return prepare(text)
}

/** User names and passwords (RFC 4013). */
export function saslprep(text: string): string | undefined {
  return prepare(text)
}

function prepare(text: string): string | undefined {
  const prepared = text.normalize('NFKC')
  return /[\x00-\x1f\x7f\ud800-\udfff]/u.test(prepared) ? undefined : prepared
}
