/** mod_greeting: says hello to everybody who comes online. */
import { z } from 'zod'
import { defineModule } from '../../server-core/extend/gen-mod.ts'
import { el } from '../../server-core/xml/element.ts'
import { StanzaError } from '../../server-core/xmpp/errors.ts'
import { makeJid } from '../../server-core/xmpp/jid.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'

export const modGreeting = defineModule({
  name: 'mod_greeting',
  doc: 'Says hello to everybody who comes online',
  options: {
    text: z.string().default('Hello!').describe('what is said'),
  },

  start(host, options) {
    const from = makeJid('', host.host)
    let greeted = 0

    // Runs when a resource becomes available.
    host.hook('user_available_hook', (_, { jid }) => {
      greeted++
      const message = el(
        'message',
        { from: from.text, to: jid.text, type: 'headline' },
        el('body', {}, options.text),
      )
      return host.route(new Stanza(from, jid, message))
    })

    // Answers <greetings xmlns='urn:example:greetings'/> to the host.
    host.feature('local', 'urn:example:greetings')
    host.iq('local', 'urn:example:greetings', (request) => {
      if (request.type === 'set') throw new StanzaError('not-allowed')
      return el('greetings', { xmlns: 'urn:example:greetings', count: String(greeted) })
    })
  },
})
