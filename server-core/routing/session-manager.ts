/**
 * The session manager: which resources of an account are connected, and which of them get what is sent to the account
 * (RFC 6121 §8). The delivery tables are in delivery.ts; here they are looked up and carried out.
 *
 * The registry is this process's; a registry among several nodes takes its place behind the same methods, which is why
 * opening a session is asynchronous and why a session is only spoken to by deliver and tell.
 */
import { tryAgainLater } from '../extend/answer-to.ts'
import type { IqHandlers } from '../extend/gen-iq-handler.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import { goOn } from '../extend/hooks.ts'
import { Turns } from '../extend/turns.ts'
import { getChild } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import type { Jid } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { errorReply, type Stanza } from '../xmpp/stanza.ts'
import { type BareState, toBare, toFullWithoutMatch } from './delivery.ts'
import { Fork } from './fork.ts'
import { unsubscribed } from './local-router.ts'
import { answerProbe } from './probe.ts'
import type { Router } from './router.ts'
import type { Session, Sessions } from './session.ts'

export interface SessionManagerOptions {
  readonly maxUserSessions: number
  /** What happens at one more. */
  readonly whenFull: 'replace' | 'refuse'
  readonly conflict: 'replace' | 'refuse' | 'rename'
  /** Whether an IQ reaches a full JID only from those who may see its presence. */
  readonly iqNeedsPresence: boolean
}

/** When an account's last resource became unavailable, in Unix milliseconds; undefined when nobody knows. */
type LastSeen = (user: string, host: string) => Promise<number | undefined>

/** How long a new session waits for the one that it replaces, in milliseconds. */
const replaceTimeout = 2_000

const none: ReadonlyMap<string, Session> = new Map()

export class SessionManager implements Sessions {
  /** Bare JID → resource → session. */
  readonly #accounts = new Map<string, Map<string, Session>>()
  readonly #counts = new Map<string, number>()
  /** Who waits for a session, by sid, to be over. */
  readonly #ends = new Map<string, () => void>()
  readonly #router: Router
  readonly #iqs: IqHandlers
  readonly #hooks: HookRegistry
  readonly #options: SessionManagerOptions
  readonly #accountExists: (user: string, host: string) => Promise<boolean>
  readonly #lastSeen: LastSeen
  readonly #lookUps = new Turns()

  constructor(
    router: Router,
    iqs: IqHandlers,
    hooks: HookRegistry,
    accountExists: (user: string, host: string) => Promise<boolean>,
    options: SessionManagerOptions,
    lastSeen: LastSeen = async () => undefined,
  ) {
    this.#router = router
    this.#iqs = iqs
    this.#hooks = hooks
    this.#accountExists = accountExists
    this.#options = options
    this.#lastSeen = lastSeen
  }

  find(jid: Jid): Session | undefined {
    return this.#accounts.get(jid.bareText)?.get(jid.resource)
  }

  ofUser(user: string, host: string): readonly Session[] {
    const sessions = this.#accounts.get(`${user}@${host}`)
    if (!sessions) return []
    return [...sessions.values()].sort((a, b) => (a.jid.resource < b.jid.resource ? -1 : 1))
  }

  *ofHost(host: string): Iterable<Session> {
    for (const session of this.all()) if (session.jid.host === host) yield session
  }

