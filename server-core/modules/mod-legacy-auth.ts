/** mod_legacy_auth: lets clients log in that are older than SASL (XEP-0078). Only those need it. */
import { defineModule } from '../extend/gen-mod.ts'
import { el } from '../xml/element.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modLegacyAuth = defineModule({
  name: 'mod_legacy_auth',
  doc: 'Lets clients of before XMPP 1.0 log in (XEP-0078)',
  options: {},

  start(host) {
    host.hook('c2s_stream_features', (features, { authenticated }) =>
      authenticated ? features : [...features, el('auth', { xmlns: ns.authFeature })],
    )
    // the rest is a part of the stream's negotiation, which the session itself does
    host.provide('legacyAuth', true)
  },
})
