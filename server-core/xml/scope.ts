/** Which namespace a prefix means (Namespaces in XML 1.0), at one place of a document. */
import type { Attribute } from './element.ts'

export const xmlNs = 'http://www.w3.org/XML/1998/namespace'
export const xmlnsNs = 'http://www.w3.org/2000/xmlns/'

interface Binding {
  readonly uri: string
  readonly isRoots: boolean
}

/** The prefixes that an element declares, each with what it meant outside. */
export type Shadowed = readonly (readonly [prefix: string, outside: Binding | undefined])[]

export class Scope {
  readonly #bindings = new Map<string, Binding>()
  /** What was used of the root's declarations since this was taken last, as prefix → namespace. */
  #inherited: Map<string, string> | undefined

  /** Takes in what an element declares; undefined when a declaration is none that §3 allows. */
  declare(attributes: readonly Attribute[], isRoot: boolean): Shadowed | undefined {
    const shadowed: [string, Binding | undefined][] = []
    for (const [name, uri] of attributes) {
      if (!name.startsWith('xmlns:')) continue
      const prefix = name.slice(6)
      const isXml = prefix === 'xml'
      if (prefix === 'xmlns' || uri === '' || uri === xmlnsNs || isXml !== (uri === xmlNs)) return undefined
      if (isXml) continue
      shadowed.push([prefix, this.#bindings.get(prefix)])
      this.#bindings.set(prefix, { uri, isRoots: isRoot })
    }
    return shadowed
  }

  /** The element has ended. */
  restore(shadowed: Shadowed): void {
    for (const [prefix, outside] of shadowed) {
      if (outside === undefined) this.#bindings.delete(prefix)
      else this.#bindings.set(prefix, outside)
    }
  }

  /** The namespace, or undefined when the prefix is not declared. */
  resolve(prefix: string): string | undefined {
    if (prefix === 'xml') return xmlNs
    const binding = this.#bindings.get(prefix)
    if (binding?.isRoots) {
      this.#inherited ??= new Map()
      this.#inherited.set(prefix, binding.uri)
    }
    return binding?.uri
  }

  /**
   * Resolves the prefixes of attributes. False when two are the same name in the same namespace (§6.3), undefined when one is
   * not declared.
   */
  areDistinct(attributes: readonly Attribute[]): boolean | undefined {
    let first = ''
    let others: Set<string> | undefined
    for (const [name] of attributes) {
      const colon = name.indexOf(':')
      if (colon < 0 || name.startsWith('xmlns:')) continue
      const uri = this.resolve(name.slice(0, colon))
      if (uri === undefined) return undefined
      const expanded = `${name.slice(colon + 1)} ${uri}`
      if (first === '') {
        first = expanded
      } else {
        others ??= new Set([first])
        if (others.has(expanded)) return false
        others.add(expanded)
      }
    }
    return true
  }

  takeInherited(): ReadonlyMap<string, string> | undefined {
    const inherited = this.#inherited
    if (inherited !== undefined) this.#inherited = undefined
    return inherited
  }
}
