/** The part of a first-level element that has been read: the elements that are open, and what is in them. */
import type { Attribute, Element, Node } from './element.ts'
import type { Shadowed } from './scope.ts'

/** An element whose end tag has not come. */
export interface Open {
  name: string
  attributes: readonly Attribute[]
  ns: string
  /** The namespace of children without a prefix. */
  defaultNs: string
  shadowed: Shadowed | undefined
  /** How many nodes lie below its children on the stack of nodes. */
  mark: number
}

export const noNodes: readonly Node[] = []

/** Up to this depth and number of nodes the places are kept for the next element. */
const kept = 32

export class Tree {
  depth = 0
  /** One object for each depth, used again and again. */
  #open: Open[] = []
  #nodes: Node[] = []
  #nodeCount = 0

  get top(): Open {
    return this.#open[this.depth - 1] as Open
  }

  clear(): void {
    this.depth = this.#nodeCount = 0
    if (this.#open.length > kept) this.#open = []
    if (this.#nodes.length > kept) this.#nodes = []
  }

  open(
    name: string,
    attributes: readonly Attribute[],
    ns: string,
    defaultNs: string,
    shadowed: Shadowed | undefined,
  ): void {
    const place = this.#open[this.depth++]
    const mark = this.#nodeCount
    if (place === undefined) {
      this.#open.push({ name, attributes, ns, defaultNs, shadowed, mark })
      return
    }
    place.name = name
    place.attributes = attributes
    place.ns = ns
    place.defaultNs = defaultNs
    place.shadowed = shadowed
    place.mark = mark
  }

  /** Closes the innermost element: its children. */
  close(): readonly Node[] {
    const { mark } = this.top
    const nodes = this.#nodes
    const count = this.#nodeCount - mark
    this.depth--
    if (count === 0) return noNodes
    // Lists as long as they have to be: most have one or two nodes, and a list that has grown has room for many.
    const first = nodes[mark] as Node
    const children =
      count === 1
        ? [first]
        : count === 2
          ? [first, nodes[mark + 1] as Node]
          : nodes.slice(mark, this.#nodeCount)
    // The places stay, what stood in them must not.
    for (let i = mark; i < this.#nodeCount; i++) nodes[i] = ''
    this.#nodeCount = mark
    return children
  }

  add(element: Element): void {
    this.#nodes[this.#nodeCount++] = element
  }

  /** Neighbouring texts become one. */
  addText(text: string): void {
    const last = this.#nodeCount - 1
    const before = last >= this.top.mark ? this.#nodes[last] : undefined
    if (typeof before === 'string') this.#nodes[last] = before + text
    else this.#nodes[this.#nodeCount++] = text
  }
}
