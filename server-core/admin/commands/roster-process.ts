/** process_rosteritems: lists or deletes the items of all rosters that match. */
import { type Caller, CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { type Jid, makeJid, parseJid } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Row } from '../control-protocol.ts'
import { byText } from '../order.ts'
import { Pattern, PatternError } from '../pattern.ts'
import { unhurried } from '../unhurried.ts'
import { word } from './arguments.ts'
import { askOf, rosterService, subscriptions } from './roster-items.ts'

const actions = ['list', 'delete']
const asks = ['none', 'out', 'in', 'both']

export function processRosterItems(server: AdminServer): CommandSpec {
  return defineCommand({
    name: 'process_rosteritems',
    doc: 'List or delete the roster items that match, of all accounts',
    category: 'roster',
    tags: ['roster'],
    args: {
      action: word('list, or delete', actions),
      subs: word(`any, or some of ${subscriptions.join(', ')}, joined by :`),
      asks: word(`any, or some of ${asks.join(', ')}, joined by :`),
      users: word('any, or regular expressions for accounts, joined by :'),
      contacts: word('any, or regular expressions for contacts, joined by :'),
    },
    result: { kind: 'list', columns: [{ name: 'text', type: 'string' }] },
    example: 'process_rosteritems list none:from any any ".*@example[.]net"',
    destroys: 'bulk',
    destroysIf: { argument: 'action', value: 'delete' },
    run: (args, caller) => run(server, caller, choiceOf(args)),
    preview: (args, caller) => run(server, caller, { ...choiceOf(args), isDelete: false }),
  })
}

interface Choice {
  readonly isDelete: boolean
  readonly subs: readonly string[]
  readonly asks: readonly string[]
  readonly users: readonly JidPattern[]
  readonly contacts: readonly JidPattern[]
}

/** Throws CommandError with what is wrong with the words. */
function choiceOf(args: Readonly<Record<'action' | 'subs' | 'asks' | 'users' | 'contacts', string>>): Choice {
  if (!actions.includes(args.action)) {
    throw new CommandError(`Wrong action: ${args.action}. Choose one of: ${actions.join(', ')}`)
  }
  return {
    isDelete: args.action === 'delete',
    subs: words('subs', args.subs, subscriptions),
    asks: words('asks', args.asks, asks),
    users: patterns(args.users),
    contacts: patterns(args.contacts),
  }
}

function words(argument: string, text: string, known: readonly string[]): readonly string[] {
  if (text === 'any') return known
  const chosen = text.split(':')
  const unknown = chosen.find((one) => !known.includes(one))
  if (unknown !== undefined) {
    throw new CommandError(`Wrong word in ${argument}: ${unknown}. Choose from: any, ${known.join(', ')}`)
  }
  return chosen
}

/** The two halves of an address; without a user part it is for servers only. */
interface JidPattern {
  readonly user: Pattern | undefined
  readonly host: Pattern
}

function patterns(text: string): JidPattern[] {
  const list = text.split(':').flatMap((one) => (one === 'any' ? ['.*', '.*@.*'] : [one]))
  return list.map((one) => {
    const at = one.indexOf('@')
    try {
      return {
        user: at < 0 ? undefined : new Pattern(one.slice(0, at)),
        host: new Pattern(one.slice(at + 1).replace(/\/.*$/, '')),
      }
    } catch (error) {
      if (error instanceof PatternError) throw new CommandError(`Wrong regexp ${one}: ${error.message}`)
      throw error
    }
  })
}

function isMatch(list: readonly JidPattern[], jid: Jid): boolean {
  return list.some(({ user, host }) => {
    if (user === undefined ? jid.user !== '' : jid.user === '' || !user.matches(jid.user)) return false
    return host.matches(jid.host)
  })
}

async function* accounts(server: AdminServer): AsyncGenerator<Jid> {
  for (const host of [...server.hosts].sort(byText)) {
    for await (const user of unhurried(server.storage.accounts.list(host))) yield makeJid(user, host)
  }
}

/** The original's text ends in a line end of its own, so there is an empty line at the end. */
async function* run(server: AdminServer, caller: Caller, choice: Choice): AsyncGenerator<Row> {
  let total = 0
  for await (const { user, host } of accounts(server)) {
    total += (await server.storage.rosters.list(user, host)).length
  }
  if (total === 0) {
    yield ['Roster table is empty.']
    yield ['']
    return
  }
  yield [`There are ${total} roster items in total.`]
  let visited = 0
  for await (const owner of accounts(server)) {
    if (!isMatch(choice.users, owner)) continue
    for (const item of await server.storage.rosters.list(owner.user, owner.host)) {
      caller.signal.throwIfAborted()
      caller.progress(++visited, total)
      const contact = parseJid(item.jid)
      if (!contact || !choice.subs.includes(item.subscription) || !choice.asks.includes(askOf(item))) continue
      if (!isMatch(choice.contacts, contact)) continue
      if (choice.isDelete) await rosterService(server, owner.host).remove(owner.user, contact, 'even-request')
      const shown = contact.user === '' ? `@${contact.host}` : contact.text
      yield [`Matches: ${owner.text} ${shown}`]
    }
  }
  yield ['']
}
