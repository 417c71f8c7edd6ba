/** The end of the server, at once or after a word to everybody who is connected. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Caller, CommandError, type CommandResult } from '../../extend/command.ts'
import { el } from '../../xml/element.ts'
import { makeJid, prepareHost } from '../../xmpp/jid.ts'
import { Stanza } from '../../xmpp/stanza.ts'
import type { AdminServer } from '../admin-server.ts'
import { word } from './arguments.ts'

/** Nobody waits longer than this, in seconds. */
const maxDelay = 86_400

export const stopArguments = {
  delay: word('seconds to wait').optional(),
  announcement: word('what the users are told at once').optional(),
}

/** Tells the users, and stops or restarts when the time has come. The answer does not wait: the caller gets it first. */
export function kindly(
  server: AdminServer,
  args: { readonly delay?: string | undefined; readonly announcement?: string | undefined },
  caller: Caller,
  what: 'stop' | 'restart',
): CommandResult {
  const seconds = Number(args.delay ?? '0')
  if (!/^\d*$/.test(args.delay ?? '') || seconds > maxDelay) {
    throw new CommandError(`Wrong delay: ${args.delay}. It is a number of seconds, at most ${maxDelay}`)
  }
  caller.log.info({ seconds }, `the server was told to ${what}`)
  if (args.announcement !== undefined && args.announcement !== '') announce(server, args.announcement)
  void delay(seconds * 1_000, undefined, { ref: false }).then(() => server[what]())
  return undefined
}

function announce(server: AdminServer, text: string): void {
  for (const session of server.sessions.all()) {
    const { jid } = session
    const from = makeJid('', prepareHost(jid.host) ?? jid.host)
    const message = el('message', { from: from.text, to: jid.text, type: 'headline' }, el('body', {}, text))
    session.deliver(new Stanza(from, jid, message))
  }
}
