/** mod_echo: a domain that sends everything back; the example of a route of a module's own. */
import { z } from 'zod'
import { defineModule, getOptHost } from '../extend/gen-mod.ts'
import { el, withAttributes } from '../xml/element.ts'
import { prepareHost } from '../xmpp/jid.ts'
import { Stanza } from '../xmpp/stanza.ts'

export const modEcho = defineModule({
  name: 'mod_echo',
  doc: 'A domain that sends everything back to its sender',
  options: {
    host: z
      .string()
      .refine((text) => prepareHost(text.replaceAll('@HOST@', 'example.org')) !== undefined, {
        error: 'must be a domain name; @HOST@ stands for the host',
      })
      .default('echo.@HOST@')
      .describe('the domain; @HOST@ stands for the host'),
  },

  start(host, options) {
    const domain = getOptHost(host.host, options, 'echo.@HOST@')
    host.localRoute(domain, (stanza) => {
      // An error must not be answered, and what comes from the domain itself would never end.
      if (stanza.type === 'error' || stanza.from.host === domain) return
      const { from, to } = stanza
      return host.route(
        new Stanza(
          to,
          from,
          withAttributes(stanza.element, { from: to.text, to: from.text }),
          stanza.context,
        ),
      )
    })
    host.hook('disco_local_items', (items, { node }) =>
      node === '' ? [...items, el('item', { jid: domain })] : undefined,
    )
  },
})
