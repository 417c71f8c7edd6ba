/**
 * Stream management (XEP-0198): what was sent to the client and not yet acknowledged, so that nothing is lost when a
 * connection is. The session itself (c2s.ts) writes every stanza through here once the client has asked for it.
 */
import { randomBytes } from 'node:crypto'
import { appendSubtags, attr, type Element, el, getChild } from '../xml/element.ts'
import { StanzaError, StreamError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'
import { errorReply, type Stanza } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'
import { ended, waitForBind } from './states.ts'

/** Counters wrap here (XEP-0198 §4). */
const wrap = 2 ** 32

/** A counter, so many stanzas later. */
export function counted(from: number, more: number): number {
  return (from + more) % wrap
}

/** How many stanzas lie between two counters. */
export function countBetween(from: number, to: number): number {
  return (to - from + wrap) % wrap
}

/** The client is asked after so many stanzas, or so long after the last, in milliseconds. */
const askAfterStanzas = 20
const askAfterTime = 2_000
/** Modules are told that a client owes an acknowledgement so long, in milliseconds. */
const overdueAfter = 10_000

/** Characters that are sent again at a time, before the client must have taken them. */
const resendAtOnce = 32_768

interface Unacknowledged {
  readonly text: string
  /** Undefined for what the session itself said: nobody else needs it. */
  readonly stanza: Stanza | undefined
  readonly at: number
}

export class StreamManagement {
  /** What a client names to resume; '' when it did not ask for that. */
  readonly id: string
  readonly #c2s: C2s
  /** Stanzas of the client that were handled. */
  #handled = 0
  /** Stanzas that the client has acknowledged. */
  #acknowledged = 0
  #queue: Unacknowledged[] = []
  #bytes = 0
  /** How many of the queue, its last, have not been written to this connection. */
  #unsent = 0
  #sinceAsked = 0
  #askedAt: number | undefined
  #isOverdue = false
  #lastSent = 0

  constructor(c2s: C2s, resumable: boolean) {
    this.#c2s = c2s
    this.id = resumable ? randomBytes(16).toString('hex') : ''
  }

  get handled(): number {
    return this.#handled
  }

  /** What the client has not acknowledged. */
  get waiting(): { readonly count: number; readonly bytes: number } {
    return { count: this.#queue.length, bytes: this.#bytes }
  }

  /** Whether more than what comes by itself may be sent, before the client has acknowledged some. */
  get hasRoom(): boolean {
    const { config } = this.#c2s.server
    return this.#queue.length < config.max_unacked / 2 && this.#bytes < config.max_unacked_bytes / 2
  }

  /** A stanza of the client's has been taken. */
  count(): void {
    this.#handled = counted(this.#handled, 1)
  }

  /** Writes a stanza and keeps it; while no connection is there it is only kept. */
  send(text: string, stanza: Stanza | undefined): void {
    const now = Date.now()
    this.#queue.push({ text, stanza, at: now })
    this.#bytes += text.length
    this.#lastSent = now
    const { config } = this.#c2s.server
    if (this.#queue.length > config.max_unacked || this.#bytes > config.max_unacked_bytes) {
      this.#c2s.fail(new StreamError('policy-violation', 'too many stanzas are not acknowledged'))
      return
    }
    if (this.#unsent > 0 || this.#c2s.detached) {
      this.#unsent++
      return
    }
    this.#c2s.connection.write(text)
    if (++this.#sinceAsked >= askAfterStanzas) this.#ask(now)
  }

  #ask(now: number): void {
    this.#sinceAsked = 0
    if (this.#askedAt === undefined) this.#isOverdue = false
    this.#askedAt ??= now
    this.#c2s.stream.send(el('r', { xmlns: ns.sm }))
  }

  /** Looked at every second: asks after a pause; true when an answer is overdue. */
  check(now: number, ackTimeout: number): boolean {
    if (this.#askedAt !== undefined) {
      const owed = now - this.#askedAt
      if (owed >= overdueAfter && !this.#isOverdue) this.#tellOverdue()
      return owed > ackTimeout
    }
    if (this.#queue.length > 0 && now - this.#lastSent >= askAfterTime) this.#ask(now)
    return false
  }

  #tellOverdue(): void {
    this.#isOverdue = true
    void this.#c2s.server.hooks.run('c2s_ack_overdue', this.#c2s.jid.host, { session: this.#c2s })
  }

  /** `<a h='…'/>`: that much has arrived (XEP-0198 §4). */
  acknowledge(element: Element): void {
    this.#askedAt = undefined
    this.confirm(readCounter(element))
  }

  /** Drops what the client has; what came from the offline store is deleted there. */
  confirm(h: number): void {
    const count = countBetween(this.#acknowledged, h)
    const written = this.#queue.length - this.#unsent
    if (count > written) {
      const sent = counted(this.#acknowledged, written)
      throw new StreamError('undefined-condition', 'more was acknowledged than was sent', {
        extra: el('handled-count-too-high', { xmlns: ns.sm, h: String(h), 'send-count': String(sent) }),
      })
    }
    if (count === 0) return
    const confirmed = this.#queue.splice(0, count)
    this.#acknowledged = h
    const seqs: number[] = []
    for (const { text, stanza } of confirmed) {
      this.#bytes -= text.length
      const { context } = stanza ?? {}
      if (context?.offline !== undefined) seqs.push(context.offline)
      context?.fork?.arrived()
    }
    if (seqs.length > 0) void this.#c2s.deliveredOffline(seqs)
    this.#c2s.inbox.hasRoomAgain()
  }

  /**
   * Everything that the client does not have, again, on its new connection, as fast as it reads: what comes meanwhile is sent
   * behind it.
   */
  async resend(): Promise<void> {
    this.#askedAt = undefined
    this.#sinceAsked = 0
    this.#unsent = this.#queue.length
    if (this.#unsent === 0) return
    const { connection } = this.#c2s
    const isOver = (): boolean => connection !== this.#c2s.connection || connection.closed
    while (this.#unsent > 0 && !isOver()) {
      for (let size = 0; this.#unsent > 0 && size < resendAtOnce; ) {
        const { text } = this.#queue[this.#queue.length - this.#unsent--] as Unacknowledged
        connection.write(text)
        size += text.length
      }
      await connection.written()
    }
    if (!isOver()) this.#ask(Date.now())
  }

  /** Takes out what the client never acknowledged, for when the session is over. */
  takeUnacknowledged(): readonly Unacknowledged[] {
    const rest = this.#queue
    this.#queue = []
    this.#bytes = 0
    this.#unsent = 0
    return rest
  }
}

function readCounter(element: Element): number {
  const h = attr(element, 'h') ?? ''
  if (!/^\d{1,10}$/.test(h) || Number(h) >= wrap) throw new StreamError('bad-format', 'h is no counter')
  return Number(h)
}

/** What a logged-in client says about it. */
export function handleStreamManagement(c2s: C2s, element: Element): void | Promise<void> {
  const { management } = c2s
  switch (element.name) {
    case 'enable':
      return enable(c2s, element)
    case 'resume':
      return resume(c2s, element)
    case 'r':
      if (!management) break
      c2s.stream.send(el('a', { xmlns: ns.sm, h: String(management.handled) }))
      return
    case 'a':
      if (!management) break
      return management.acknowledge(element)
    default:
  }
  throw new StreamError('unsupported-stanza-type')
}

function enable(c2s: C2s, element: Element): void {
  if (!c2s.bound) {
    c2s.stream.send(failed('unexpected-request'))
    return
  }
  if (c2s.management) throw new StreamError('policy-violation', 'stream management is enabled already')
  const wanted = attr(element, 'resume')
  const timeout = c2s.server.config.resume_timeout
  const resumable = (wanted === 'true' || wanted === '1') && timeout > 0
  const management = new StreamManagement(c2s, resumable)
  const max = resumable ? String(Math.round(timeout / 1_000)) : undefined
  c2s.stream.send(
    el('enabled', {
      xmlns: ns.sm,
      id: resumable ? management.id : undefined,
      resume: resumable ? 'true' : undefined,
      max,
    }),
  )
  c2s.manage(management)
}

/** The session of a lost connection goes on here (XEP-0198 §5), behind what was sent on that connection. */
async function resume(c2s: C2s, element: Element): Promise<void> {
  if (c2s.bound) throw new StreamError('policy-violation', 'a resource is bound already')
  const id = attr(element, 'previd') ?? ''
  const h = readCounter(element)
  const { resumable } = c2s.server
  const before = resumable.find(id, c2s.user, c2s.served.name)
  before?.management?.confirm(h)
  await before?.abandonConnection()
  if (c2s.state !== waitForBind) return
  // it may have ended meanwhile
  if (before && resumable.find(id, c2s.user, c2s.served.name) === before) return before.takeOver(c2s)
  c2s.stream.send(failed('item-not-found', resumable.handledBefore(id, c2s.user, c2s.served.name)))
}

function failed(condition: string, h?: number): Element {
  return el('failed', { xmlns: ns.sm, h: h?.toString() }, el(condition, { xmlns: ns.stanzas }))
}

/** How long it is remembered how far an ended session had got, in milliseconds. */
const rememberHandled = 3_600_000
const maxRemembered = 10_000

/** Sessions that can be resumed, by id, and how far those had got that no longer can. */
export class ResumableSessions {
  readonly #sessions = new Map<string, C2s>()
  readonly #over = new Map<
    string,
    { readonly account: string; readonly handled: number; readonly at: number }
  >()

  add(id: string, session: C2s): void {
    this.#sessions.set(id, session)
  }

  remove(id: string, session: C2s): void {
    if (!this.#sessions.delete(id) || !session.management) return
    const account = session.jid.bareText
    this.#over.set(id, { account, handled: session.management.handled, at: Date.now() })
    if (this.#over.size > maxRemembered)
      for (const oldest of this.#over.keys()) if (this.#over.delete(oldest)) break
  }

  /** Of that account, and not at its end. */
  find(id: string, user: string, host: string): C2s | undefined {
    const session = this.#sessions.get(id)
    const isTheirs = session?.user === user && session.served.name === host
    return isTheirs && session.state !== ended ? session : undefined
  }

  /** Of an ended session of that account. */
  handledBefore(id: string, user: string, host: string): number | undefined {
    const account = `${user}@${host}`
    const ending = this.#sessions.get(id)
    if (ending?.state === ended && ending.jid.bareText === account) return ending.management?.handled
    const entry = this.#over.get(id)
    if (!entry || entry.account !== account || Date.now() - entry.at > rememberHandled) return undefined
    return entry.handled
  }
}

/**
 * What becomes of the stanzas that the client never acknowledged, when its session is over, in order: normal and chat messages
 * go on to where the account is, with the time that they came, unless another resource has got them too; requests are
 * refused; the rest is dropped.
 */
export function afterTheEnd(c2s: C2s, unacknowledged: readonly Unacknowledged[]): readonly Stanza[] {
  const { jid, server } = c2s
  const now = server.sessions.find(jid)
  let to = now && now !== c2s ? jid : jid.bare
  const again: Stanza[] = []
  for (const { stanza, at } of unacknowledged) {
    // what the offline store still has comes to the next session from there, and what came after it comes behind it
    if (stanza?.context?.offline !== undefined) to = jid.bare
    const next = stanza && sentAgain(stanza, at, jid.host)
    if (next) again.push(next.kind === 'message' && next.type !== 'error' ? next.withTo(to) : next)
  }
  return again
}

function sentAgain(stanza: Stanza, at: number, host: string): Stanza | undefined {
  const { kind, type, context } = stanza
  if (kind === 'iq') return errorReply(stanza, new StanzaError('service-unavailable'))
  if (kind !== 'message') return undefined
  if (type === 'groupchat') return errorReply(stanza, new StanzaError('recipient-unavailable'))
  if (type === 'error' || type === 'headline') return undefined
  if (context?.copied || context?.forwarded) return undefined
  // from the offline store: it is still there
  if (context?.offline !== undefined) return undefined
  if (context?.fork && !context.fork.lost()) return undefined
  const delayed = getChild(stanza.element, 'delay', ns.delay)
    ? stanza.element
    : appendSubtags(stanza.element, [
        el('delay', { xmlns: ns.delay, from: host, stamp: new Date(at).toISOString() }),
      ])
  return stanza.withElement(delayed).withContext({ resent: true, rerouted: true, fork: undefined })
}