  *all(): Iterable<Session> {
    for (const sessions of this.#accounts.values()) yield* sessions.values()
  }

  count(host?: string): number {
    if (host !== undefined) return this.#counts.get(host) ?? 0
    let sum = 0
    for (const count of this.#counts.values()) sum += count
    return sum
  }

  /**
   * Takes the full JID for a session, at once, so that two binds cannot both win; resolves when a session that had it is
   * gone, or after 2 s. 'conflict' when it is taken and the option says to refuse; 'rename' when it says so; 'full' when the
   * account may have no more sessions, and the option says to refuse.
   */
  async open(session: Session): Promise<'ok' | 'conflict' | 'rename' | 'full'> {
    const { jid } = session
    const sessions = this.#accounts.get(jid.bareText) ?? new Map<string, Session>()
    const before = sessions.get(jid.resource)
    if (before && this.#options.conflict === 'refuse') return 'conflict'
    if (before && this.#options.conflict === 'rename') return 'rename'
    if (!before && this.#options.whenFull === 'refuse' && sessions.size >= this.#options.maxUserSessions)
      return 'full'
    const leaving: Session[] = []
    if (before) {
      leaving.push(before)
    } else {
      this.#counts.set(jid.host, (this.#counts.get(jid.host) ?? 0) + 1)
      if (sessions.size >= this.#options.maxUserSessions) {
        leaving.push([...sessions.values()].reduce((a, b) => (endsBefore(a, b) ? a : b)))
      }
    }
    // taken first: the one that is replaced then knows that the address is not its own any more
    sessions.set(jid.resource, session)
    this.#accounts.set(jid.bareText, sessions)
    await Promise.all(leaving.map((old) => this.#end(old)))
    await this.#hooks.run('sm_register_connection_hook', jid.host, {
      sid: session.sid,
      jid,
      info: session.info,
    })
    return 'ok'
  }

  #end(session: Session): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, replaceTimeout)
      this.#ends.set(session.sid, () => {
        clearTimeout(timer)
        resolve()
      })
      session.tell({ type: 'replaced' })
    })
  }

  /** Whether the full JID is still this session's. */
  owns(session: Session): boolean {
    return this.find(session.jid) === session
  }

  /** Takes a session out, if its full JID is still its own. */
  async close(session: Session): Promise<void> {
    const { jid, sid, info } = session
    const sessions = this.#accounts.get(jid.bareText)
    if (sessions?.get(jid.resource) === session) {
      sessions.delete(jid.resource)
      if (sessions.size === 0) this.#accounts.delete(jid.bareText)
      this.#counts.set(jid.host, (this.#counts.get(jid.host) ?? 1) - 1)
    }
    this.#ends.get(sid)?.()
    this.#ends.delete(sid)
    await this.#hooks.run('sm_remove_connection_hook', jid.host, { sid, jid, info })
  }

  /** A stanza to an account or one of its resources. */
  route(stanza: Stanza): void | Promise<void> {
    const { host } = stanza.to
    if (this.#hooks.has('sm_receive_packet', host) || this.#hooks.has('privacy_check_packet', host)) {
      return this.#hooked(stanza)
    }
    return this.#deliver(stanza)
  }

