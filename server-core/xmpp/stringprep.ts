/**
 * Preparation of internationalised strings (RFC 3454), so that what looks the same is the same: the profiles of RFC 3491 (names
 * of hosts), RFC 3920 (users and resources) and RFC 4013 (passwords). Everything is as in Unicode 3.2, whatever Unicode
 * this Node knows: what two servers or two versions take for the same address must not differ. Code points that Unicode 3.2 has
 * not assigned (emoji) are allowed and stay as they are.
 *
 * All return undefined for a text that the profile prohibits.
 */
import { isIn, type Tables, tables } from './stringprep-tables.ts'

interface Profile {
  /** Case is folded (B.2). */
  readonly folds: boolean
  /** Spaces of all kinds become U+0020; else those beyond ASCII are prohibited. */
  readonly mapsSpaces: boolean
  /** What of ASCII is prohibited, and C.2.1, which has the control characters of ASCII. */
  readonly prohibitedAscii: RegExp
}

const node: Profile = { folds: true, mapsSpaces: false, prohibitedAscii: /[\0- "&'/:<>@\x7f]/ }
const name: Profile = { folds: true, mapsSpaces: false, prohibitedAscii: /(?!)/ }
const resource: Profile = { folds: false, mapsSpaces: false, prohibitedAscii: /[\0-\x1f\x7f]/ }
const sasl: Profile = { folds: false, mapsSpaces: true, prohibitedAscii: /[\0-\x1f\x7f]/ }

/** The user part of a JID (RFC 3920 appendix A). */
export function nodeprep(text: string): string | undefined {
  return prepare(text, node)
}

/** One label of a domain name (RFC 3491). */
export function nameprep(text: string): string | undefined {
  return prepare(text, name)
}

/** The resource part of a JID (RFC 3920 appendix B). */
export function resourceprep(text: string): string | undefined {
  return prepare(text, resource)
}

/** User names and passwords (RFC 4013). */
export function saslprep(text: string): string | undefined {
  return prepare(text, sasl)
}

function prepare(text: string, profile: Profile): string | undefined {
  if (/^[\0-\x7f]*$/.test(text)) {
    if (profile.prohibitedAscii.test(text)) return undefined
    return profile.folds ? text.toLowerCase() : text
  }
  const table = tables()
  const prepared = normalized(mapped(text, profile, table), table)
  if (profile.prohibitedAscii.test(prepared)) return undefined
  return isAllowed(prepared, table) ? prepared : undefined
}

/** RFC 3454 §3. */
function mapped(text: string, { folds, mapsSpaces }: Profile, table: Tables): string {
  let result = ''
  for (const char of text) {
    const code = char.codePointAt(0) as number
    // The zero width space is in both tables; first is a space, as other implementations have it.
    if (mapsSpaces && isIn(table.otherSpaces, code)) result += ' '
    else if (!isIn(table.dropped, code)) result += (folds ? table.folding.get(code) : undefined) ?? char
  }
  return result
}

/** RFC 3454 §4: NFKC of Unicode 3.2, which leaves what it does not know as it is. */
function normalized(text: string, table: Tables): string {
  let result = ''
  let known = ''
  for (const char of text) {
    const code = char.codePointAt(0) as number
    if (isIn(table.unassigned, code)) {
      result += known.normalize('NFKC') + char
      known = ''
    } else {
      known += table.decompositions.get(code) ?? char
    }
  }
  return result + known.normalize('NFKC')
}

/** RFC 3454 §5, but for ASCII, and §6: what is written from right to left is that from its first to its last character. */
function isAllowed(text: string, table: Tables): boolean {
  let hasLeft = false
  let hasRight = false
  let isFirst = true
  let beginsRight = false
  let endsRight = false
  for (const char of text) {
    const code = char.codePointAt(0) as number
    if (isIn(table.prohibited, code)) return false
    endsRight = isIn(table.rightToLeft, code)
    if (isFirst) beginsRight = endsRight
    isFirst = false
    hasRight ||= endsRight
    hasLeft ||= isIn(table.leftToRight, code)
  }
  return !hasRight || (beginsRight && endsRight && !hasLeft)
}
