/** Elements as the test client sees them, read by saxes: another parser than the one under test. */
import { SaxesParser } from 'saxes'

export interface Stanza {
  /** Local name. */
  readonly name: string
  readonly xmlns: string
  /** Attributes by their written name, without namespace declarations. */
  readonly attrs: Readonly<Record<string, string | undefined>>
  readonly children: readonly Stanza[]
  /** The element's own character data. */
  readonly text: string
}

/** The first child of that name (and namespace). */
export function child(stanza: Stanza | undefined, name: string, xmlns?: string): Stanza | undefined {
  return stanza?.children.find((one) => one.name === name && (xmlns === undefined || one.xmlns === xmlns))
}

/** The child at the end of a path of names. */
export function at(stanza: Stanza | undefined, ...path: string[]): Stanza | undefined {
  return path.reduce<Stanza | undefined>((parent, name) => child(parent, name), stanza)
}

export interface StanzaEvents {
  open(attrs: Readonly<Record<string, string>>): void
  stanza(stanza: Stanza): void
  close(): void
}

interface Building {
  readonly name: string
  readonly xmlns: string
  readonly attrs: Record<string, string>
  readonly children: Stanza[]
  text: string
}

/** Reads one XML stream; what is not well-formed throws. */
export class StanzaReader {
  readonly #parser = new SaxesParser({ xmlns: true, fragment: false })
  readonly #open: Building[] = []

  constructor(events: StanzaEvents) {
    this.#parser.on('error', (error) => {
      throw error
    })
    this.#parser.on('opentag', (tag) => {
      const attrs: Record<string, string> = {}
      for (const [name, attribute] of Object.entries(tag.attributes)) {
        if (name !== 'xmlns' && !name.startsWith('xmlns:')) attrs[name] = attribute.value
      }
      this.#open.push({ name: tag.local, xmlns: tag.uri, attrs, children: [], text: '' })
      if (this.#open.length === 1) events.open(attrs)
    })
    this.#parser.on('text', (text) => {
      const element = this.#open.at(-1)
      if (element !== undefined) element.text += text
    })
    this.#parser.on('closetag', () => {
      const element = this.#open.pop()
      if (element === undefined) return
      const depth = this.#open.length
      if (depth === 0) events.close()
      else if (depth === 1) events.stanza(element)
      else this.#open.at(-1)?.children.push(element)
    })
  }

  write(text: string): void {
    this.#parser.write(text)
  }
}
