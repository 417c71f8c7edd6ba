/** mod_blocking: accounts that somebody wants nothing to do with (XEP-0191). */
import { count } from '../../config/fields.ts'
import { defineModule } from '../../extend/gen-mod.ts'
import { iqdisc } from '../../extend/iqdisc.ts'
import { ns } from '../../xmpp/namespaces.ts'
import { Blocking } from './blocking.ts'

export const modBlocking = defineModule({
  name: 'mod_blocking',
  doc: 'Lets accounts block others (XEP-0191)',
  after: ['mod_roster'],
  options: {
    max_blocked: count(1).default(1_000).describe('addresses that one account may block'),
    iqdisc: iqdisc(),
  },

  start(host, options) {
    const blocking = new Blocking(host, options.max_blocked)
    host.feature('local', ns.blocking)
    host.iq('sm', ns.blocking, (request) => blocking.handle(request), options.iqdisc)
    host.hook('privacy_check_packet', (_, info) => blocking.check(info))
    host.hook('privacy_get_user_list', (blocked, { user }) => blocking.addTo(user, blocked))
    host.hook('sm_remove_connection_hook', (_, { sid }) => blocking.ended(sid))
    host.hook('remove_user', (_, { user }) => blocking.forget(user))
    host.hook('memory_holders', (all) => [
      ...all,
      { name: 'block lists', count: blocking.kept, bytes: undefined },
    ])
  },
})
