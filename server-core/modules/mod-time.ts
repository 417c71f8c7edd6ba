/** mod_time: tells the host's time (XEP-0202). */
import { defineModule } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { type Element, el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modTime = defineModule({
  name: 'mod_time',
  doc: "Tells the server's time (XEP-0202)",
  options: { iqdisc: iqdisc() },

  start(host, options) {
    host.feature('local', ns.time)
    host.iq(
      'local',
      ns.time,
      (request) => {
        if (request.type === 'set') throw new StanzaError('not-allowed')
        const now = new Date()
        return timeElement(now, -now.getTimezoneOffset())
      },
      options.iqdisc,
    )
  },
})

/** @param offset minutes that the local time is ahead of UTC */
export function timeElement(now: Date, offset: number): Element {
  const utc = `${now.toISOString().slice(0, 19)}Z`
  return el('time', { xmlns: ns.time }, el('tzo', {}, zone(offset)), el('utc', {}, utc))
}

function zone(offset: number): string {
  const two = (n: number): string => String(Math.trunc(n)).padStart(2, '0')
  const minutes = Math.abs(offset)
  return `${offset < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
}
