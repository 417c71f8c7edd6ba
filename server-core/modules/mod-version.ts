/** mod_version: tells which program this is (XEP-0092). */
import { release, type } from 'node:os'
import { z } from 'zod'
import { defineModule } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modVersion = defineModule({
  name: 'mod_version',
  doc: 'Tells name and version of the server (XEP-0092)',
  options: {
    show_os: z.boolean().default(false).describe('tell the operating system too'),
    iqdisc: iqdisc(),
  },

  start(host, options) {
    host.feature('local', ns.version)
    host.iq(
      'local',
      ns.version,
      (request) => {
        if (request.type === 'set') throw new StanzaError('not-allowed')
        return el(
          'query',
          { xmlns: ns.version },
          el('name', {}, 'gatehouse'),
          el('version', {}, host.version),
          options.show_os ? el('os', {}, `${type()} ${release()}`) : undefined,
        )
      },
      options.iqdisc,
    )
  },
})
