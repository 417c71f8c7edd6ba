/** Names of elements and attributes (XML 1.0 §2.3, Namespaces in XML 1.0 §3). */

const startChars =
  'A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f' +
  '\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd\\u{10000}-\\u{effff}'
const otherChars = '\\-.0-9\\u00b7\\u0300-\\u036f\\u203f\\u2040'
const part = `[${startChars}][${startChars}${otherChars}]*`
const qualifiedName = new RegExp(`^${part}(?::${part})?$`, 'u')

/** Whether a name may stand in a tag: at most one prefix, both parts names without a colon. */
export function isQualifiedName(name: string): boolean {
  return qualifiedName.test(name)
}

interface Known {
  readonly text: string
  readonly bytes: Uint8Array
}

/** Long ones are not kept: whoever sends them would fill the table. */
const maxKept = 64
const table: Known[] = new Array<Known>(1024).fill({ text: '', bytes: new Uint8Array() })

/**
 * The ASCII text in these bytes, as the one string that all the same texts share. Names and namespaces are few and come all
 * the time: no garbage, and comparing two of them compares two pointers. The hash is the one of `hashOf`.
 */
export function intern(bytes: Buffer, start: number, end: number, hash: number): string {
  const length = end - start
  const slot = (hash ^ (hash >>> 10) ^ length) & 1023
  const known = table[slot] as Known
  if (areEqual(known.bytes, bytes, start, length)) return known.text
  const text = bytes.toString('latin1', start, end)
  if (length > maxKept) return text
  // V8 has one string object for all equal property names; literals in the code are that object too.
  const [shared = text] = Object.keys({ [text]: 0 })
  table[slot] = { text: shared, bytes: Uint8Array.from(bytes.subarray(start, end)) }
  return shared
}

/** Whether these bytes stand there. */
export function areEqual(known: Uint8Array, bytes: Buffer, start: number, length: number): boolean {
  if (known.length !== length) return false
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false
  return true
}

export function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0
  return hash
}
