/** mod_roster: contact lists and subscriptions (RFC 6121 §2 and §3). */
import { count } from '../../config/fields.ts'
import { defineModule } from '../../extend/gen-mod.ts'
import { stop } from '../../extend/hooks.ts'
import { el } from '../../xml/element.ts'
import { ns } from '../../xmpp/namespaces.ts'
import { Rosters } from './roster.ts'
import { Subscribing } from './subscribing.ts'
import { isSeenByContact, seesContact } from './subscriptions.ts'

export const modRoster = defineModule({
  name: 'mod_roster',
  doc: 'Contact lists and presence subscriptions (RFC 6121)',
  options: {
    max_roster_items: count(1).default(5_000).describe('contacts of one account'),
    max_pending_in: count(1).default(200).describe('requests of others that wait for one account'),
  },

  start(host, options) {
    const rosters = new Rosters(host, {
      maxItems: options.max_roster_items,
      maxPendingIn: options.max_pending_in,
    })
    const subscribing = new Subscribing(rosters)
    const store = host.storage.rosters

    host.provide('roster', rosters)
    host.iq('sm', ns.roster, (request) => rosters.handle(request))
    host.hook('roster_get_versioning_feature', (features) => [
      ...features,
      el('ver', { xmlns: ns.rosterver }),
    ])
    host.hook('c2s_stream_features', (features, { authenticated }) =>
      authenticated ? [...features, el('sub', { xmlns: ns.preApproval })] : undefined,
    )

    host.hook('roster_out_subscription', async (_, { user, stanza }) => {
      await subscribing.outgoing(user, stanza)
      return stop()
    })
    host.hook('roster_in_subscription', async (_, { user, stanza }) => {
      await subscribing.incoming(user, stanza)
      return false
    })
    host.hook('remove_user', (_, { user }) => subscribing.endAll(user))
    host.hook('resend_subscription_requests_hook', async (stanzas, { user }) => [
      ...stanzas,
      ...(await subscribing.waiting(user)),
    ])
    host.hook('user_available_hook', (_, { jid }) => subscribing.repeat(jid.user))
    host.every(3_600_000, () => subscribing.prune())

    host.hook('roster_get_subscription_lists', async (lists, { user }) => {
      try {
        const items = await rosters.items(user)
        const jids = (may: typeof seesContact) =>
          items.filter((item) => may(item.subscription)).map((item) => item.jid)
        return {
          ...lists,
          from: [...lists.from, ...jids(isSeenByContact)],
          to: [...lists.to, ...jids(seesContact)],
        }
      } catch (err) {
        host.log.error({ err, user }, 'the roster could not be read')
        return { ...lists, failed: true }
      }
    })
    host.hook('roster_get_jid_info', async (info, { user, jid }) => {
      try {
        const item = await store.get(user, host.host, jid.bareText)
        return item?.listed ? { subscription: item.subscription, groups: item.groups } : undefined
      } catch (err) {
        host.log.error({ err, user }, 'the roster could not be read')
        return { ...info, failed: true }
      }
    })
  },
})
