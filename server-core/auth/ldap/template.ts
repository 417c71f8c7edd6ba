/** Texts with places to fill in: %u (the user), %d (the host); in a second filter also %D (the entry's name), %s (an attribute). */

export interface Filling {
  readonly user: string
  readonly host: string
  /** For %D. */
  readonly dn?: string
  /** For each %s in turn. */
  readonly values?: readonly string[]
}

export type Placeholder = '%u' | '%d' | '%D' | '%s'

/** A literal, or a place. */
export type Segment = { readonly text: string } | { readonly place: Placeholder }

/** Throws an Error with a sentence for the administrator. A % before anything but the letters of `allowed` is an error. */
export function parseTemplate(text: string, allowed: string): readonly Segment[] {
  const segments: Segment[] = []
  let at = 0
  for (const match of text.matchAll(/%(.?)/gsu)) {
    const letter = match[1] ?? ''
    if (letter === '' || !allowed.includes(letter)) {
      throw new Error(`'${text}' has ${match[0]}, only ${places(allowed)} can stand there`)
    }
    if (match.index > at) segments.push({ text: text.slice(at, match.index) })
    segments.push({ place: match[0] as Placeholder })
    at = match.index + match[0].length
  }
  if (at < text.length) segments.push({ text: text.slice(at) })
  return segments
}

function places(letters: string): string {
  return [...letters].map((letter) => `%${letter}`).join(' and ')
}

/** Undefined when a place has nothing to be filled with. */
export function fill(
  segments: readonly Segment[],
  filling: Filling,
  quote: (value: string) => string = (value) => value,
  values: Iterator<string> = (filling.values ?? [])[Symbol.iterator](),
): string | undefined {
  let text = ''
  for (const segment of segments) {
    if ('text' in segment) {
      text += segment.text
      continue
    }
    const value = fillingOf(segment.place, filling, values)
    if (value === undefined) return undefined
    text += quote(value)
  }
  return text
}

function fillingOf(place: Placeholder, filling: Filling, values: Iterator<string>): string | undefined {
  switch (place) {
    case '%u':
      return filling.user
    case '%d':
      return filling.host
    case '%D':
      return filling.dn
    case '%s': {
      const next = values.next()
      return next.done ? undefined : next.value
    }
  }
}
