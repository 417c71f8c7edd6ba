/** Resource binding (RFC 6120 §7), and what opens a session. */
import { randomBytes } from 'node:crypto'
import { isAnonymous } from '../routing/session.ts'
import { attr, type Element, el, getChild, getTagCdata, localName } from '../xml/element.ts'
import { StanzaError, StreamError } from '../xmpp/errors.ts'
import { makeJid, parseJid, prepareResource } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { stanzaKind } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'

const attempts = new WeakMap<C2s, number>()

/** Anything a client sends between login and bind. */
export function handleBind(c2s: C2s, element: Element): void | Promise<void> {
  if (element.ns === ns.sasl) throw new StreamError('policy-violation', 'you are logged in')
  if (element.ns !== ns.client || !stanzaKind(element)) throw new StreamError('unsupported-stanza-type')
  const request = getChild(element, 'bind', ns.bind)
  if (localName(element) === 'iq' && attr(element, 'type') === 'set' && request)
    return bind(c2s, element, request)
  if (!isForUs(c2s, attr(element, 'to'))) throw new StreamError('not-authorized')
  throw new StanzaError('unexpected-request', 'bind a resource first')
}

/** To the server or the own account (RFC 6120 §7.1). */
function isForUs(c2s: C2s, to: string | undefined): boolean {
  if (to === undefined) return true
  const jid = parseJid(to)
  return jid?.host === c2s.served.name && (jid.user === '' || jid.user === c2s.user)
}

async function bind(c2s: C2s, iq: Element, request: Element): Promise<void> {
  const tried = (attempts.get(c2s) ?? 0) + 1
  attempts.set(c2s, tried)
  if (tried > c2s.server.config.bind_attempts)
    throw new StreamError('policy-violation', 'too many bind requests')
  const asked = getChild(request, 'resource', ns.bind)
  await openSession(c2s, asked ? getTagCdata(asked) : '', () =>
    el(
      'iq',
      { type: 'result', id: attr(iq, 'id') },
      el('bind', { xmlns: ns.bind }, el('jid', {}, c2s.jid.text)),
    ),
  )
}

/** Takes the resource that was asked for ('': any), answers, and opens the session. Throws the StanzaError for the client. */
export async function openSession(c2s: C2s, wanted: string, answer: () => Element): Promise<void> {
  await claim(c2s, await offered(c2s, resourceFor(wanted), wanted))
  if (c2s.state.name !== 'wait_for_session') return
  await load(c2s)
  if (c2s.state.name !== 'wait_for_session') return
  c2s.stream.send(answer())
  const { hooks, log } = c2s.server
  log.debug({ jid: c2s.jid.text }, 'session opened')
  c2s.establish()
  await hooks.run('c2s_session_opened', c2s.jid.host, { session: c2s })
}

/** What the client asked for, or 128 random bits. */
function resourceFor(asked: string): string {
  if (asked === '') return randomBytes(16).toString('hex')
  const resource = prepareResource(asked)
  if (resource === undefined)
    throw new StanzaError('bad-request', 'this resource has characters that are not allowed')
  return resource
}

/** Modules may choose another resource, or refuse. */
async function offered(c2s: C2s, resource: string, asked: string): Promise<string> {
  const { sid, user, server } = c2s
  const host = c2s.served.name
  const choice = await server.hooks.fold('c2s_handle_bind', host, { resource }, { sid, user, host, asked })
  if (choice.refused) throw choice.refused
  if (choice.resource === resource) return resource
  const prepared = prepareResource(choice.resource)
  if (prepared === undefined) throw new Error('a module has chosen a resource that none can have')
  return prepared
}

/**
 * Without its subscription lists a session does not open: it would show its presence to nobody, and nobody's to it. Who has no
 * account is written down before anything is kept for him, so that it can be removed after a crash too.
 */
async function load(c2s: C2s): Promise<void> {
  try {
    await c2s.own.load()
    if (isAnonymous(c2s)) await c2s.server.noteAnonymous(c2s.user, c2s.served.name)
  } catch (error) {
    if (c2s.state.name === 'wait_for_session') {
      await c2s.server.sessions.close(c2s)
      c2s.unbind()
    }
    throw error
  }
}

/** Takes the full JID; the session that had it is gone then. The state tells whether the client still is there. */
async function claim(c2s: C2s, resource: string): Promise<void> {
  const { hooks, sessions } = c2s.server
  const host = c2s.served.name
  const jid = makeJid(c2s.user, host, resource)
  if (await hooks.run('forbidden_session_hook', host, { jid })) throw new StanzaError('not-allowed')
  if (c2s.state.name === 'ended') return
  // two who began to log in under one free name: it is the first one's
  if (isAnonymous(c2s) && !c2s.served.sharesAnonymousNames && sessions.ofUser(c2s.user, host).length > 0)
    throw new StanzaError('conflict', 'this name is in use')
  c2s.bind(jid)
  const result = await sessions.open(c2s)
  if (result === 'ok') return
  c2s.unbind()
  if (result === 'full') throw new StanzaError('resource-constraint', 'this account has too many sessions')
  if (result === 'conflict') throw new StanzaError('conflict', 'this resource is in use')
  return claim(c2s, resourceFor(''))
}
