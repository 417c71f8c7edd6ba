/**
 * One client's session, from the first byte to the last: in this state, at this event, call that. What is called is in the
 * files beside this one: login.ts, bind.ts, stanza-in.ts, presence.ts; what comes from others: inbox.ts; the end: leaving.ts.
 */
import { randomBytes } from 'node:crypto'
import type { C2sListener } from '../config/schema.ts'
import type { Connection } from '../net/connection.ts'
import { Receiver } from '../net/receiver.ts'
import { Shaper } from '../net/shaper.ts'
import type { Session, SessionEvent, SessionInfo } from '../routing/session.ts'
import { type StreamHeader, StreamIn } from '../stream/stream-in.ts'
import { type Element, el } from '../xml/element.ts'
import { elementToString } from '../xml/serialize.ts'
import { StanzaError, StreamError } from '../xmpp/errors.ts'
import type { Jid } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { type Stanza, stanzaKind } from '../xmpp/stanza.ts'
import { handleBind } from './bind.ts'
import type { C2sHost, C2sServer } from './c2s-server.ts'
import { Inbox } from './inbox.ts'
import { giveBack, leave } from './leaving.ts'
import { handleLegacyAuth } from './legacy-auth.ts'
import { limitsAfterLogin, limitsBeforeLogin } from './limits.ts'
import { Liveness } from './liveness.ts'
import { Login } from './login.ts'
import { orderToEnd } from './orders.ts'
import { Presence } from './presence.ts'
import { refusal, unwritable } from './refusal.ts'
import { handleStanza } from './stanza-in.ts'
import {
  type C2sState,
  ended,
  sessionEstablished,
  waitForBind,
  waitForSession,
  waitForStream,
} from './states.ts'
import { handleStreamManagement, type StreamManagement } from './stream-management.ts'

/** With a counter behind it, a session's id is unique among all processes. */
const instance = randomBytes(6).toString('hex')
let sessions = 0

export class C2s implements Session {
  readonly sid: string
  readonly info: SessionInfo
  readonly server: C2sServer
  readonly listener: C2sListener
  connection: Connection
  receiver: Receiver
  stream: StreamIn
  readonly login: Login
  readonly own: Presence
  readonly liveness: Liveness
  readonly inbox: Inbox
  state: C2sState = waitForStream
  /** The served host that the stream is to. */
  host: C2sHost | undefined
  /** Of the client's stream header. */
  lang = ''
  /** Authenticated; '' before. */
  user = ''
  /** Which backend has let it in; '' before. */
  backend = ''
  interested = false
  /** Once the client has enabled it (XEP-0198). */
  management: StreamManagement | undefined
  /** Resolves when the connection is closed and nothing of the session is left to do. */
  readonly over: Promise<void>
  #left: Promise<void> | undefined
  /** What the client sent last, while it is being dealt with. */
  #input: Promise<void> | undefined
  #settleOver: () => void = () => undefined
  #jid: Jid | undefined
  /** The state to go back to when the full JID cannot be had. */
  #boundFrom: C2sState = waitForBind
  #stateTimer: NodeJS.Timeout | undefined
  #negotiationTimer: NodeJS.Timeout | undefined
  /** Why it has ended; undefined while it has not, and for an end in peace. */
  endReason: string | undefined

