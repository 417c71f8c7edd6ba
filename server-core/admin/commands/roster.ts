/** Submod `roster`: contact lists, one contact at a time. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { RosterItem } from '../../storage/storage.ts'
import { parseJid, prepareHost, prepareUser } from '../../xmpp/jid.ts'
import { rosterTextProblem } from '../../xmpp/roster-texts.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Row } from '../control-protocol.ts'
import { byTexts } from '../order.ts'
import { existingAccount, neededAccount } from './account.ts'
import { host, user, word } from './arguments.ts'
import { askOf, rosterService, subscriptions } from './roster-items.ts'
import { processRosterItems } from './roster-process.ts'
import { rosterPushCommands } from './roster-push.ts'

export function rosterCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'roster'
  const tags = ['roster']
  return [
    defineCommand({
      name: 'add_rosteritem',
      doc: "Add an item to a user's roster",
      category,
      tags,
      args: {
        localuser: user(),
        localserver: host(),
        user: word("contact's name"),
        server: word("contact's host"),
        nick: word('what the contact is called; may be empty'),
        group: word('groups, separated by ;, may be empty'),
        subs: word(subscriptions.join(', '), subscriptions),
      },
      result: { kind: 'restuple' },
      example: 'add_rosteritem alice localhost bob example.org Bob Friends both',
      async run(args, caller) {
        const account = await existingAccount(server, args.localuser, args.localserver, caller.signal)
        if (!account) {
          const text = `Cannot add the item because user ${args.localuser}@${args.localserver} does not exist`
          return { ok: false, text }
        }
        const subscription = subscriptions.find((known) => known === args.subs)
        if (!subscription) {
          const text = [`Sub ${args.subs} is incorrect. Choose one of the following:`, ...subscriptions].join(
            '\n',
          )
          return { ok: false, text }
        }
        const contact = contactJid(args.user, args.server)
        // RFC 6121 §2.1.2.3: nobody is a contact of his own; he would get all of his presence twice.
        if (contact.user === account.user && contact.host === account.host) {
          throw new CommandError('An account cannot be a contact of its own')
        }
        const groups = [...new Set(args.group.split(';').filter((name) => name !== ''))]
        const problem = rosterTextProblem(args.nick, groups)
        if (problem !== undefined) throw new CommandError(problem)
        await rosterService(server, account.host).set(account.user, contact, {
          name: args.nick,
          groups,
          subscription,
        })
        return { ok: true, text: `Added the item to the roster of ${args.localuser}@${args.localserver}` }
      },
    }),
    defineCommand({
      name: 'delete_rosteritem',
      doc: "Delete an item from a user's roster",
      category,
      tags,
      args: {
        localuser: user(),
        localserver: host(),
        user: word("contact's name"),
        server: word("contact's host"),
      },
      result: { kind: 'restuple' },
      example: 'delete_rosteritem alice localhost bob example.org',
      destroys: 'one',
      async run(args, caller) {
        const owner = `${args.localuser}@${args.localserver}`
        const account = await existingAccount(server, args.localuser, args.localserver, caller.signal)
        if (!account) return noOwner(owner)
        const contact = contactJid(args.user, args.server)
        const existed = await rosterService(server, account.host).remove(account.user, contact)
        if (!existed) return { ok: false, text: `There is no item ${contact.text} in the roster of ${owner}` }
        return { ok: true, text: `The item removed from roster of ${owner}` }
      },
      async preview(args, caller) {
        const owner = `${args.localuser}@${args.localserver}`
        const account = await existingAccount(server, args.localuser, args.localserver, caller.signal)
        if (!account) return noOwner(owner)
        const contact = contactJid(args.user, args.server)
        const item = await server.storage.rosters.get(account.user, account.host, contact.text)
        if (!item?.listed)
          return { ok: false, text: `There is no item ${contact.text} in the roster of ${owner}` }
        return { ok: true, text: `The item ${contact.text} would be removed from roster of ${owner}` }
      },
    }),
    defineCommand({
      name: 'get_roster_count',
      doc: 'Get the number of items of the roster of a local user',
      category,
      tags,
      args: { user: user(), host: host() },
      result: { kind: 'integer', name: 'value' },
      example: 'get_roster_count alice localhost',
      async run(args, caller) {
        const account = await neededAccount(server, args.user, args.host, caller.signal)
        return server.storage.rosters.count(account.user, account.host)
      },
    }),
    defineCommand({
      name: 'get_roster',
      doc: 'Get roster of a local user',
      category,
      tags,
      args: { user: user(), host: host() },
      result: {
        kind: 'list',
        columns: ['jid', 'nick', 'subscription', 'ask', 'group'].map((name) => ({
          name,
          type: 'string' as const,
        })),
      },
      example: 'get_roster alice localhost',
      async run(args) {
        const preparedUser = prepareUser(args.user)
        const preparedHost = prepareHost(args.host)
        if (preparedUser === undefined || preparedHost === undefined) return []
        const items = await server.storage.rosters.list(preparedUser, preparedHost)
        // A request that nobody has answered is no contact yet; clients do not see it either.
        return items
          .filter(({ listed }) => listed)
          .flatMap(itemRows)
          .sort((a, b) => byTexts(a.map(String), b.map(String)))
      },
    }),
    processRosterItems(server),
    ...rosterPushCommands(server),
  ]
}

function noOwner(owner: string): { ok: false; text: string } {
  return { ok: false, text: `Cannot delete the item because user ${owner} doest not exist` }
}

function contactJid(name: string, server: string) {
  const text = name === '' ? server : `${name}@${server}`
  const jid = parseJid(text)
  if (!jid?.isBare) {
    throw new CommandError(`'${text}' is not the address of a contact; user and server make it`)
  }
  return jid
}

/** One row for each group; one with an empty group for an item without any. */
function itemRows(item: RosterItem): Row[] {
  const groups = item.groups.length === 0 ? [''] : item.groups
  return groups.map((group) => [item.jid, item.name, item.subscription, askOf(item), group])
}
