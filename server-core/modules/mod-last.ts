/** mod_last: when accounts were last seen, and how long the server has been up (XEP-0012). */

import { tryAgainLater } from '../extend/answer-to.ts'
import type { IqRequest } from '../extend/gen-iq-handler.ts'
import { defineModule, type HostContext } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { type Element, el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modLast = defineModule({
  name: 'mod_last',
  doc: 'Tells when somebody was last seen, and how long the server has been up (XEP-0012)',
  options: { iqdisc: iqdisc() },

  start(host, options) {
    const store = host.storage.last
    host.provide('last', {
      get: (user) => store.get(user, host.host),
      set: (user, last) => store.set(user, host.host, last),
    })
    host.feature('local', ns.last)
    host.feature('sm', ns.last)
    host.iq('local', ns.last, uptime, options.iqdisc)
    host.iq('sm', ns.last, (request) => lastSeen(host, request), options.iqdisc)
    host.hook('unset_presence_hook', (_, { jid, status }) =>
      store.set(jid.user, host.host, { seconds: Math.floor(Date.now() / 1_000), status }),
    )
  },
})

function uptime(request: IqRequest): Element {
  if (request.type === 'set') throw new StanzaError('not-allowed')
  return seconds(performance.now() / 1_000)
}

/** Only for those who may see the account's presence (XEP-0012 §4). */
async function lastSeen(host: HostContext, request: IqRequest): Promise<Element> {
  const { user } = request.to
  if (!request.from.bare.equals(request.to.bare)) {
    const known = await host.fold(
      'roster_get_jid_info',
      { subscription: 'none', groups: [] },
      { user, host: host.host, jid: request.from.bare },
    )
    if (known.failed) throw tryAgainLater()
    if (known.subscription !== 'from' && known.subscription !== 'both') throw new StanzaError('forbidden')
  }
  if (request.type === 'set') throw new StanzaError('not-allowed')
  const isHere = host.sessions.ofUser(user, host.host).some((session) => session.presence !== undefined)
  if (isHere) return seconds(0)
  const last = await host.storage.last.get(user, host.host)
  if (last === undefined) throw new StanzaError('item-not-found', 'never seen')
  return seconds(Math.max(0, Date.now() / 1_000 - last.seconds), last.status)
}

function seconds(span: number, status = ''): Element {
  const text = status === '' ? undefined : status
  return el('query', { xmlns: ns.last, seconds: String(Math.floor(span)) }, text)
}
