/**
 * A connection's bytes. What is written within one turn of the event loop leaves together; what waits is bounded, and a peer
 * that does not read for too long is given up.
 */
import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'

export interface ConnectionLimits {
  /** Without progress in writing, in milliseconds. */
  readonly sendTimeout: number
  /** Bytes waiting for the peer. */
  readonly maxOutputBytes: number
  /** Waiting for the peer to close, in milliseconds. */
  readonly closeTimeout: number
  readonly tlsHandshakeTimeout: number
}

export interface ConnectionHandler {
  onData(chunk: Buffer): void
  /** Once, whatever the reason; undefined when the peer closed in peace. */
  onClose(reason: string | undefined): void
}

export interface TlsServerOptions {
  /** Certificate when the peer names no host (SNI). */
  readonly secureContext: SecureContext
  /** Certificate by the name that the peer asks for. */
  forName(name: string): SecureContext | undefined
  readonly alpn: readonly string[]
  /** Whether the peer is asked for a certificate; it may have none. */
  readonly requestCert: boolean
}

const pieceBytes = 65_536

let dirty: Connection[] = []

/** One pass behind all input of this turn: each connection's text goes out in one write. */
function flushAll(): void {
  const connections = dirty
  dirty = []
  for (const connection of connections) connection.flush()
}

export class Connection {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly #limits: ConnectionLimits
  #socket: Socket
  #handler: ConnectionHandler | undefined
  #out = ''
  /** What is left of text too long for one piece. */
  #rest: Buffer | undefined
  /** The peer's buffers are full; 'drain' says when they are not. */
  #blocked = false
  #closed = false
  #reason: string | undefined
  #stall: NodeJS.Timeout | undefined
  #closing: NodeJS.Timeout | undefined
  /** Who waits for everything to be written. */
  #whenWritten: (() => void)[] = []

  constructor(socket: Socket, limits: ConnectionLimits) {
    this.#socket = socket
    this.#limits = limits
    this.remoteAddress = socket.remoteAddress ?? ''
    this.remotePort = socket.remotePort ?? 0
    this.#listen()
  }

  #listen(): void {
    this.#socket.on('data', this.#onData)
    this.#socket.on('error', this.#onError)
    this.#socket.on('close', this.#onClose)
    this.#socket.on('drain', this.#onDrain)
  }

  /** Who gets the bytes from now on. */
  handle(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#handler?.onData(chunk)
  }

  readonly #onError = (error: Error): void => {
    this.#reason ??= error.message
  }

  readonly #onClose = (): void => {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#stall)
    clearTimeout(this.#closing)
    this.#out = ''
    this.#tellWritten()
    this.#handler?.onClose(this.#reason)
  }

  readonly #onDrain = (): void => {
    clearTimeout(this.#stall)
    this.#stall = undefined
    this.#blocked = false
    if (this.#rest) this.#writeRest()
    if (this.#out !== '') this.flush()
    if (!this.#blocked) this.#tellWritten()
  }

  #tellWritten(): void {
    for (const tell of this.#whenWritten.splice(0)) tell()
  }

  get secure(): boolean {
    return this.#socket instanceof TLSSocket
  }

  get tls(): TLSSocket | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket : undefined
  }

  /** Whether nothing that is written from now on can arrive. */
  get closed(): boolean {
    return this.#closed || this.#socket.destroyed
  }

  /** Why it was given up or broke; undefined when the peer closed in peace. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** Resolves when all that was written is with the system, or the connection is closed. */
  written(): Promise<void> {
    this.flush()
    if (this.closed || !this.#blocked) return Promise.resolve()
    return new Promise((resolve) => this.#whenWritten.push(resolve))
  }

  /** Queues text; it leaves at the end of this turn. More waiting than allowed ends the connection. */
  write(text: string): void {
    if (this.closed) return
    if (this.#out === '') {
      if (dirty.length === 0) setImmediate(flushAll)
      dirty.push(this)
    }
    this.#out += text
    const waiting = this.#out.length + (this.#rest?.length ?? 0) + this.#socket.writableLength
    if (waiting > this.#limits.maxOutputBytes) {
      this.destroy('the client does not read, and too much is waiting for it')
    }
  }

  flush(): void {
    if (this.#closed || this.#blocked || this.#out === '') return
    const text = this.#out
    this.#out = ''
    if (text.length <= pieceBytes) this.#written(this.#socket.write(text, 'utf8'))
    else {
      this.#rest = Buffer.from(text, 'utf8')
      this.#writeRest()
    }
  }

  /** Piece by piece, so that a slow peer is seen to make progress. */
  #writeRest(): void {
    while (this.#rest && !this.#blocked) {
      const piece = this.#rest.subarray(0, pieceBytes)
      this.#rest = this.#rest.length > pieceBytes ? this.#rest.subarray(pieceBytes) : undefined
      this.#written(this.#socket.write(piece))
    }
  }

  #written(more: boolean): void {
    if (more) return
    this.#blocked = true
    this.#stall = setTimeout(() => this.destroy('the client does not read'), this.#limits.sendTimeout)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Writes what is left, ends our side, and gives the peer a while to end its own. */
  end(): void {
    if (this.#closed || this.#closing) return
    this.flush()
    if (this.#rest || this.#out !== '') {
      // a peer that does not read gets no more than the close timeout to take what is left
      this.#socket.write(this.#rest ?? '')
      this.#socket.write(this.#out, 'utf8')
    }
    this.#socket.end()
    // a paused socket never sees the peer's end
    this.#socket.resume()
    this.#closing = setTimeout(() => this.destroy('the client does not close'), this.#limits.closeTimeout)
  }

  destroy(reason: string): void {
    this.#reason ??= reason
    this.#socket.destroy()
  }

  /** Starts TLS as the server; resolves when the handshake is over. A failure closes the connection. */
  startTls(options: TlsServerOptions): Promise<void> {
    this.flush()
    const plain = this.#socket
    plain.off('data', this.#onData)
    plain.off('close', this.#onClose)
    plain.off('drain', this.#onDrain)
    const secure = new TLSSocket(plain, {
      isServer: true,
      secureContext: options.secureContext,
      SNICallback: (name, done) => done(null, options.forName(name) ?? options.secureContext),
      ALPNProtocols: [...options.alpn],
      requestCert: options.requestCert,
      rejectUnauthorized: false,
    })
    this.#socket = secure
    this.#listen()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.destroy('TLS handshake timed out'),
        this.#limits.tlsHandshakeTimeout,
      )
      const failed = (): void => {
        clearTimeout(timer)
        reject(new Error(`TLS handshake failed: ${this.#reason ?? 'the client closed the connection'}`))
      }
      secure.once('close', failed)
      secure.once('secure', () => {
        clearTimeout(timer)
        secure.off('close', failed)
        resolve()
      })
    })
  }
}
