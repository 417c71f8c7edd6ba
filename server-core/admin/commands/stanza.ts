/** Submod `stanza`: stanzas that the administrator sends, in whose name he likes. */
import { randomBytes } from 'node:crypto'
import { CommandError, type CommandResult, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { type Element, el, withAttributes } from '../../xml/element.ts'
import { parseElement } from '../../xml/parser.ts'
import { type Jid, makeJid, parseJid } from '../../xmpp/jid.ts'
import { Stanza, stanzaKind } from '../../xmpp/stanza.ts'
import type { AdminServer } from '../admin-server.ts'
import { sessionOf } from './account.ts'
import { host, resource, user, word, xml } from './arguments.ts'
import { traceCommand } from './trace.ts'

const messageTypes: readonly string[] = ['normal', 'chat', 'headline']

export function stanzaCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'stanza'
  const tags = ['stanza']
  return [
    defineCommand({
      name: 'send_message',
      doc: 'Send a message of any type to a local or remote bare or full JID',
      category,
      tags,
      args: {
        type: word('normal, chat, or headline', messageTypes),
        from: word('address that it comes from; need not exist'),
        to: word('bare or full address that it goes to'),
        subject: word('subject of the message; may be empty'),
        body: word('text of the message; may be empty'),
      },
      result: { kind: 'restuple' },
      example: 'send_message headline admin@localhost alice@localhost Maintenance "Restarting at noon"',
      run(args) {
        const { type, from, to, subject, body } = args
        if (!messageTypes.includes(type)) {
          throw new CommandError(`Wrong type: ${type}. Choose one of: ${messageTypes.join(', ')}`)
        }
        const children = Object.entries({ subject, body }).filter(([, text]) => text !== '')
        return sendMessage(
          server,
          type,
          from,
          to,
          children.map(([name, text]) => el(name, {}, text)),
        )
      },
    }),
    defineCommand({
      name: 'send_message_chat',
      doc: 'Send a chat message to a local or remote bare or full JID',
      category,
      tags,
      args: {
        from: word('address that it comes from; need not exist'),
        to: word('bare or full address that it goes to'),
        body: word('text of the message'),
      },
      result: { kind: 'restuple' },
      example: 'send_message_chat admin@localhost alice@localhost "Restarting at noon"',
      run: (args) => sendMessage(server, 'chat', args.from, args.to, [el('body', {}, args.body)]),
    }),
    defineCommand({
      name: 'send_message_headline',
      doc: 'Send a headline message to a local or remote bare or full JID',
      category,
      tags,
      args: {
        from: word('address that it comes from; need not exist'),
        to: word('bare or full address that it goes to'),
        subject: word('subject of the message'),
        body: word('text of the message'),
      },
      result: { kind: 'restuple' },
      example: 'send_message_headline admin@localhost alice@localhost Maintenance "Restarting at noon"',
      run(args) {
        const children = [el('subject', {}, args.subject), el('body', {}, args.body)]
        return sendMessage(server, 'headline', args.from, args.to, children)
      },
    }),
    defineCommand({
      name: 'send_stanza',
      doc: 'Send any stanza from one address to another',
      category,
      tags,
      args: {
        from: word('address that it comes from; need not exist'),
        to: word('address that it goes to'),
        stanza: xml('the stanza as XML'),
      },
      result: { kind: 'restuple' },
      example: `send_stanza admin@localhost alice@localhost "<message><body>Hi</body></message>"`,
      async run(args) {
        const from = parseJid(args.from)
        if (!from) return { ok: false, text: 'Sender JID is invalid' }
        const to = parseJid(args.to)
        if (!to) return { ok: false, text: 'Receiver JID is invalid' }
        const element = stanzaFrom(args.stanza)
        if (!element) return { ok: false, text: 'Stanza is incorrect' }
        await server.route(new Stanza(from, to, withAttributes(element, { from: from.text, to: to.text })))
        return { ok: true, text: 'Stanza has been sent' }
      },
    }),
    defineCommand({
      name: 'send_stanza_c2s',
      doc: 'Send a stanza as if it came from a connected client',
      category,
      tags,
      args: { user: user(), host: host(), resource: resource(), stanza: xml('the stanza as XML') },
      result: { kind: 'restuple' },
      example: `send_stanza_c2s alice localhost phone "<message to='bob@localhost'><body>Hi</body></message>"`,
      run(args) {
        const session = sessionOf(server, args.user, args.host, args.resource)
        if (!session) {
          return { ok: false, text: `User ${args.user}@${args.host}/${args.resource} does not exist` }
        }
        const element = stanzaFrom(args.stanza)
        if (!element) return { ok: false, text: 'Stanza is incorrect' }
        session.tell({ type: 'inject', element })
        return { ok: true, text: 'Stanza has been sent' }
      },
    }),
    traceCommand(server),
  ]
}

async function sendMessage(
  server: AdminServer,
  type: string,
  fromText: string,
  toText: string,
  children: readonly Element[],
): Promise<CommandResult> {
  const from = parseJid(fromText)
  if (!from) return { ok: false, text: 'Sender JID is invalid' }
  const to = parseJid(toText)
  if (!to) return { ok: false, text: 'Receiver JID is invalid' }
  for (const target of targets(server, to)) {
    const id = randomBytes(8).toString('hex')
    const message = el('message', { from: from.text, to: target.text, type, id }, ...children)
    await server.route(new Stanza(from, target, message))
  }
  return undefined
}

/** A local account that is online gets one copy for each resource, whatever its priority. */
function targets(server: AdminServer, to: Jid): readonly Jid[] {
  if (!to.isBare || to.user === '' || !server.hosts.includes(to.host)) return [to]
  const sessions = server.sessions.ofUser(to.user, to.host)
  return sessions.length === 0 ? [to] : sessions.map(({ jid }) => makeJid(jid.user, jid.host, jid.resource))
}

/** A stanza as a client would send it; undefined when the text is none. */
function stanzaFrom(text: string): Element | undefined {
  const parsed = parseElement(text.trim())
  if (parsed.element === undefined || stanzaKind(parsed.element) === undefined) return undefined
  const { element } = parsed
  if (element.ns === '') return withAttributes(element, { xmlns: 'jabber:client' })
  return element.ns === 'jabber:client' ? element : undefined
}