  constructor(
    server: C2sServer,
    listener: C2sListener,
    connection: Connection,
    onOver: (session: C2s) => void,
  ) {
    this.server = server
    this.listener = listener
    this.connection = connection
    this.over = new Promise<void>((settle) => {
      this.#settleOver = settle
    })
      .then(() => this.#left)
      .then(() => this.#input)
      .then(() => onOver(this))
    this.sid = `${instance}.${++sessions}`
    const { config } = server
    const { shaper } = listener
    this.stream = new StreamIn(connection, ns.client, server.defaultHost)
    this.login = new Login(this)
    this.own = new Presence(this)
    this.liveness = new Liveness(this)
    this.receiver = new Receiver(
      connection,
      this,
      limitsBeforeLogin(listener),
      shaper === 'none'
        ? undefined
        : new Shaper(shaper.rate, shaper.burst_size ?? shaper.rate * 5, Date.now()),
    )
    this.inbox = new Inbox(this)
    const current = (): Connection => this.connection
    const backend = (): string => this.backend
    this.info = {
      get backend() {
        return backend()
      },
      get connection() {
        return current().secure ? 'c2s_tls' : 'c2s'
      },
      get ip() {
        return current().remoteAddress
      },
      get port() {
        return current().remotePort
      },
      node: server.node,
      since: Date.now(),
    }
    this.#negotiationTimer = setTimeout(() => this.#timedOut(), config.negotiation_timeout)
    this.become(waitForStream)
    void server.hooks.run('c2s_init', '', { sid: this.sid, address: connection.remoteAddress })
    if (listener.tls) void this.login.directTls()
  }

  // ---- what it is to the rest of the server -------------------------------------------------------------------

  /** Bound: after that it has a full JID. */
  get jid(): Jid {
    if (!this.#jid) throw new Error('this session is not bound')
    return this.#jid
  }

  get bound(): boolean {
    return this.#jid !== undefined
  }

  get presence(): Element | undefined {
    return this.state === ended ? undefined : this.own.last
  }

  get presenceSince(): number {
    return this.own.since
  }

  get priority(): number | undefined {
    return this.presence ? this.own.priority : undefined
  }

  seenBy(jid: Jid): boolean {
    return this.own.directedTo(jid)
  }

  deliver(stanza: Stanza): void {
    if (this.state === ended) void giveBack(this.server.router, stanza)
    else this.inbox.post({ stanza })
  }

  tell(event: SessionEvent): void {
    if (this.state === ended) return
    // not by the mailbox: it counts even if the session ends before it is open
    if (event.type === 'inherits') {
      this.own.inherit(event.shownTo)
      return
    }
    // an order to end waits for nothing: a session that is stuck shall end too
    const order = orderToEnd(event)
    if (order) this.fail(order)
    else this.inbox.post({ event })
  }

  /** Resolves when everything that was delivered before has been written to the connection, or the session is over. */
  settled(): Promise<void> {
    if (this.state === ended) return Promise.resolve()
    return new Promise((settled) => this.inbox.post({ settled }))
  }

  // ---- events of the receiver ----------------------------------------------------------------------------------

  onStreamStart(root: Element): void | Promise<void> {
    return this.#guard(() => {
      if (this.state !== waitForStream) throw new StreamError('invalid-xml')
      const header = this.stream.read(root)
      return this.login.openStream(header)
    })
  }

  onElement(element: Element): void | Promise<void> {
    return this.#guard(() => this.#handle(element), element)
  }

  onStreamEnd(): void {
    this.end(undefined)
  }

  onStreamError(error: StreamError): void {
    this.fail(error)
  }

  /** Lost, unless the session was over before: a client that can resume has its time for that. */
  onClosed(reason: string | undefined): void {
    if (this.#jid) {
      void this.server.hooks.run('c2s_closed', this.#jid.host, { session: this, reason: reason ?? '' })
    }
    if (this.state === sessionEstablished && this.management?.id) this.#detach(reason)
    else this.end(reason ?? 'connection closed')
    if (this.state === ended) this.#settleOver()
  }

  #handle(element: Element): void | Promise<void> {
    switch (this.state.name) {
      case 'wait_for_feature_request':
      case 'wait_for_sasl_response':
        return this.login.handle(element)
      case 'wait_for_auth':
        return handleLegacyAuth(this, element)
      case 'wait_for_bind':
        return element.ns === ns.sm ? handleStreamManagement(this, element) : handleBind(this, element)
      case 'session_established':
        if (element.ns === ns.sm) return handleStreamManagement(this, element)
        // only stanzas count, not what modules take (XEP-0198 §4)
        if (this.management && element.ns === ns.client && stanzaKind(element)) this.management.count()
        return handleStanza(this, element)
      case 'wait_for_stream':
      case 'wait_for_session':
      case 'resume':
      case 'ended':
        return undefined
    }
  }

  /** The one place where what is thrown while a client's input is handled becomes an answer. */
  #guard(work: () => void | Promise<void>, element?: Element): void | Promise<void> {
    if (this.state === ended) return
    this.inbox.hold()
    let done: undefined | void | Promise<void>
    try {
      done = work()
    } catch (error) {
      this.failed(error, element)
    }
    this.inbox.release()
    // from here on what comes from others goes on: only this client's input waits
    if (!(done instanceof Promise)) return
    const handled = done
      .catch((error: unknown) => this.failed(error, element))
      .finally(() => {
        if (this.#input === handled) this.#input = undefined
      })
    this.#input = handled
    return handled
  }

  /** What a mistake costs: the stanza, or the session. */
  failed(error: unknown, element: Element | undefined): void {
    if (error instanceof StreamError) {
      this.fail(error)
    } else if (error instanceof StanzaError && element && stanzaKind(element)) {
      const answer = refusal(element, error, this.#jid)
      if (answer) this.send(answer)
    } else {
      this.server.log.error({ err: error, jid: this.#jid?.text }, 'a session failed')
      this.fail(new StreamError('internal-server-error'))
    }
  }

  /** Every stanza goes out here, counted for stream management; the element may be another than the stanza's. */
  send(element: Element, stanza?: Stanza): void {
    let text: string
    try {
      text = elementToString(element)
    } catch (err) {
      // no client can have sent it; who gets it has done nothing wrong, and who waits for an answer gets one
      this.server.log.error({ err, jid: this.#jid?.text }, 'a stanza cannot be written as XML and is dropped')
      const answer = stanza && unwritable(stanza)
      if (answer) this.send(answer.element, answer)
      return
    }
    if (this.management) {
      this.management.send(text, stanza)
    } else {
      this.connection.write(text)
      stanza?.context?.fork?.arrived()
    }
  }

  // ---- what its parts use ----------------------------------------------------------------------------------------

  get served(): C2sHost {
    if (!this.host) throw new StreamError('host-unknown')
    return this.host
  }

  /** Goes on to a state, which may last so long. */
  become(state: C2sState): void {
    if (this.state === ended) return
    this.state = state
    clearTimeout(this.#stateTimer)
    const { config } = this.server
    if (state === sessionEstablished) {
      clearTimeout(this.#negotiationTimer)
      this.receiver.setLimits(limitsAfterLogin(this.listener))
      this.inbox.release()
    } else if (state.name === 'resume') {
      this.#stateTimer = setTimeout(() => this.end('not resumed in time'), config.resume_timeout)
    } else {
      this.#stateTimer = setTimeout(() => this.#timedOut(), config.state_timeout)
    }
  }

  #timedOut(): void {
    this.fail(new StreamError('connection-timeout', 'the login took too long'))
  }

  /** The peer opens a new stream: what it said on the one before is forgotten. */
  restartStream(): void {
    this.stream.restart()
    this.receiver.restart()
    this.become(waitForStream)
  }

  /** The stream that the peer opened is answered; what follows depends on whether it is logged in. */
  streamOpened(header: StreamHeader, next: C2sState): void {
    this.lang = header.lang
    this.become(next)
  }

  /** '' takes a login back, of which nothing came. */
  loggedIn(user: string, backend: string): void {
    this.user = user
    this.backend = backend
    this.receiver.setLimits(user === '' ? limitsBeforeLogin(this.listener) : limitsAfterLogin(this.listener))
  }

  bind(jid: Jid): void {
    this.#boundFrom = this.state
    this.#jid = jid
    this.become(waitForSession)
  }

  /** The name is somebody else's: the client may ask for another. */
  unbind(): void {
    for (const stanza of this.inbox.take()) void giveBack(this.server.router, stanza)
    this.#jid = undefined
    this.become(this.#boundFrom)
  }

  establish(): void {
    this.become(sessionEstablished)
  }

  /** The server goes down. */
  shutdown(text: string): void {
    this.fail(new StreamError('system-shutdown', text))
  }

  /** Whether the connection is lost and the session waits to be resumed. */
  get detached(): boolean {
    return this.state.name === 'resume'
  }

  /** The client wants its stanzas acknowledged. */
  manage(management: StreamManagement): void {
    this.management = management
    if (management.id) this.server.resumable.add(management.id, this)
  }

  #detach(reason: string | undefined): void {
    this.server.log.info({ jid: this.jid.text, reason }, 'connection lost, the session waits')
    this.become({ name: 'resume' })
    void this.server.hooks.run('c2s_session_pending', this.jid.host, {
      session: this,
      reason: reason ?? '',
    })
  }

  /** Its client is about to go on elsewhere: resolves when what it has sent on this connection has been dealt with. */
  async abandonConnection(): Promise<void> {
    this.receiver.detach()
    if (!this.connection.closed) this.stream.fail(new StreamError('conflict', 'Resumed by new connection'))
    if (!this.detached) this.#detach('the client resumes')
    await this.#input
  }

  /** A new connection of the same client continues this session, which has no connection now. */
  takeOver(fresh: C2s): void {
    const { management } = this
    if (!management) return
    const { connection, receiver, stream } = fresh
    fresh.handOver()
    this.connection = connection
    this.receiver = receiver
    this.stream = stream
    this.lang = fresh.lang
    receiver.continueWith(this)
    stream.send(el('resumed', { xmlns: ns.sm, previd: management.id, h: String(management.handled) }))
    clearTimeout(this.#stateTimer)
    this.state = sessionEstablished
    this.inbox.later(management.resend())
    this.server.log.info({ jid: this.jid.text, address: this.info.ip }, 'session resumed')
    void this.server.hooks.run('c2s_session_resumed', this.jid.host, { session: this })
  }

  /** Its connection serves another session from now on. */
  handOver(): void {
    this.state = ended
    clearTimeout(this.#stateTimer)
    clearTimeout(this.#negotiationTimer)
    this.#settleOver()
  }

  /** Messages of the offline store have arrived: they need not be kept any more. */
  async deliveredOffline(seqs: readonly number[]): Promise<void> {
    try {
      await this.host?.offline?.delivered(this.user, seqs)
    } catch (err) {
      // they stay, and come again with the next session: twice is better than never
      this.server.log.warn({ err, jid: this.jid.text }, 'delivered offline messages could not be deleted')
    }
  }

  /** Ends the session with a stream error. */
  fail(error: StreamError): void {
    if (this.state === ended) return
    this.stream.fail(error)
    const reason = error.text ? `${error.condition}: ${error.text}` : error.condition
    this.#end(reason, error.condition === 'system-shutdown' ? 'debug' : 'info')
  }

  /** Ends the session: unavailable presence, out of the registry, what still waits back to the router. */
  end(reason: string | undefined): void {
    // who only knocks at the port is no news
    this.#end(reason, this.bound && reason !== undefined ? 'info' : 'debug')
  }

  #end(reason: string | undefined, level: 'info' | 'debug'): void {
    if (this.state === ended) return
    const { name: state } = this.state
    this.server.log[level]({ address: this.info.ip, jid: this.#jid?.text, state, reason }, 'connection ended')
    const wasEstablished = this.state === sessionEstablished || this.detached
    const wasBound = this.bound
    this.state = ended
    this.endReason = reason
    this.inbox.hold()
    clearTimeout(this.#stateTimer)
    clearTimeout(this.#negotiationTimer)
    this.receiver.stop()
    this.login.abort()
    if (wasBound) this.#left = leave(this, wasEstablished, this.#input)
    if (this.connection.closed) this.#settleOver()
    else this.stream.close()
  }
}
