/**
 * The receiver: reads a connection's bytes, slows the peer to its rate, feeds the XML stream, and hands its logic one event
 * at a time. While the logic waits for something, reading pauses: that is the back-pressure.
 */
import { type Element, el } from '../xml/element.ts'
import { type XmlError, type XmlLimits, XmlStream } from '../xml/parser.ts'
import { StreamError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import type { Shaper } from './shaper.ts'

/** The logic behind a receiver. A promise means: nothing more until it is settled. */
export interface StreamLogic {
  onStreamStart(root: Element): void | Promise<void>
  onElement(element: Element): void | Promise<void>
  onStreamEnd(): void
  /** The input is over: what is to be told to the peer. */
  onStreamError(error: StreamError): void
  /** Once, after everything else; the reason is undefined when the peer closed in peace. */
  onClosed(reason: string | undefined): void
}

export class Receiver implements ConnectionHandler {
  /** When bytes last came: Unix time in milliseconds. */
  lastInput = Date.now()
  readonly #connection: Connection
  #logic: StreamLogic
  readonly #shaper: Shaper | undefined
  readonly #xml: XmlStream
  /** Chunks that came while the logic was busy. */
  readonly #waiting: Buffer[] = []
  #busy = false
  #slowed = false
  #ended = false

  constructor(connection: Connection, logic: StreamLogic, limits: XmlLimits, shaper: Shaper | undefined) {
    this.#connection = connection
    this.#logic = logic
    this.#shaper = shaper
    this.#xml = new XmlStream(
      {
        onStreamStart: (_name, _attributes, root) => this.#handled(this.#logic.onStreamStart(root)),
        onElement: (element) => this.#handled(this.#logic.onElement(element)),
        onStreamEnd: () => this.#logic.onStreamEnd(),
        onError: (error) => this.#failed(error),
      },
      limits,
    )
    connection.handle(this)
  }

  onData(chunk: Buffer): void {
    if (this.#ended) return
    this.lastInput = Date.now()
    const wait = this.#shaper?.take(chunk.length, this.lastInput) ?? 0
    if (wait > 0) this.#slowDown(wait)
    if (this.#busy) {
      this.#waiting.push(chunk)
      this.#connection.pause()
      return
    }
    this.#xml.parse(chunk)
  }

  onClose(reason: string | undefined): void {
    this.#ended = true
    this.#waiting.length = 0
    this.#logic.onClosed(reason)
  }

  #slowDown(ms: number): void {
    this.#slowed = true
    this.#connection.pause()
    setTimeout(() => {
      this.#slowed = false
      if (!this.#busy) this.#connection.resume()
    }, ms)
  }

  #handled(done: void | Promise<void>): void {
    if (!(done instanceof Promise)) return
    this.#busy = true
    this.#xml.pause()
    void done.then(() => this.#goOn())
  }

  #goOn(): void {
    this.#busy = false
    if (this.#ended) return
    this.#xml.resume()
    while (!this.#busy && !this.#ended) {
      const chunk = this.#waiting.shift()
      if (chunk === undefined) break
      this.#xml.parse(chunk)
    }
    if (!this.#busy && !this.#slowed) this.#connection.resume()
  }

  #failed(error: XmlError): void {
    if (this.#ended) return
    this.#ended = true
    const extra = error.appCondition && el(error.appCondition, { xmlns: ns.xmppErrors })
    this.#logic.onStreamError(new StreamError(error.condition, error.message, { extra }))
  }

  /**
   * Whether something came behind the element that is being handled. White space is forbidden there too before TLS (RFC 6120
   * §5.3.2), but clients that end every line send it, and nobody can put anything into it: it is passed over.
   */
  get hasMore(): boolean {
    return !this.#xml.unparsedIsBlank || this.#waiting.length > 0
  }

  setLimits(limits: XmlLimits): void {
    this.#xml.setLimits(limits)
  }

  /** The peer opens a new stream on the same connection (RFC 6120 §4.3.3). */
  restart(): void {
    this.#xml.reset()
  }

  /** What comes from now on is for another logic: a session that was resumed here. */
  continueWith(logic: StreamLogic): void {
    this.#logic = logic
  }

  /** Nothing is read any more, and nobody is told anything. */
  detach(): void {
    this.stop()
    this.#logic = nobody
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#ended = true
    this.#xml.close()
    this.#waiting.length = 0
  }
}

const nobody: StreamLogic = {
  onStreamStart: () => undefined,
  onElement: () => undefined,
  onStreamEnd: () => undefined,
  onStreamError: () => undefined,
  onClosed: () => undefined,
}
