/** Logging in as before SASL: account, resource, and password or digest in one request (XEP-0078). */
import { createHash } from 'node:crypto'
import { equalSecrets } from '../accounts/formats/compare.ts'
import type { Answer } from '../auth/authenticator.ts'
import { BackendUnavailable } from '../auth/backend.ts'
import { answerTo } from '../extend/answer-to.ts'
import { conditionOf } from '../stream/sasl/index.ts'
import { attr, type Element, el, getChild, getTagCdata } from '../xml/element.ts'
import { StanzaError, StreamError } from '../xmpp/errors.ts'
import { prepareUser } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { stanzaKind } from '../xmpp/stanza.ts'
import { openSession } from './bind.ts'
import type { C2s } from './c2s.ts'
import { refusal } from './refusal.ts'

interface Credentials {
  readonly user: string
  readonly resource: string
  readonly secret: { readonly password: string } | { readonly digest: string }
}

export function isLegacyAuth(element: Element): boolean {
  return isRequest(element) && getChild(element, 'query', ns.auth) !== undefined
}

function isRequest(element: Element): boolean {
  const type = attr(element, 'type')
  return stanzaKind(element) === 'iq' && (type === 'get' || type === 'set')
}

/** Throws the StanzaError that the client gets; what the client has sent is not repeated, as there is a password in it. */
export async function handleLegacyAuth(c2s: C2s, iq: Element): Promise<void> {
  if (iq.ns !== ns.client || !stanzaKind(iq)) throw new StreamError('unsupported-stanza-type')
  const query = getChild(iq, 'query', ns.auth)
  if (!query || !isRequest(iq)) throw new StanzaError('not-acceptable', 'log in first')
  if (attr(iq, 'type') === 'set') return logIn(c2s, iq, read(c2s, query))
  c2s.stream.send(el('iq', { type: 'result', id: attr(iq, 'id') }, await fields(c2s)))
}

/** The same for everybody, whether there is such an account or not. */
async function fields(c2s: C2s): Promise<Element> {
  const names = ['username', 'resource']
  if (takesPasswords(c2s)) names.push('password')
  if (await c2s.served.authenticator.keepsPlain()) names.push('digest')
  return el('query', { xmlns: ns.auth }, ...names.map((name) => el(name)))
}

/** As for SASL PLAIN. */
function takesPasswords({ login }: C2s): boolean {
  return login.secure || login.allowsClear
}

function read(c2s: C2s, query: Element): Credentials {
  const field = (name: string): string | undefined => {
    const child = getChild(query, name, ns.auth)
    return child && getTagCdata(child)
  }
  const [password, digest] = [field('password'), field('digest')]
  const user = prepareUser(field('username') ?? '')
  const resource = field('resource') ?? ''
  const secret = digest ? { digest: digest.toLowerCase() } : password ? { password } : undefined
  if (!user || resource === '' || !secret)
    throw new StanzaError('not-acceptable', 'username, resource, and password or digest are needed')
  if ('password' in secret && !takesPasswords(c2s))
    throw new StanzaError('not-acceptable', 'a password is taken over TLS only')
  return { user, resource, secret }
}

async function logIn(c2s: C2s, iq: Element, { user, resource, secret }: Credentials): Promise<void> {
  const { login } = c2s
  const mechanism = ns.auth
  const refuse = (error: StanzaError) => {
    const answer = refusal(iq, error, undefined)
    if (answer) c2s.send(answer)
  }
  let answer: Answer
  try {
    answer = await check(c2s, user, secret)
  } catch (error) {
    if (!(error instanceof BackendUnavailable)) throw error
    const failure = { condition: 'temporary-auth-failure', mechanism, user, counts: false }
    return login.failed(failure, () => refuse(answerTo(error)))
  }
  if (!answer.ok) {
    const condition = conditionOf(answer.reason)
    return login.failed({ condition, mechanism, user, counts: true }, () =>
      refuse(new StanzaError('not-authorized')),
    )
  }
  if (c2s.state.name === 'ended') return
  await login.succeeded({ user, mechanism, backend: answer.backend }, async () => {
    c2s.loggedIn(user, answer.backend)
    try {
      await openSession(c2s, resource, () => el('iq', { type: 'result', id: attr(iq, 'id') }))
    } catch (error) {
      c2s.loggedIn('', '')
      throw error
    }
  })
}

async function check(c2s: C2s, user: string, secret: Credentials['secret']): Promise<Answer> {
  const { authenticator } = c2s.served
  const { signal } = c2s.login
  if ('password' in secret) return authenticator.checkPassword(user, Buffer.from(secret.password), signal)
  const password = await authenticator.plainPassword(user, signal)
  // SHA1(concat(sid, password)) in hexadecimal (XEP-0078 §3.1); the id is new on each stream
  const wanted = createHash('sha1')
    .update(`${c2s.stream.id}${password ?? ''}`)
    .digest('hex')
  const isRight = equalSecrets(Buffer.from(wanted), Buffer.from(secret.digest)) && password !== undefined
  return isRight ? authenticator.standing(user, signal) : { ok: false, reason: 'wrong', backend: '' }
}
