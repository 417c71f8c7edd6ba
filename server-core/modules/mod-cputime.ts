/** mod_cputime: tells how much time the server has computed; the example of an IQ handler with a queue. */
import { cpuUsage } from 'node:process'
import { defineModule } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modCputime = defineModule({
  name: 'mod_cputime',
  doc: 'Tells the CPU time that the server has used',
  options: { iqdisc: iqdisc('one_queue') },

  start(host, options) {
    host.iq(
      'local',
      ns.cputime,
      (request) => {
        if (request.type === 'set') throw new StanzaError('not-allowed')
        const seconds = (cpuUsage().user / 1_000_000).toFixed(3)
        return el('query', { xmlns: ns.cputime }, el('cputime', {}, seconds))
      },
      options.iqdisc,
    )
  },
})
