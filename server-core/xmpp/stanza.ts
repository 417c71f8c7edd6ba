/** Message, presence, iq: an element with its addresses understood, as the routers pass it around (RFC 6120 §8). */
import { declared } from '../xml/declared.ts'
import { attr, type Element, el, localName, type Node, removeCdata } from '../xml/element.ts'
import { elementToString } from '../xml/serialize.ts'
import { type StanzaError, stanzaErrorElement } from './errors.ts'
import type { Jid } from './jid.ts'

export type StanzaKind = 'message' | 'presence' | 'iq'

/** What became of a stanza inside this server, so that no module handles it twice. Never written to a stream. */
export interface StanzaContext {
  /** A copy that was wrapped for another session of the same account. */
  readonly forwarded?: true
  /** Comes from the offline store, which keeps it under this number until it is told that it was delivered. */
  readonly offline?: number
  /** A session refused it after it was routed; this is the second and last attempt. */
  readonly rerouted?: true
  /** In the archive already. */
  readonly archived?: true
  /** Copied to the account's other sessions already. */
  readonly copied?: true
  /** Sent again because the client did not acknowledge it. */
  readonly resent?: true
  /** Went to several resources; each tells here what became of its copy. */
  readonly fork?: CopyTracker | undefined
}

/** What became of the copies of one message (routing/fork.ts). */
export interface CopyTracker {
  arrived(): void
  /** True when no copy has arrived and none still may: the message is to be sent again. */
  lost(): boolean
}

export class Stanza {
  readonly kind: StanzaKind
  readonly from: Jid
  readonly to: Jid
  readonly element: Element
  /** The attribute, '' when it is absent. */
  readonly type: string
  /** The attribute, '' when it is absent. */
  readonly id: string
  readonly context: StanzaContext | undefined

  /** The element's name must be one of the three. Its from and to are what is written; from and to are who is meant. */
  constructor(from: Jid, to: Jid, element: Element, context?: StanzaContext) {
    this.kind = stanzaKind(element) ?? notAStanza(element)
    this.from = from
    this.to = to
    this.element = element
    this.type = attr(element, 'type') ?? ''
    this.id = attr(element, 'id') ?? ''
    this.context = context
  }

  /** Whether it is an iq that wants an answer. */
  get isRequest(): boolean {
    return this.kind === 'iq' && (this.type === 'get' || this.type === 'set')
  }

  withElement(element: Element): Stanza {
    return new Stanza(this.from, this.to, element, this.context)
  }

  /** The same for another addressee; the element's `to` stays as the sender wrote it. */
  withTo(to: Jid): Stanza {
    return new Stanza(this.from, to, this.element, this.context)
  }

  /** The same with these facts added. */
  withContext(context: StanzaContext): Stanza {
    return new Stanza(this.from, this.to, this.element, { ...this.context, ...context })
  }
}

/** Which stanza an element is, by its local name; undefined when it is none. */
export function stanzaKind(element: Element): StanzaKind | undefined {
  const name = localName(element)
  return name === 'message' || name === 'presence' || name === 'iq' ? name : undefined
}

function notAStanza(element: Element): never {
  throw new TypeError(`<${element.name}/> is no stanza`)
}

/** The child of a request is repeated in the error up to this size, in bytes. */
const maxRepeatedBytes = 4096

/**
 * The stanza that answers another with an error (RFC 6120 §8.3.1): from and to exchanged, the same id, the request's child
 * repeated. Undefined where an error must never be answered: errors, iq results, unavailable presence.
 */
export function errorReply(stanza: Stanza, error: StanzaError): Stanza | undefined {
  const { kind, type, from, to, element } = stanza
  if (type === 'error' || (kind === 'iq' && type === 'result')) return undefined
  if (kind === 'presence' && type === 'unavailable') return undefined
  const children: Node[] = kind === 'iq' ? repeated(element) : []
  children.push(stanzaErrorElement(error))
  const reply = el(
    kind,
    { type: 'error', from: to.text, to: from.text, id: attr(element, 'id') },
    ...children,
  )
  return new Stanza(to, from, reply)
}

/** The result of a request, with at most one payload; the request's id, from and to exchanged. */
export function resultReply(stanza: Stanza, payload?: Element): Stanza {
  const { from, to, element } = stanza
  const reply = el('iq', { type: 'result', from: to.text, to: from.text, id: attr(element, 'id') }, payload)
  return new Stanza(to, from, reply)
}

function repeated(element: Element): Node[] {
  const [first] = removeCdata(element.children)
  if (first === undefined) return []
  const child = declared(first, element)
  return Buffer.byteLength(elementToString(child)) > maxRepeatedBytes ? [] : [child]
}
