/** mod_ping: answers pings to the host and to accounts (XEP-0199). That silent clients are pinged is the client sessions' part. */

import type { IqRequest } from '../extend/gen-iq-handler.ts'
import { defineModule } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modPing = defineModule({
  name: 'mod_ping',
  doc: 'Answers pings (XEP-0199)',
  options: { iqdisc: iqdisc() },

  start(host, options) {
    const pong = (request: IqRequest): void => {
      if (request.type === 'set') throw new StanzaError('not-allowed')
    }
    for (const component of ['local', 'sm'] as const) {
      host.iq(component, ns.ping, pong, options.iqdisc)
      host.feature(component, ns.ping)
    }
  },
})
