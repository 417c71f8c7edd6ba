/** Packets to a served host: accounts go to the session manager, the rest is for the host itself. It only dispatches. */
import type { IqHandlers } from '../extend/gen-iq-handler.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import { el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { errorReply, Stanza } from '../xmpp/stanza.ts'
import type { Router } from './router.ts'
import type { SessionManager } from './session-manager.ts'

export class LocalRouter {
  readonly #router: Router
  readonly #sessions: SessionManager
  readonly #iqs: IqHandlers
  readonly #hooks: HookRegistry

  constructor(router: Router, sessions: SessionManager, iqs: IqHandlers, hooks: HookRegistry) {
    this.#router = router
    this.#sessions = sessions
    this.#iqs = iqs
    this.#hooks = hooks
  }

  route(stanza: Stanza): void | Promise<void> {
    if (stanza.to.user !== '') return this.#sessions.route(stanza)
    if (stanza.kind === 'iq') {
      if (!stanza.isRequest) return
      if (stanza.to.resource === '') {
        return this.#iqs.handle('local', stanza.to.host, stanza, (reply) => this.#router.route(reply))
      }
    }
    if (stanza.kind === 'presence') return this.#presence(stanza)
    const taken = this.#hooks.run('local_send_to_resource_hook', stanza.to.host, { stanza })
    if (taken instanceof Promise) return taken.then((yes) => this.#untaken(stanza, yes))
    return this.#untaken(stanza, taken)
  }

  #untaken(stanza: Stanza, taken: boolean): void | Promise<void> {
    if (taken || stanza.type === 'headline') return
    const answer = errorReply(stanza, new StanzaError('service-unavailable'))
    if (answer) return this.#router.route(answer)
  }

  /** A host has no presence: who asks for it is told so, the rest is dropped unless a module takes it. */
  #presence(stanza: Stanza): void | Promise<void> {
    const taken = this.#hooks.run('local_send_to_resource_hook', stanza.to.host, { stanza })
    const answer = (yes: boolean): void | Promise<void> => {
      if (yes || (stanza.type !== 'subscribe' && stanza.type !== 'probe')) return
      return this.#router.route(unsubscribed(stanza))
    }
    return taken instanceof Promise ? taken.then(answer) : answer(taken)
  }
}

/** `unsubscribed` from the bare address asked, with the request's id. */
export function unsubscribed(stanza: Stanza): Stanza {
  const from = stanza.to.bare
  const to = stanza.type === 'subscribe' ? stanza.from.bare : stanza.from
  return new Stanza(
    from,
    to,
    el('presence', { from: from.text, to: to.text, type: 'unsubscribed', id: stanza.id || undefined }),
  )
}