  #hooked(stanza: Stanza): void | Promise<void> {
    const { user, host } = stanza.to
    return goOn(this.#hooks.fold('sm_receive_packet', host, stanza, {}), (taken) => {
      if (!taken) return
      const asked = { user, host, stanza: taken, direction: 'in' } as const
      return goOn(this.#hooks.fold('privacy_check_packet', host, 'allow', asked), (verdict) => {
        if (verdict === 'allow') return this.#deliver(taken)
        const answered =
          taken.isRequest || (taken.kind === 'message' && ['', 'normal', 'chat'].includes(taken.type))
        if (answered) return this.#refuse(taken, verdict === 'deny' ? undefined : tryAgainLater())
      })
    })
  }

  #deliver(stanza: Stanza): void | Promise<void> {
    const { to } = stanza
    const sessions = this.#accounts.get(to.bareText) ?? none
    if (stanza.kind === 'iq') return this.#iq(stanza, sessions)
    if (to.resource !== '') {
      const session = sessions.get(to.resource)
      if (session) return this.#toSession(stanza, session)
    }
    if (stanza.kind === 'message') return this.#message(stanza, sessions)
    return this.#presence(stanza, sessions)
  }

  #toSession(stanza: Stanza, session: Session): void | Promise<void> {
    if (stanza.kind === 'presence' && isSubscription(stanza.type)) return this.#subscription(stanza)
    if (stanza.kind === 'presence' && stanza.type === 'probe') return this.#probe(stanza)
    session.deliver(stanza)
  }

  #message(stanza: Stanza, sessions: ReadonlyMap<string, Session>): void | Promise<void> {
    const receivers = available(sessions)
    const state: BareState = receivers.length === 0 ? 'none' : receivers.length === 1 ? 'one' : 'several'
    const rule =
      stanza.to.resource === '' ? toBare(stanza.type, state) : toFullWithoutMatch(stanza.type, state)
    switch (rule) {
      case 'drop':
        return this.#dropOrRefuse(stanza, sessions)
      case 'refuse':
        return this.#refuse(stanza)
      case 'store':
        return this.#store(stanza)
      case 'highest': {
        const top = Math.max(...receivers.map((session) => session.priority ?? 0))
        return deliverTo(
          receivers.filter((session) => session.priority === top),
          stanza,
        )
      }
      case 'all':
        return deliverTo(receivers, stanza)
    }
  }

  /** A headline to a full JID of nobody is refused, to anybody's missing resource it is dropped (RFC 6121 §8.5.1). */
  #dropOrRefuse(stanza: Stanza, sessions: ReadonlyMap<string, Session>): void | Promise<void> {
    if (stanza.type !== 'headline' || stanza.to.resource === '' || sessions.size > 0) return
    return this.#accountExists(stanza.to.user, stanza.to.host).then((exists) =>
      exists ? undefined : this.#refuse(stanza),
    )
  }

  /** Nobody to deliver to: stored by whoever keeps offline messages, else refused. */
  async #store(stanza: Stanza): Promise<void> {
    const { user, host, bareText } = stanza.to
    // answers of a backend may overtake each other, messages must not
    const exists = await this.#lookUps.take(bareText, () => this.#accountExists(user, host))
    const sessions = this.#accounts.get(bareText) ?? none
    // somebody has come meanwhile
    if (available(sessions).length > 0) return this.#message(stanza, sessions)
    if (exists && (await this.#hooks.run('offline_message_hook', host, { stanza }))) return
    return this.#refuse(stanza)
  }

  async #presence(stanza: Stanza, sessions: ReadonlyMap<string, Session>): Promise<void> {
    if (stanza.type === 'probe') return this.#probe(stanza)
    // to a resource that is not there goes only a request (RFC 6121 §8.5.3.2)
    if (isSubscription(stanza.type)) {
      if (stanza.to.resource === '' || stanza.type === 'subscribe') return this.#subscription(stanza)
      return
    }
    // to a resource that is not there, or an error: nobody to tell
    if (stanza.to.resource !== '' || stanza.type === 'error') return
    for (const session of sessions.values()) if (session.presence) session.deliver(stanza)
  }

  async #subscription(stanza: Stanza): Promise<void> {
    const { user, host, resource } = stanza.to
    if (!(await this.#accountExists(user, host))) return
    const toAccount = resource === '' ? stanza : stanza.withTo(stanza.to.bare)
    const show = await this.#hooks.fold('roster_in_subscription', host, false, {
      user,
      host,
      stanza: toAccount,
    })
    if (!show) return
    // a request is for those who are there, an answer for those who see the roster (RFC 6121 §3.1.3, §3.1.6)
    for (const session of this.ofUser(user, host)) {
      if (stanza.type === 'subscribe' ? session.presence : session.interested) session.deliver(toAccount)
    }
  }

  async #probe(stanza: Stanza): Promise<void> {
    const { user, host } = stanza.to
    if (!(await this.#accountExists(user, host))) return this.#router.route(unsubscribed(stanza))
    const own = stanza.from.bareText === stanza.to.bareText
    const { subscription, failed } = await this.#hooks.fold(
      'roster_get_jid_info',
      host,
      { subscription: 'none', groups: [] },
      { user, host, jid: stanza.from.bare },
    )
    // no answer is better than `unsubscribed`, which would end a subscription that may be there
    if (failed && !own) return
    const allowed = own || subscription === 'from' || subscription === 'both'
    await this.#hooks.run('presence_probe_hook', host, { from: stanza.from, to: stanza.to })
    const resources = this.ofUser(user, host)
    const isHere = resources.some((session) => session.presence)
    const goneSince = allowed && !isHere ? await this.#lastSeen(user, host) : undefined
    for (const answer of answerProbe(stanza, allowed, resources, goneSince)) await this.#router.route(answer)
  }

  #iq(stanza: Stanza, sessions: ReadonlyMap<string, Session>): void | Promise<void> {
    const { user, host, resource } = stanza.to
    if (resource !== '') return this.#iqToResource(stanza, sessions.get(resource))
    if (!stanza.isRequest) return
    const handle = (): void | Promise<void> =>
      this.#iqs.handle('sm', host, stanza, (reply) => this.#router.route(reply))
    // somebody connected has an account; asking the backend for every IQ to oneself would be waste
    if (sessions.size > 0) return handle()
    return this.#accountExists(user, host).then((exists) =>
      exists ? handle() : this.#refuse(stanza, this.#refusalOfNobody(stanza)),
    )
  }

  /** What a stranger would hear of an account: the answer shall not tell that there is none. */
  #refusalOfNobody(stanza: Stanza): StanzaError | undefined {
    const isForbidden = asksForLast(stanza) && this.#iqs.has('sm', stanza.to.host, ns.last)
    return isForbidden ? new StanzaError('forbidden') : undefined
  }

  #iqToResource(stanza: Stanza, session: Session | undefined): void | Promise<void> {
    if (!stanza.isRequest) return session?.deliver(stanza)
    // asked before anybody looks whether the resource is there: the answer shall not tell
    if (asksForLast(stanza)) return this.#iqIfSubscribed(stanza, new StanzaError('forbidden'))
    if (!this.#options.iqNeedsPresence || this.#isTrusted(stanza, session)) return this.#iqTo(stanza, session)
    return this.#iqIfSubscribed(stanza)
  }

  #iqTo(stanza: Stanza, session: Session | undefined): void | Promise<void> {
    return session ? session.deliver(stanza) : this.#refuse(stanza)
  }

  /** The host, a component of its, or somebody whom the resource has shown that it is there. */
  #isTrusted({ from, to }: Stanza, session: Session | undefined): boolean {
    const isComponent =
      from.user === '' && from.host.endsWith(`.${to.host}`) && this.#router.hasRoute(from.host)
    return isHost(from, to) || isComponent || (session?.seenBy(from) ?? false)
  }

  /** To a resource of the own account, or of one whose presence the sender may see. */
  async #iqIfSubscribed(stanza: Stanza, refusal?: StanzaError): Promise<void> {
    const { from, to } = stanza
    const { user, host } = to
    if (from.bareText === to.bareText || isHost(from, to)) return this.#iqTo(stanza, this.find(to))
    const { subscription, failed } = await this.#hooks.fold(
      'roster_get_jid_info',
      host,
      { subscription: 'none', groups: [] },
      { user, host, jid: from.bare },
    )
    if (subscription === 'from' || subscription === 'both') return this.#iqTo(stanza, this.find(to))
    return this.#refuse(stanza, failed ? tryAgainLater() : refusal)
  }

  async #refuse(stanza: Stanza, error = new StanzaError('service-unavailable')): Promise<void> {
    const bounced = await this.#hooks.fold('bounce_sm_packet', stanza.to.host, stanza, {})
    const answer = bounced && errorReply(bounced, error)
    if (answer) return this.#router.route(answer)
  }
}

function deliverTo(receivers: readonly Session[], stanza: Stanza): void {
  const copy = receivers.length > 1 ? stanza.withContext({ fork: new Fork(receivers.length) }) : stanza
  for (const session of receivers) session.deliver(copy)
}

/** Where one must end for another: those without a connection first, then the oldest. */
function endsBefore(a: Session, b: Session): boolean {
  if ((a.detached ?? false) !== (b.detached ?? false)) return a.detached ?? false
  return a.info.since <= b.info.since
}

function isHost(from: Jid, to: Jid): boolean {
  return from.user === '' && from.host === to.host
}

/** XEP-0012: how long somebody has been idle is for those who may see his presence. */
function asksForLast({ element }: Stanza): boolean {
  return getChild(element, 'query', ns.last) !== undefined
}

function isSubscription(type: string): boolean {
  return type === 'subscribe' || type === 'subscribed' || type === 'unsubscribe' || type === 'unsubscribed'
}

function available(sessions: ReadonlyMap<string, Session>): readonly Session[] {
  if (sessions.size === 0) return []
  const list: Session[] = []
  for (const session of sessions.values()) {
    if (session.priority !== undefined && session.priority >= 0) list.push(session)
  }
  return list
}
