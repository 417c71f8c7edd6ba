/**
 * Which attributes hold the user name. An entry that a server found belongs to the user only if one of them does name that
 * user: directories compare without regard to case, to spaces and to more, so several XMPP names would find one entry.
 */
import { nodeprep } from '../../xmpp/stringprep.ts'
import { type Filter, isAttributeName } from './filter.ts'
import type { Entry } from './response.ts'
import { fill, parseTemplate, type Segment } from './template.ts'

export interface Uid {
  readonly attribute: string
  readonly form: readonly Segment[]
}

/** Attributes, `attribute:form` or `{attribute: form}`; a form has one %u, and %d where the host belongs into it. */
export function parseUids(
  list: readonly (string | Readonly<Record<string, string>>)[],
): readonly [Uid, ...Uid[]] {
  const [first, ...rest] = list.flatMap((item) => {
    if (typeof item !== 'string') return Object.entries(item).map(([attribute, form]) => uid(attribute, form))
    const colon = item.indexOf(':')
    return colon < 0 ? uid(item, '%u') : uid(item.slice(0, colon), item.slice(colon + 1))
  })
  if (first === undefined) throw new Error('must name an attribute at least, such as uid')
  return [first, ...rest]
}

function uid(attribute: string, form: string): Uid {
  if (!isAttributeName(attribute) || attribute.includes(';')) {
    throw new Error(`'${attribute}' is not the name of an attribute`)
  }
  const segments = parseTemplate(form, 'ud')
  if (segments.filter((segment) => 'place' in segment && segment.place === '%u').length !== 1) {
    throw new Error(`'${form}' must have %u once`)
  }
  return { attribute, form: segments }
}

export function uidValue({ form }: Uid, user: string, host: string): string {
  return fill(form, { user, host }) ?? ''
}

export function uidFilter(uids: readonly Uid[], user: string, host: string): Filter {
  const of = uids.map((one): Filter => {
    return { is: 'equal', attribute: one.attribute, value: uidValue(one, user, host) }
  })
  return of.length === 1 ? (of[0] as Filter) : { is: 'or', of }
}

/** 'hidden' when the server gave none of the attributes, so that nobody can tell. */
export function names(
  entry: Entry,
  uids: readonly Uid[],
  user: string,
  host: string,
): 'this user' | 'another user' | 'hidden' {
  let isHidden = true
  for (const { attribute, form } of uids) {
    for (const { type, values } of entry.attributes) {
      if (baseName(type) !== attribute.toLowerCase()) continue
      for (const value of values) {
        isHidden = false
        const name = userIn(value.toString('utf8'), form, host)
        if (name !== undefined && nodeprep(name) === user) return 'this user'
      }
    }
  }
  return isHidden ? 'hidden' : 'another user'
}

/** RFC 4512 §2.5: what follows a semicolon are options such as a language. */
function baseName(type: string): string {
  return type.split(';', 1)[0]?.toLowerCase() ?? ''
}

/** What stands at the place of %u; undefined when the value does not have the form. */
function userIn(value: string, form: readonly Segment[], host: string): string | undefined {
  const at = form.findIndex((segment) => 'place' in segment && segment.place === '%u')
  const before = folded(fill(form.slice(0, at), { user: '', host }) ?? '')
  const after = folded(fill(form.slice(at + 1), { user: '', host }) ?? '')
  const whole = folded(value)
  if (whole.length < before.length + after.length) return undefined
  if (!whole.startsWith(before) || !whole.endsWith(after)) return undefined
  return whole.slice(before.length, whole.length - after.length)
}

function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}
