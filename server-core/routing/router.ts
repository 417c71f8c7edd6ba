/**
 * The router: every stanza that goes from one address to another passes here (server-behaviour: filter, answers to our own
 * requests, local routes, global routes, other servers). It only dispatches.
 */

import { answerTo } from '../extend/answer-to.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import { shareOf } from '../extend/share.ts'
import type { Logger } from '../log.ts'
import type { Element } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { errorReply, type Stanza } from '../xmpp/stanza.ts'
import { PendingIqs } from './pending-iqs.ts'
import { S2sManager } from './s2s-manager.ts'

export type RouteHandler = (stanza: Stanza) => void | Promise<void>

/** Which address decides among several owners of one global route. */
export type RouteKey = 'source' | 'destination' | 'bare-source' | 'bare-destination' | 'random'

interface GlobalRoute {
  readonly owner: string
  readonly handler: RouteHandler
}

export class Router {
  readonly #local = new Map<string, RouteHandler>()
  readonly #global = new Map<string, { readonly key: RouteKey; readonly owners: readonly GlobalRoute[] }>()
  readonly #pending = new PendingIqs()
  readonly #s2s: S2sManager
  readonly #hooks: HookRegistry
  readonly #log: Logger

  constructor(hooks: HookRegistry, log: Logger) {
    this.#hooks = hooks
    this.#log = log
    this.#s2s = new S2sManager((answer) => this.route(answer))
  }

  /** A promise only when somebody on the way waits: the sender's next stanza then waits too, which keeps the order. */
  route(stanza: Stanza): void | Promise<void> {
    if (!this.#hooks.has('filter_packet', '')) return this.#dispatch(stanza)
    const filtered = this.#hooks.fold('filter_packet', '', stanza, {})
    if (filtered instanceof Promise)
      return filtered.then((passed) => passed && this.#dispatch(passed)) as Promise<void>
    if (filtered) return this.#dispatch(filtered)
  }

  #dispatch(stanza: Stanza): void | Promise<void> {
    if (stanza.kind === 'iq' && !stanza.isRequest && this.#pending.take(stanza)) return
    const handler = this.#local.get(stanza.to.host) ?? this.#globalRoute(stanza)
    try {
      const done = handler ? handler(stanza) : this.#s2s.route(stanza)
      if (done instanceof Promise) return done.catch((error: unknown) => this.#failed(stanza, error))
    } catch (error) {
      return this.#failed(stanza, error)
    }
  }

  #failed(stanza: Stanza, err: unknown): void | Promise<void> {
    // a handler that refuses has handled it
    const isRefusal = err instanceof StanzaError && err.condition !== 'internal-server-error'
    this.#log[isRefusal ? 'debug' : 'error']({ err, to: stanza.to.text }, 'a stanza could not be handled')
    // an error for presence would end subscriptions and directed presence that are in order
    if (stanza.kind === 'presence') return
    const answer = errorReply(stanza, answerTo(err))
    if (answer) return this.route(answer)
  }

  /** Sends a request of the server's own and waits for its answer, at most 32 s. */
  async request(stanza: Stanza): Promise<Element> {
    const answer = this.#pending.wait(stanza)
    // it may come, or fail to, while the request still is on its way
    answer.catch(() => undefined)
    await this.route(stanza)
    return answer
  }

  hasRoute(domain: string): boolean {
    return this.#local.has(domain) || this.#global.has(domain)
  }

  /** Domains of this process; one handler each. Returns what takes the route away. */
  registerLocalRoute(domain: string, handler: RouteHandler): () => void {
    if (this.hasRoute(domain)) throw new Error(`${domain} is routed already`)
    this.#local.set(domain, handler)
    void this.#hooks.run('route_registered', '', { domain })
    return () => {
      if (this.#local.get(domain) !== handler) return
      this.#local.delete(domain)
      void this.#hooks.run('route_unregistered', '', { domain })
    }
  }

  /** Domains that several owners may share; the key chooses among them and stays with its choice while the set does. */
  registerRoute(
    domain: string,
    owner: string,
    handler: RouteHandler,
    key: RouteKey = 'bare-destination',
  ): () => void {
    if (this.#local.has(domain)) throw new Error(`${domain} is routed already`)
    const before = this.#global.get(domain)
    const entry: GlobalRoute = { owner, handler }
    this.#global.set(domain, { key: before?.key ?? key, owners: [...(before?.owners ?? []), entry] })
    if (!before) void this.#hooks.run('route_registered', '', { domain })
    return () => {
      const now = this.#global.get(domain)
      const left = now?.owners.filter((other) => other !== entry) ?? []
      if (now && left.length > 0) this.#global.set(domain, { key: now.key, owners: left })
      else if (this.#global.delete(domain)) void this.#hooks.run('route_unregistered', '', { domain })
    }
  }

  #globalRoute(stanza: Stanza): RouteHandler | undefined {
    if (this.#global.size === 0) return undefined
    const route = this.#global.get(stanza.to.host)
    if (!route) return undefined
    if (route.owners.length === 1) return route.owners[0]?.handler
    return route.owners[choose(route.key, stanza, route.owners.length)]?.handler
  }
}

function choose(key: RouteKey, stanza: Stanza, n: number): number {
  if (key === 'random') return Math.floor(Math.random() * n)
  const jid = key === 'source' || key === 'bare-source' ? stanza.from : stanza.to
  const text = key === 'source' || key === 'destination' ? jid.text : jid.bareText
  return shareOf(text, n)
}
