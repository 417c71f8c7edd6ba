/** Routers and a session manager with sessions that only write down what they get. */
import { IqHandlers } from '../../server-core/extend/gen-iq-handler.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { silentLogger } from '../../server-core/log.ts'
import { LocalRouter } from '../../server-core/routing/local-router.ts'
import { Router } from '../../server-core/routing/router.ts'
import type { Session, SessionEvent, SessionInfo } from '../../server-core/routing/session.ts'
import { SessionManager, type SessionManagerOptions } from '../../server-core/routing/session-manager.ts'
import { type Element, el } from '../../server-core/xml/element.ts'
import type { Jid } from '../../server-core/xmpp/jid.ts'
import type { Stanza } from '../../server-core/xmpp/stanza.ts'
import { jid } from '../modules/host.ts'

export const here = 'verona.example'
export const elsewhere = 'mantua.example'

let serial = 0

export class Resource implements Session {
  readonly sid = `s${++serial}`
  readonly jid: Jid
  readonly info: SessionInfo
  presence: Element | undefined
  presenceSince = 0
  priority: number | undefined
  interested = false
  detached = false
  readonly received: Stanza[] = []
  readonly events: SessionEvent[] = []
  /** Who has its directed presence. */
  readonly directed = new Set<string>()
  /** Called with each event. */
  onTold: (event: SessionEvent) => void = () => undefined

  constructor(address: string, priority?: number, since = 0) {
    this.jid = jid(address)
    this.priority = priority
    if (priority !== undefined) this.presence = el('presence', { from: address }, el('status', {}, 'here'))
    this.info = { connection: 'c2s_tls', ip: '127.0.0.1', port: 1, node: 'test', backend: 'internal', since }
  }

  seenBy(who: Jid): boolean {
    return this.directed.has(who.text)
  }

  deliver(stanza: Stanza): void {
    this.received.push(stanza)
  }

  tell(event: SessionEvent): void {
    this.events.push(event)
    this.onTold(event)
  }
}

export interface Verona {
  readonly hooks: HookRegistry
  readonly iqs: IqHandlers
  readonly router: Router
  readonly sessions: SessionManager
  /** What came back to romeo@mantua.example. */
  readonly answers: Stanza[]
}

/** @param accounts the users that there are, or what looks one up */
export function verona(
  accounts: readonly string[] | ((user: string) => Promise<boolean>) = ['juliet'],
  options: Partial<SessionManagerOptions> = {},
): Verona {
  const hooks = new HookRegistry(silentLogger())
  const iqs = new IqHandlers(silentLogger())
  const router = new Router(hooks, silentLogger())
  const answers: Stanza[] = []
  const exists = typeof accounts === 'function' ? accounts : async (user: string) => accounts.includes(user)
  const sessions = new SessionManager(router, iqs, hooks, exists, {
    maxUserSessions: 10,
    whenFull: 'replace',
    conflict: 'replace',
    iqNeedsPresence: false,
    ...options,
  })
  const local = new LocalRouter(router, sessions, iqs, hooks)
  router.registerLocalRoute(here, (stanza) => local.route(stanza))
  router.registerLocalRoute(elsewhere, (stanza) => void answers.push(stanza))
  return { hooks, iqs, router, sessions, answers }
}

/** 'service-unavailable' of an error; else the type, or the name of the stanza. */
export function outcome(stanza: Stanza): string {
  const error = stanza.type === 'error' && stanza.element.children.at(-1)
  const condition = typeof error === 'object' && error.children[0]
  return typeof condition === 'object' ? condition.name : stanza.type || stanza.kind
}
