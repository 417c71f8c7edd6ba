/** A host with real hooks, routers, module manager and storage, and sessions that only write down what they get. */

import { IqHandlers } from '../../server-core/extend/gen-iq-handler.ts'
import type { ModuleSpec } from '../../server-core/extend/gen-mod.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { ModuleManager, type ModuleOptions } from '../../server-core/extend/module-manager.ts'
import { silentLogger } from '../../server-core/log.ts'
import { LocalRouter } from '../../server-core/routing/local-router.ts'
import { Router } from '../../server-core/routing/router.ts'
import type { Session, SessionEvent, SessionInfo } from '../../server-core/routing/session.ts'
import { SessionManager } from '../../server-core/routing/session-manager.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { attr, type Element, el, removeCdata, withAttributes } from '../../server-core/xml/element.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { type Jid, parseJid } from '../../server-core/xmpp/jid.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'
import { until } from '../harness/deadline.ts'
import { temporaryFolder } from '../harness/folder.ts'

/** The domain of all accounts, and one that is elsewhere: what goes there is written down. */
export const here = 'montague.example'
export const elsewhere = 'capulet.example'

export function jid(text: string): Jid {
  const parsed = parseJid(text)
  if (parsed === undefined) throw new Error(`no address: ${text}`)
  return parsed
}

/** The element that a text stands for, as a client's stream would give it. */
export function xml(text: string): Element {
  const parsed = parseElement(`<stream xmlns='jabber:client'>${text}</stream>`)
  const element = parsed.element && removeCdata(parsed.element.children)[0]
  if (element === undefined) throw new Error(`no element: ${text}`)
  return element
}

export function stanza(text: string, context?: Stanza['context']): Stanza {
  const element = xml(text)
  return new Stanza(jid(attr(element, 'from') ?? ''), jid(attr(element, 'to') ?? ''), element, context)
}

let sessions = 0

export class FakeSession implements Session {
  readonly sid = `s${++sessions}`
  readonly jid: Jid
  readonly info: SessionInfo
  presence: Element | undefined
  presenceSince = 0
  interested = false
  readonly received: Stanza[] = []
  readonly events: SessionEvent[] = []
  readonly #host: TestHost

  constructor(host: TestHost, address: Jid) {
    this.#host = host
    this.jid = address
    this.info = {
      connection: 'c2s_tls',
      ip: '127.0.0.1',
      port: 1,
      node: 'test',
      backend: 'internal',
      since: Date.now(),
    }
  }

  get priority(): number | undefined {
    return this.presence ? 0 : undefined
  }

  seenBy(): boolean {
    return false
  }

  deliver(arrived: Stanza): void {
    this.received.push(arrived)
    this.#host.note(`${this.jid.text} gets`, arrived.element)
  }

  tell(event: SessionEvent): void {
    this.events.push(event)
    if (event.type !== 'send-presence' || !this.presence) return
    const { to } = event
    const type = event.available ? undefined : 'unavailable'
    const element = withAttributes(this.presence, { from: this.jid.text, to: to.text, type })
    void this.#host.router.route(new Stanza(this.jid, to, element))
  }

  /** Everything received since the last call, as texts. */
  take(): string[] {
    return this.received.splice(0).map((one) => elementToString(one.element))
  }

  /** Sends an iq to the own account or elsewhere, and waits for its answer. */
  async iq(
    type: 'get' | 'set',
    child: Element | undefined,
    to: string = this.jid.bareText,
  ): Promise<Element> {
    const id = `iq${++ids}`
    await this.#host.router.route(
      new Stanza(this.jid, jid(to), el('iq', { type, id, from: this.jid.text, to }, child)),
    )
    const answer = await until(`an answer to ${id}`, () =>
      this.received.find(
        (one) => one.kind === 'iq' && one.id === id && (one.type === 'result' || one.type === 'error'),
      ),
    )
    return answer.element
  }
}

let ids = 0

export class TestHost {
  readonly hooks = new HookRegistry(silentLogger())
  readonly iqs = new IqHandlers(silentLogger())
  readonly router = new Router(this.hooks, silentLogger())
  readonly accounts = new Set<string>()
  readonly sessions: SessionManager
  readonly storage: Storage
  readonly modules: ModuleManager
  readonly commands = new Set<string>()
  /** Everything that anybody got, in order: 'romeo@montague.example/orchard gets <presence …/>'. */
  readonly transcript: string[] = []
  readonly #folder: { remove(): void }

  constructor(storage: Storage, folder: { remove(): void }, table: readonly ModuleSpec[]) {
    this.storage = storage
    this.#folder = folder
    const accountExists = async (user: string): Promise<boolean> => this.accounts.has(user)
    this.sessions = new SessionManager(this.router, this.iqs, this.hooks, accountExists, {
      maxUserSessions: 10,
      whenFull: 'replace',
      conflict: 'replace',
      iqNeedsPresence: false,
    })
    const local = new LocalRouter(this.router, this.sessions, this.iqs, this.hooks)
    this.router.registerLocalRoute(here, (one) => local.route(one))
    this.router.registerLocalRoute(elsewhere, (one) => this.note(`${elsewhere} gets`, one.element))
    this.modules = new ModuleManager({
      table,
      version: '1.2.3',
      storage,
      sessions: this.sessions,
      router: this.router,
      iqs: this.iqs,
      hooks: this.hooks,
      log: silentLogger(),
      accountExists,
      addCommand: (spec) => {
        this.commands.add(spec.name)
        return () => this.commands.delete(spec.name)
      },
    })
  }

  note(what: string, element: Element): void {
    this.transcript.push(`${what} ${elementToString(element)}`)
  }

  /** A connected resource; `available` and `interested` (has asked for the roster) unless told otherwise. */
  async login(
    address: string,
    state: { readonly available?: boolean; readonly interested?: boolean } = {},
  ): Promise<FakeSession> {
    const session = new FakeSession(this, jid(address))
    this.accounts.add(session.jid.user)
    if (state.available ?? true) session.presence = xml('<presence><status>here</status></presence>')
    session.interested = state.interested ?? true
    await this.sessions.open(session)
    return session
  }

  async logout(session: FakeSession): Promise<void> {
    await this.sessions.close(session)
  }

  /** A client's stanza, as c2s hands it on: a subscription goes to the hook first. */
  async send(text: string): Promise<void> {
    const one = stanza(text)
    const isSubscription =
      one.kind === 'presence' && ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'].includes(one.type)
    const isHandled =
      isSubscription &&
      one.from.host === here &&
      (await this.hooks.run('roster_out_subscription', here, {
        user: one.from.user,
        host: here,
        stanza: one,
      }))
    if (!isHandled) await this.router.route(one)
  }

  /** Everything written down since the last call. */
  take(): string[] {
    return this.transcript.splice(0)
  }

  async stop(): Promise<void> {
    await this.modules.stopAll(here)
    await this.storage.close()
    this.#folder.remove()
  }
}

export async function startHost(
  table: readonly ModuleSpec[],
  options: Readonly<Record<string, ModuleOptions>>,
): Promise<TestHost> {
  const folder = temporaryFolder('modules')
  const storage = await openStorage('sqlite', { file: folder.file('data.sqlite') })
  const host = new TestHost(storage, folder, table)
  await host.modules.startAll(here, options)
  return host
}
