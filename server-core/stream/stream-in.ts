/**
 * A stream that somebody opened to us: its header, its features, its errors, its end (RFC 6120 §4). Here, and only here, a
 * StreamError becomes bytes.
 */
import { randomUUID } from 'node:crypto'
import type { Connection } from '../net/connection.ts'
import { attr, Element, localName } from '../xml/element.ts'
import { elementToString, startTag } from '../xml/serialize.ts'
import { StreamError as Refusal, type StreamError, streamErrorElement } from '../xmpp/errors.ts'
import { prepareHost } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'

/** What the peer's header says, checked. */
export interface StreamHeader {
  /** Prepared; '' when absent. */
  readonly to: string
  /** As written; '' when absent. */
  readonly from: string
  /** '' when absent or too long (RFC 5646 §4.4.1). */
  readonly lang: string
  readonly version: { readonly major: number; readonly minor: number }
}

const maxLangLength = 35
const closingTag = '</stream:stream>'

export class StreamIn {
  /** Of the stream that is open now: unpredictable, new at every start. */
  id = ''
  readonly #connection: Connection
  readonly #contentNs: string
  /** Names us in headers before a host is known, and to those who ask for one that is not ours. */
  readonly #defaultHost: string
  #headerSent = false
  #closingSent = false

  constructor(connection: Connection, contentNs: string, defaultHost: string) {
    this.#connection = connection
    this.#contentNs = contentNs
    this.#defaultHost = defaultHost
  }

  /** Checks a peer's stream header; throws the StreamError that it deserves (RFC 6120 §4.7–4.9). */
  read(root: Element): StreamHeader {
    if (root.ns !== ns.streams) throw new Refusal('invalid-namespace')
    if (localName(root) !== 'stream') throw new Refusal('bad-format')
    if (attr(root, 'xmlns') !== this.#contentNs) throw new Refusal('invalid-namespace')
    const to = attr(root, 'to') ?? ''
    const lang = attr(root, 'xml:lang') ?? ''
    return {
      to: prepareHost(to) ?? '',
      from: attr(root, 'from') ?? '',
      lang: lang.length > maxLangLength ? '' : lang,
      version: readVersion(attr(root, 'version')),
    }
  }

  /** Opens our side, to a peer of that version: ours when undefined. */
  open(host: string, header: StreamHeader | undefined, version?: StreamHeader['version']): void {
    this.id = randomUUID()
    const root = new Element(
      'stream:stream',
      [
        ['xmlns', this.#contentNs],
        ['xmlns:stream', ns.streams],
        ['id', this.id],
        ['from', host],
        ...(header?.from ? [['to', header.from] as const] : []),
        ...versionFor(version),
        ['xml:lang', header?.lang || 'en'],
      ],
      [],
      ns.streams,
    )
    this.#connection.write(`<?xml version='1.0'?>${startTag(root)}`)
    this.#headerSent = true
  }

  /** The peer starts anew: nothing has been said on the next stream. */
  restart(): void {
    this.#headerSent = false
  }

  features(list: readonly Element[]): void {
    this.send(new Element('stream:features', [], list, ns.streams))
  }

  send(element: Element): void {
    this.#connection.write(elementToString(element))
  }

  /** Tells the peer why, once, and closes. The header precedes the error (RFC 6120 §4.9.1.2). */
  fail(error: StreamError): void {
    if (this.#closingSent) return
    if (!this.#headerSent) this.open(this.#defaultHost, undefined)
    this.send(streamErrorElement(error))
    this.close()
  }

  /** Closes our side; the connection ends when the peer has closed its own, or in a while (RFC 6120 §4.4). */
  close(): void {
    if (!this.#closingSent) {
      this.#closingSent = true
      if (this.#headerSent) this.#connection.write(closingTag)
    }
    this.#connection.end()
  }
}

/** No version means 0.0 (RFC 6120 §4.7.5). */
function readVersion(text: string | undefined): { major: number; minor: number } {
  const match = /^(\d{1,9})\.(\d{1,9})$/.exec(text ?? '0.0')
  if (!match) throw new Refusal('unsupported-version')
  return { major: Number(match[1]), minor: Number(match[2]) }
}

/** The lower of both; a stream of before there were versions has none (RFC 6120 §4.7.5). */
function versionFor({ major, minor } = { major: 1, minor: 0 }): readonly (readonly [string, string])[] {
  if (major >= 1) return [['version', '1.0']]
  return major === 0 && minor === 0 ? [] : [['version', `${major}.${minor}`]]
}
