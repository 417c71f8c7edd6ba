/** push_roster and its two sisters: contacts from a file, or everybody with everybody, both ways subscribed. */
import { type Caller, CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { makeJid, prepareHost } from '../../xmpp/jid.ts'
import { rosterTextProblem } from '../../xmpp/roster-texts.ts'
import type { AdminServer } from '../admin-server.ts'
import { type PushedContact, rosterFile } from '../roster-file.ts'
import { sideBySide } from '../side-by-side.ts'
import { unhurried } from '../unhurried.ts'
import { doesNotExist, existingAccount, notServed } from './account.ts'
import { file, host, user, word } from './arguments.ts'
import { endedEarly } from './ended-early.ts'
import { rosterService } from './roster-items.ts'

const fileDoc = 'Erlang list of {User, Server, Group, Nick}, or JSON, or CSV user,server,group,nick'

export function rosterPushCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'roster'
  const tags = ['roster']
  const allToAll = (name: string) =>
    defineCommand({
      name,
      doc: 'Add all the users of a host to the rosters of all of them, in a group',
      category,
      tags,
      args: { host: host('host of the accounts'), group: word('name of the group') },
      result: { kind: 'rescode' },
      example: `${name} localhost Everybody`,
      async run(args, caller) {
        const prepared = prepareHost(args.host)
        const auth = prepared === undefined ? undefined : server.authenticator(prepared)
        if (prepared === undefined || !auth) {
          throw notServed(server, args.host)
        }
        const problem = rosterTextProblem('', [args.group])
        if (problem !== undefined) throw new CommandError(problem)
        const contacts: PushedContact[] = []
        for await (const name of unhurried(auth.list())) {
          contacts.push({ jid: makeJid(name, prepared), group: args.group, nick: name })
        }
        await push(
          server,
          contacts.map(({ jid }) => jid),
          contacts,
          caller,
        )
        return undefined
      },
    })
  return [
    defineCommand({
      name: 'push_roster',
      doc: 'Push the contacts of a file to a user',
      category,
      tags,
      args: { file: file(fileDoc), user: user(), host: host() },
      result: { kind: 'rescode' },
      example: 'push_roster roster.txt alice localhost',
      async run(args, caller) {
        const contacts = await rosterFile(args.file)
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        await push(server, [makeJid(account.user, account.host)], contacts, caller)
        return undefined
      },
    }),
    defineCommand({
      name: 'push_roster_all',
      doc: 'Push the contacts of a file to each of them',
      category,
      tags,
      args: { file: file(fileDoc) },
      result: { kind: 'rescode' },
      example: 'push_roster_all roster.txt',
      async run(args, caller) {
        const contacts = await rosterFile(args.file)
        const owners = contacts.map(({ jid }) => jid).filter((jid) => server.hosts.includes(jid.host))
        await push(server, owners, contacts, caller)
        return undefined
      },
    }),
    allToAll('push_roster_alltoall'),
    // ejabberd's name for it
    allToAll('push_alltoall'),
  ]
}

async function push(
  server: AdminServer,
  owners: readonly { readonly user: string; readonly host: string; readonly text: string }[],
  contacts: readonly PushedContact[],
  caller: Caller,
): Promise<void> {
  let done = 0
  let looked = 0
  try {
    // The changes of one roster are made one after the other, those of several together.
    await sideBySide(owners, async (owner) => {
      const roster = rosterService(server, owner.host)
      for (const { jid, group, nick } of contacts) {
        caller.progress(++looked, owners.length * contacts.length, owner.text)
        if (jid.text === owner.text) continue
        caller.signal.throwIfAborted()
        const groups = group === '' ? [] : [group]
        await roster.set(owner.user, jid, { name: nick, groups, subscription: 'both' })
      }
      done++
    })
  } catch (error) {
    throw endedEarly(error, caller, `${done} of ${owners.length} rosters are complete`)
  }
}
