/** Submod `vcard`: single values of visiting cards (XEP-0054). */
import {
  type Caller,
  CommandError,
  type CommandResult,
  type CommandSpec,
  defineCommand,
} from '../../extend/command.ts'
import type { VcardService } from '../../extend/provided.ts'
import { Element, el, getTagCdata, localName, type Node } from '../../xml/element.ts'
import { isXmlText } from '../../xml/serialize.ts'
import { ns } from '../../xmpp/namespaces.ts'
import type { AdminServer } from '../admin-server.ts'
import type { ResultShape, Row } from '../control-protocol.ts'
import { doesNotExist, existingAccount, neededAccount } from './account.ts'
import { host, user, word } from './arguments.ts'

const values: ResultShape = { kind: 'list', columns: [{ name: 'value', type: 'string' }] }

export function vcardCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'vcard'
  const tags = ['vcard']
  const name = () => word('element, in capital letters, such as FN, NICKNAME, TITLE')
  const parent = () => word('element, in capital letters, such as N, ADR, ORG')
  const subname = () => word('element inside it, such as FAMILY, LOCALITY, ORGNAME')
  return [
    defineCommand({
      name: 'get_vcard',
      doc: 'Get the values of a vCard field',
      category,
      tags,
      args: { user: user(), host: host(), name: name() },
      result: values,
      example: 'get_vcard alice localhost NICKNAME',
      run: (args, caller) => found(server, args.user, args.host, [args.name], caller),
    }),
    ...['get_vcard2', 'get_vcard2_multi'].map((command) =>
      defineCommand({
        name: command,
        doc:
          command === 'get_vcard2'
            ? 'Get the values of a vCard subfield'
            : 'Get all values of a vCard subfield',
        category,
        tags,
        args: { user: user(), host: host(), name: parent(), subname: subname() },
        result: values,
        example: `${command} alice localhost N FAMILY`,
        run: (args, caller) => found(server, args.user, args.host, [args.name, args.subname], caller),
      }),
    ),
    defineCommand({
      name: 'set_nickname',
      doc: 'Set the nickname in the vCard of a user',
      category,
      tags,
      args: { user: user(), host: host(), nickname: word('the nickname') },
      result: { kind: 'rescode' },
      example: 'set_nickname alice localhost Al',
      run(args, caller) {
        const change = (card: Element) => replaced(card, 'NICKNAME', [args.nickname], textOf)
        return changed(server, args.user, args.host, ['NICKNAME'], change, caller)
      },
    }),
    defineCommand({
      name: 'set_vcard',
      doc: 'Set content in a vCard field',
      category,
      tags,
      args: { user: user(), host: host(), name: name(), content: word('the new value') },
      result: { kind: 'rescode' },
      example: 'set_vcard alice localhost NICKNAME "Alice in Wonderland"',
      run(args, caller) {
        const change = (card: Element) => replaced(card, args.name, [args.content], textOf)
        return changed(server, args.user, args.host, [args.name], change, caller)
      },
    }),
    defineCommand({
      name: 'set_vcard2',
      doc: 'Set content in a vCard subfield',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        name: parent(),
        subname: subname(),
        content: word('the new value'),
      },
      result: { kind: 'rescode' },
      example: 'set_vcard2 alice localhost N FAMILY Liddell',
      run(args, caller) {
        const change = (card: Element) => withSubfields(card, args.name, args.subname, [args.content])
        return changed(server, args.user, args.host, [args.name, args.subname], change, caller)
      },
    }),
    defineCommand({
      name: 'set_vcard2_multi',
      doc: 'Set several contents in a vCard subfield',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        name: parent(),
        subname: subname(),
        contents: word('the new values, separated by ; (a literal one is \\;), or a JSON array'),
      },
      result: { kind: 'rescode' },
      example: 'set_vcard2_multi alice localhost ORG ORGUNIT "sales;marketing"',
      run(args, caller) {
        const contents = listOf(args.contents)
        // A JSON array can say what the argument itself could not.
        if (!contents.every(isXmlText))
          throw new CommandError('a value has a character that no stanza can hold')
        const change = (card: Element) => withSubfields(card, args.name, args.subname, contents)
        return changed(server, args.user, args.host, [args.name, args.subname], change, caller)
      },
    }),
  ]
}

