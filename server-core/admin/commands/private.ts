/** Submod `private`: what clients keep for themselves (XEP-0049). */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { el } from '../../xml/element.ts'
import { isQualifiedName } from '../../xml/names.ts'
import { parseElement } from '../../xml/parser.ts'
import { elementToString } from '../../xml/serialize.ts'
import { StanzaError } from '../../xmpp/errors.ts'
import type { AdminServer } from '../admin-server.ts'
import { doesNotExist, existingAccount, neededAccount } from './account.ts'
import { host, user, word, xml } from './arguments.ts'

export function privateCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'private'
  const tags = ['private']
  return [
    defineCommand({
      name: 'private_get',
      doc: "Get an element of a user's private storage",
      category,
      tags,
      args: { user: user(), host: host(), element: word('name of the element'), ns: word('its namespace') },
      result: { kind: 'string', name: 'xml' },
      example: 'private_get alice localhost storage storage:bookmarks',
      async run(args, caller) {
        const account = await neededAccount(server, args.user, args.host, caller.signal)
        const store = server.provided(account.host, 'private')
        if (!store) throw new CommandError(notLoaded(account.host))
        const empty = isQualifiedName(args.element)
          ? elementToString(el(args.element, { xmlns: args.ns }))
          : undefined
        if (empty === undefined || parseElement(empty).element === undefined) {
          throw new CommandError(`'${args.element}' is not the name of an element`)
        }
        return (await store.get(account.user, args.ns)) ?? empty
      },
    }),
    defineCommand({
      name: 'private_set',
      doc: "Set an element of a user's private storage",
      category,
      tags,
      args: { user: user(), host: host(), element: xml('the element as XML, with its namespace') },
      result: { kind: 'restuple' },
      example: `private_set alice localhost "<storage xmlns='storage:bookmarks'/>"`,
      async run(args, caller) {
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        const store = server.provided(account.host, 'private')
        if (!store) return { ok: false, text: notLoaded(account.host) }
        const { element, error } = parseElement(args.element.trim())
        if (!element) return badElement(args.element, error?.message ?? 'it is no element')
        if (element.ns === '')
          return badElement(args.element, 'it has no namespace, under which it could be kept')
        try {
          const outcome = await store.set(account.user, element)
          if (outcome === 'full') throw new CommandError('The account keeps too much already')
        } catch (error) {
          if (error instanceof StanzaError) return badElement(args.element, error.text ?? error.condition)
          throw error
        }
        return { ok: true, text: '' }
      },
    }),
  ]
}

function notLoaded(name: string): string {
  return `Module mod_private is not loaded on host ${name}`
}

function badElement(text: string, reason: string): { ok: false; text: string } {
  return { ok: false, text: `Error found parsing the element:\n  ${text}\nError: ${reason}` }
}
