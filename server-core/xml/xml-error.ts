/** Names of stream errors: RFC 6120 §4.9.3. */
export type XmlErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'not-well-formed'
  | 'policy-violation'
  | 'restricted-xml'
  | 'unsupported-encoding'

/** What is wrong with a document, and where. */
export class XmlError extends Error {
  override readonly name = 'XmlError'
  readonly condition: XmlErrorCondition
  /** How many bytes of the document come before the place. */
  readonly offset: number
  /** Goes beside the condition, in urn:xmpp:errors. */
  readonly appCondition: 'stanza-too-big' | undefined

  /** The message says what is wrong without quoting the input: it may be sent and logged. */
  constructor(
    condition: XmlErrorCondition,
    message: string,
    offset: number,
    appCondition?: 'stanza-too-big',
  ) {
    super(message)
    this.condition = condition
    this.offset = offset
    this.appCondition = appCondition
  }
}