function service(server: AdminServer, name: string): VcardService {
  const vcards = server.provided(name, 'vcard')
  if (!vcards) throw new CommandError(`Module mod_vcard is not loaded on host ${name}`)
  return vcards
}

async function found(
  server: AdminServer,
  name: string,
  hostName: string,
  path: readonly string[],
  caller: Caller,
): Promise<Row[]> {
  const account = await neededAccount(server, name, hostName, caller.signal)
  const card = await service(server, account.host).get(account.user)
  if (!card) throw new CommandError('Vcard not found')
  let elements: Element[] = [card]
  for (const step of path) elements = elements.flatMap((element) => named(element, step))
  if (elements.length === 0) throw new CommandError('Value not found in vcard')
  const texts = elements.map(getTagCdata)
  return texts.every((text) => text === '') ? [] : texts.map((text) => [text])
}

async function changed(
  server: AdminServer,
  name: string,
  hostName: string,
  path: readonly string[],
  change: (card: Element) => Element,
  caller: Caller,
): Promise<CommandResult> {
  const wrong = path.find((step) => !/^[A-Za-z_][\w.-]*$/.test(step))
  if (wrong !== undefined) throw new CommandError(`'${wrong}' is not the name of an element`)
  const account = await existingAccount(server, name, hostName, caller.signal)
  if (!account) return doesNotExist(name, hostName)
  const vcards = service(server, account.host)
  const card = (await vcards.get(account.user)) ?? el('vCard', { xmlns: ns.vcard })
  await vcards.set(account.user, change(card))
  return undefined
}

function named(parent: Element, name: string): Element[] {
  return parent.children.filter(
    (child) => typeof child !== 'string' && localName(child) === name,
  ) as Element[]
}

/** All children of that name replaced by new ones, where the first of them was; the others stay as and where they are. */
function replaced<T>(
  parent: Element,
  name: string,
  contents: readonly T[],
  make: (old: Element, content: T) => Element,
): Element {
  const old = named(parent, name)
  const empty = new Element(name, [], [], parent.ns)
  const fresh = contents.map((content, i) => make(old[i] ?? empty, content))
  const children: Node[] = []
  for (const child of parent.children) {
    if (typeof child === 'string' || localName(child) !== name) children.push(child)
    else if (child === old[0]) children.push(...fresh)
  }
  if (old.length === 0) children.push(...fresh)
  return new Element(parent.name, parent.attributes, children, parent.ns)
}

function textOf(old: Element, content: string): Element {
  return new Element(old.name, old.attributes, content === '' ? [] : [content], old.ns)
}

/** In the first element of that name; further ones (a second address) stay. */
function withSubfields(card: Element, name: string, subname: string, contents: readonly string[]): Element {
  const [first, ...others] = named(card, name)
  const field = replaced(first ?? new Element(name, [], [], card.ns), subname, contents, textOf)
  return replaced(card, name, [field, ...others], (_, element) => element)
}

/** `a;b;;c` is a, b, c; `\;` is a literal semicolon; a JSON array of texts is taken as it is. Throws CommandError. */
function listOf(text: string): string[] {
  const list = text.trimStart().startsWith('[') ? jsonOf(text) : undefined
  if (Array.isArray(list)) {
    if (list.every((item) => typeof item === 'string')) return list
    throw new CommandError('contents is a JSON array, and all of its values must be texts')
  }
  return [...text.matchAll(/(?:\\.|[^;\\]|\\$)+/gs)].map(([part]) => part.replace(/\\([;\\])/g, '$1'))
}

/** undefined for an ordinary text that begins with a bracket. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
