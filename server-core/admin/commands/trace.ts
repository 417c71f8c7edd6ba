/** What goes to and from the clients of one account, while it happens. */
import { type Caller, type CommandSpec, defineCommand } from '../../extend/command.ts'
import type { Session } from '../../routing/session.ts'
import { Element, localName, type Node } from '../../xml/element.ts'
import { elementToString } from '../../xml/serialize.ts'
import { type Jid, parseJid } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Row } from '../control-protocol.ts'
import { doesNotExist, existingAccount } from './account.ts'
import { integer, word } from './arguments.ts'

/** In seconds. */
const usual = 600
const longest = 3_600
/** Stanzas that wait for the one who looks; a trace must not hold up what it traces. */
const maxWaiting = 1_000
/** Before and behind whatever modules do with it: what the client really sent, what it really gets. */
const [first, last] = [0, 1_000]

export function traceCommand(server: AdminServer): CommandSpec {
  return defineCommand({
    name: 'trace',
    doc: 'Show what goes to and from the clients of a user, while it happens; secrets are left out',
    category: 'stanza',
    tags: ['stanza', 'session'],
    args: {
      jid: word('address of the user, or of one resource'),
      seconds: integer(`how long, at most ${longest}; else ${usual}`).min(1).max(longest).optional(),
    },
    forms: [{ names: ['jid'] }, { names: ['jid', 'seconds'] }],
    result: {
      kind: 'list',
      columns: [
        { name: 'time', type: 'string' },
        { name: 'direction', type: 'string' },
        { name: 'resource', type: 'string' },
        { name: 'stanza', type: 'string' },
      ],
    },
    example: 'trace alice@localhost 1',
    async run(args, caller) {
      const jid = parseJid(args.jid)
      if (!jid || jid.user === '') return { ok: false, text: `${args.jid} is not the address of a user` }
      const account = await existingAccount(server, jid.user, jid.host, caller.signal)
      if (!account) return doesNotExist(jid.user, jid.host)
      caller.log.info({ user: jid.user, host: jid.host, claimed_login: caller.login }, 'a trace begins')
      return trace(server, jid, args.seconds ?? usual, caller)
    },
  })
}

async function* trace(
  { hooks }: AdminServer,
  jid: Jid,
  seconds: number,
  { signal }: Caller,
): AsyncGenerator<Row> {
  const waiting: Row[] = []
  let lost = 0
  let ended = false
  let wake: () => void = () => undefined
  const show = (direction: string, resource: string, text: string): void => {
    if (waiting.length < maxWaiting) waiting.push([new Date().toISOString(), direction, resource, text])
    else lost++
    wake()
  }
  const end = (): void => {
    ended = true
    wake()
  }
  const isTraced = (session: Session): boolean =>
    session.jid.user === jid.user && (jid.resource === '' || session.jid.resource === jid.resource)
  const stanza = (direction: string, session: Session, element: Element): void => {
    if (isTraced(session)) show(direction, session.jid.resource, elementToString(withoutSecrets(element)))
  }
  const undos = [
    hooks.add(
      'user_send_packet',
      jid.host,
      (sent, { session }) => void (sent && stanza('from client', session, sent.element)),
      first,
      'trace',
    ),
    hooks.add(
      'c2s_filter_send',
      jid.host,
      (element, { session }) => void (element && stanza('to client', session, element)),
      last,
      'trace',
    ),
    hooks.add(
      'c2s_auth_result',
      jid.host,
      (_, { user, result, mechanism, address }) => {
        if (user === jid.user) show('login', '', `${result} ${mechanism} ${address}`)
      },
      last,
      'trace',
    ),
    hooks.add(
      'c2s_session_opened',
      jid.host,
      (_, { session }) => void (isTraced(session) && show('opened', session.jid.resource, session.info.ip)),
      last,
      'trace',
    ),
    hooks.add(
      'c2s_terminated',
      jid.host,
      (_, { session, reason }) => void (isTraced(session) && show('ended', session.jid.resource, reason)),
      last,
      'trace',
    ),
  ]
  const timer = setTimeout(end, seconds * 1_000)
  signal.addEventListener('abort', end)
  try {
    while (!ended) {
      // Together, before anything more can come: what is missing is missing behind these.
      const [ready, missing] = [waiting.splice(0), lost]
      lost = 0
      yield* ready
      if (missing > 0) yield [new Date().toISOString(), 'lost', '', `${missing} were too many to be shown`]
      if (ended || waiting.length > 0) continue
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    yield* waiting.splice(0)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    for (const undo of undos) undo()
  }
}

const secretNames = /^(password|passwd|newpass(word)?|oldpass(word)?|secret|token|credential|digest|key)$/i
const secretFields = /pass(word|phrase)|secret|token|credential/i

/** The same with `[secret]` for passwords of registration, password changes, forms, rooms. */
export function withoutSecrets(element: Element): Element {
  const name = localName(element)
  const attributes = element.attributes.map(([attribute, value]) =>
    secretNames.test(attribute) ? ([attribute, '[secret]'] as const) : ([attribute, value] as const),
  )
  if (secretNames.test(name) && element.children.length > 0) {
    return new Element(element.name, attributes, ['[secret]'], element.ns)
  }
  const field = element.attributes.find(([attribute]) => attribute === 'var')?.[1] ?? ''
  const isSecret =
    name === 'field' &&
    (secretFields.test(field) || element.attributes.some(([, value]) => value === 'text-private'))
  const children: Node[] = element.children.map((child) => {
    if (typeof child === 'string') return child
    if (isSecret && localName(child) === 'value') return new Element(child.name, [], ['[secret]'], child.ns)
    return withoutSecrets(child)
  })
  return new Element(element.name, attributes, children, element.ns)
}
