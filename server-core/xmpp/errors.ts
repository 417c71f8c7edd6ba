/** The errors that XMPP knows, as values to throw and as elements to send: of a stanza (RFC 6120 §8.3), of a stream (§4.9). */
import { Element, el } from '../xml/element.ts'
import { ns } from './namespaces.ts'

/** Whether asking again helps: never (cancel), at once but otherwise (modify, auth), later (wait). */
export type StanzaErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait'

/** The conditions of RFC 6120 §8.3.3 with the type each has unless its maker says otherwise. */
const defaultTypes = {
  'bad-request': 'modify',
  conflict: 'cancel',
  'feature-not-implemented': 'cancel',
  forbidden: 'auth',
  gone: 'cancel',
  'internal-server-error': 'cancel',
  'item-not-found': 'cancel',
  'jid-malformed': 'modify',
  'not-acceptable': 'modify',
  'not-allowed': 'cancel',
  'not-authorized': 'auth',
  'policy-violation': 'modify',
  'recipient-unavailable': 'wait',
  redirect: 'modify',
  'registration-required': 'auth',
  'remote-server-not-found': 'cancel',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'cancel',
  'subscription-required': 'auth',
  'undefined-condition': 'cancel',
  'unexpected-request': 'wait',
} as const satisfies Record<string, StanzaErrorType>

export type StanzaErrorCondition = keyof typeof defaultTypes

export const stanzaErrorConditions = Object.keys(defaultTypes) as readonly StanzaErrorCondition[]

export interface StanzaErrorOptions {
  readonly type?: StanzaErrorType | undefined
  /** The application's own condition, in its own namespace. */
  readonly extra?: Element | undefined
  /** Where to instead: the content of `gone` and `redirect`, a URI. */
  readonly uri?: string | undefined
  /** The JID of the entity that found the error, when neither sender nor addressee did. */
  readonly by?: string | undefined
}

/** Thrown where a stanza cannot be served; it becomes the error reply in one place, and its text is sent as it is. */
export class StanzaError extends Error {
  override readonly name = 'StanzaError'
  readonly condition: StanzaErrorCondition
  readonly type: StanzaErrorType
  /** In English, for people; undefined when the condition says it all. */
  readonly text: string | undefined
  readonly extra: Element | undefined
  readonly uri: string | undefined
  readonly by: string | undefined

  constructor(condition: StanzaErrorCondition, text?: string, options: StanzaErrorOptions = {}) {
    super(text ? `${condition}: ${text}` : condition)
    this.condition = condition
    this.type = options.type ?? defaultTypes[condition]
    this.text = text
    this.extra = options.extra
    this.uri = options.uri
    this.by = options.by
  }
}

/** `<error type='cancel'><service-unavailable xmlns='…'/></error>` (RFC 6120 §8.3.2). */
export function stanzaErrorElement(error: StanzaError): Element {
  return el(
    'error',
    { type: error.type, by: error.by },
    el(error.condition, { xmlns: ns.stanzas }, error.uri),
    error.text ? el('text', { xmlns: ns.stanzas, 'xml:lang': 'en' }, error.text) : undefined,
    error.extra,
  )
}

/** The conditions of RFC 6120 §4.9.3. */
export const streamErrorConditions = [
  'bad-format',
  'bad-namespace-prefix',
  'conflict',
  'connection-timeout',
  'host-gone',
  'host-unknown',
  'improper-addressing',
  'internal-server-error',
  'invalid-from',
  'invalid-namespace',
  'invalid-xml',
  'not-authorized',
  'not-well-formed',
  'policy-violation',
  'remote-connection-failed',
  'reset',
  'resource-constraint',
  'restricted-xml',
  'see-other-host',
  'system-shutdown',
  'undefined-condition',
  'unsupported-encoding',
  'unsupported-feature',
  'unsupported-stanza-type',
  'unsupported-version',
] as const

export type StreamErrorCondition = (typeof streamErrorConditions)[number]

export interface StreamErrorOptions {
  /** The application's own condition, in its own namespace. */
  readonly extra?: Element | undefined
  /** Where to connect instead: the content of `see-other-host`. */
  readonly host?: string | undefined
}

/** Thrown where a stream cannot go on; it is sent, once, and the stream is closed. */
export class StreamError extends Error {
  override readonly name = 'StreamError'
  readonly condition: StreamErrorCondition
  /** In English, for people; never anything internal. */
  readonly text: string | undefined
  readonly extra: Element | undefined
  readonly host: string | undefined

  constructor(condition: StreamErrorCondition, text?: string, options: StreamErrorOptions = {}) {
    super(text ? `${condition}: ${text}` : condition)
    this.condition = condition
    this.text = text
    this.extra = options.extra
    this.host = options.host
  }
}

/** `<stream:error><conflict xmlns='…'/></stream:error>`; the prefix is the one that every stream header of ours declares. */
export function streamErrorElement(error: StreamError): Element {
  const children = [el(error.condition, { xmlns: ns.streamErrors }, error.host)]
  if (error.text) children.push(el('text', { xmlns: ns.streamErrors, 'xml:lang': 'en' }, error.text))
  if (error.extra) children.push(error.extra)
  return new Element('stream:error', [], children, ns.streams)
}

export function isStanzaErrorCondition(name: string): name is StanzaErrorCondition {
  return Object.hasOwn(defaultTypes, name)
}
