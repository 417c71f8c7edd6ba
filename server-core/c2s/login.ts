/** From the stream header to a login: features, TLS, SASL (RFC 6120 §4.3, §5, §6). */

import { setTimeout as delay } from 'node:timers/promises'
import type { SecureContext } from 'node:tls'
import { isLoopback } from '../net/address-limits.ts'
import { type Binding, channelBinding } from '../net/channel-binding.ts'
import { addressesInCertificate } from '../net/client-certificate.ts'
import type { TlsServerOptions } from '../net/connection.ts'
import { mechanismsFor, type SaslExchange, saslMechanisms } from '../stream/sasl/index.ts'
import type { StreamHeader } from '../stream/stream-in.ts'
import { attr, type Element, el, getTagCdata, localName } from '../xml/element.ts'
import { StreamError } from '../xmpp/errors.ts'
import { parseJid } from '../xmpp/jid.ts'
import { ns } from '../xmpp/namespaces.ts'
import { stanzaKind } from '../xmpp/stanza.ts'
import type { C2s } from './c2s.ts'
import type { C2sHost } from './c2s-server.ts'
import { streamFeatures } from './features.ts'
import { handleLegacyAuth, isLegacyAuth } from './legacy-auth.ts'
import { waitForAuth, waitForBind, waitForFeatureRequest } from './states.ts'

export interface LoginFailure {
  /** As SASL names it. */
  readonly condition: string
  readonly mechanism: string
  /** '' when that was not understood. */
  readonly user: string
  /** Whether it was an attempt, of which there may be only so many. */
  readonly counts: boolean
}

export class Login {
  readonly #c2s: C2s
  readonly #abort = new AbortController()
  #attempts = 0
  /** Whether SASL was tried on this connection, in vain. */
  #hasFailed = false
  /** The mechanisms offered on this stream: nothing else is accepted (RFC 6120 §6.3.3). */
  #offered: readonly string[] = []
  /** What a login can be tied to; undefined without TLS. */
  #binding: Binding | undefined
  /** Whose certificate we have shown in TLS; '' before. Its authorities have judged what the client has shown. */
  #shownBy = ''
  /** Where that certificate is. */
  #context: SecureContext | undefined
  /** The users of this host that the client's certificate names. */
  #certificateUsers: readonly string[] = []
  /** What the first stream was to; it stays the same (RFC 6120 §4.7.2). */
  #to = ''

  constructor(c2s: C2s) {
    this.#c2s = c2s
  }

  /** Aborts when the session ends. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get secure(): boolean {
    return this.#c2s.connection.secure
  }

  /** PLAIN without TLS is for programs on this machine only: nobody can listen there. */
  get allowsClear(): boolean {
    return this.#c2s.listener.allow_unencrypted_plain_auth && isLoopback(this.#c2s.connection.remoteAddress)
  }

  /** TLS is there, or is not asked for. */
  get mayLogIn(): boolean {
    return this.secure || !this.#c2s.listener.starttls_required || this.allowsClear
  }

  /** Direct TLS (XEP-0368): the handshake comes before any stream. */
  async directTls(): Promise<void> {
    const c2s = this.#c2s
    const host = c2s.server.host(c2s.server.defaultHost)
    if (host) await this.#handshake(host, c2s.server.asksForCertificates)
  }

  async #handshake(host: C2sHost, requestCert: boolean): Promise<void> {
    const c2s = this.#c2s
    try {
      await c2s.connection.startTls(this.#tlsOptions(host, requestCert))
    } catch (error) {
      c2s.server.log.info({ address: c2s.info.ip, reason: String(error) }, 'TLS failed')
    }
  }

  /** The certificate of the host that the client names in TLS (SNI), else of this one. */
  #tlsOptions(host: C2sHost, requestCert: boolean): TlsServerOptions {
    const { server } = this.#c2s
    this.#shownBy = host.name
    this.#context = host.secureContext
    return {
      secureContext: host.secureContext,
      forName: (name) => {
        const named = server.host(name.toLowerCase())
        if (!named) return undefined
        this.#shownBy = named.name
        this.#context = named.secureContext
        return this.#context
      },
      alpn: ['xmpp-client'],
      requestCert,
    }
  }

  abort(): void {
    this.#abort.abort(ended)
  }

  async openStream(header: StreamHeader): Promise<void> {
    const c2s = this.#c2s
    const host = c2s.server.host(header.to)
    if (!host || (this.#to !== '' && header.to !== this.#to)) throw new StreamError('host-unknown')
    this.#to = header.to
    c2s.host = host
    const isOld = header.version.major < 1
    const isTaken = !isOld || (host.legacyAuth && this.mayLogIn && c2s.user === '')
    c2s.stream.open(host.name, header, isTaken ? header.version : undefined)
    if (!isTaken) throw new StreamError('unsupported-version')
    if (isOld) return c2s.streamOpened(header, waitForAuth)
    if (c2s.user !== '' && header.from !== '') this.#checkFrom(header.from)
    if (c2s.user === '') {
      const { tls } = c2s.connection
      this.#binding = tls && this.#context && channelBinding(tls, this.#context)
      this.#certificateUsers = this.#usersInCertificate(host)
      this.#offered = this.mayLogIn
        ? await mechanismsFor(host.authenticator, {
            secure: this.secure,
            allowPlainInClear: this.allowsClear,
            channelBinding: this.#binding,
            certificateUsers: this.#certificateUsers,
          })
        : []
    }
    c2s.stream.features(await streamFeatures(c2s, this.#offered, this.#binding?.types ?? []))
    c2s.streamOpened(header, c2s.user === '' ? waitForFeatureRequest : waitForBind)
  }

  /** Another host's authorities have no say in who somebody is here. */
  #usersInCertificate(host: C2sHost): readonly string[] {
    const { tls } = this.#c2s.connection
    if (!tls || !host.asksForCertificate || this.#shownBy !== host.name) return []
    const users = addressesInCertificate(tls).flatMap((address) => {
      const jid = parseJid(address)
      return jid?.host === host.name && jid.user !== '' && jid.resource === '' ? [jid.user] : []
    })
    return [...new Set(users)]
  }

  /** Once authenticated, a client opens streams for itself only (RFC 6120 §4.7.1). */
  #checkFrom(from: string): void {
    const jid = parseJid(from)
    const c2s = this.#c2s
    if (jid?.user !== c2s.user || jid.host !== c2s.served.name) throw new StreamError('invalid-from')
  }

  handle(element: Element): void | Promise<void> {
    const c2s = this.#c2s
    const name = localName(element)
    if (element.ns === ns.tls && name === 'starttls') return this.#startTls()
    if (element.ns === ns.sasl) {
      if (name === 'auth') return this.#auth(element)
      if (name === 'response' && c2s.state.name === 'wait_for_sasl_response') {
        return this.#step(c2s.state.exchange, c2s.state.mechanism, getTagCdata(element))
      }
      if (name === 'abort' && c2s.state.name === 'wait_for_sasl_response') return this.#refuse('aborted')
    }
    if (element.ns === ns.compressFeature || element.ns === ns.compress) {
      c2s.stream.send(el('failure', { xmlns: ns.compress }, el('setup-failed')))
      return
    }
    if (!this.mayLogIn) throw new StreamError('policy-violation', 'TLS is required first')
    if (element.ns !== ns.client || !stanzaKind(element)) throw new StreamError('not-authorized')
    return this.#unauthenticated(element)
  }

  async #unauthenticated(element: Element): Promise<void> {
    const c2s = this.#c2s
    if (c2s.served.legacyAuth && isLegacyAuth(element)) {
      // who speaks SASL does not fall back on what is weaker (XEP-0078 §3.1)
      if (this.#hasFailed) throw new StreamError('policy-violation', 'a login by SASL has failed')
      return handleLegacyAuth(c2s, element)
    }
    const type = attr(element, 'type')
    if (stanzaKind(element) === 'iq' && (type === 'get' || type === 'set')) {
      const info = { host: c2s.served.name, iq: element, address: c2s.info.ip }
      const result = await c2s.server.hooks.fold('c2s_unauthenticated_iq', info.host, undefined, info)
      if (result) return c2s.stream.send(result)
    }
    throw new StreamError('not-authorized')
  }

  async #startTls(): Promise<void> {
    const c2s = this.#c2s
    if (this.secure || !c2s.listener.starttls)
      throw new StreamError('policy-violation', 'TLS is not offered here')
    // what was sent behind it in the clear could have been put there by anybody (CVE-2011-0411 and its kind)
    if (c2s.receiver.hasMore) throw new StreamError('policy-violation', 'data behind starttls')
    c2s.stream.send(el('proceed', { xmlns: ns.tls }))
    const host = c2s.served
    c2s.host = undefined
    this.#to = ''
    c2s.restartStream()
    await this.#handshake(host, host.asksForCertificate)
  }

  #auth(element: Element): void | Promise<void> {
    const c2s = this.#c2s
    if (!this.mayLogIn) return this.#fail('encryption-required')
    const name = attr(element, 'mechanism') ?? ''
    const mechanism = this.#offered.includes(name) ? saslMechanisms.get(name) : undefined
    if (!mechanism) {
      const known = saslMechanisms.get(name)
      return this.#refuse(known?.needsTls && !this.secure ? 'encryption-required' : 'invalid-mechanism')
    }
    const host = c2s.served
    const exchange = mechanism.start({
      host: host.name,
      authenticator: host.authenticator,
      secure: this.secure,
      channelBinding: this.#binding,
      serverSecret: host.serverSecret,
      offered: this.#offered,
      certificateUsers: this.#certificateUsers,
      protectsOffer: !c2s.server.config.disable_sasl_scram_downgrade_protection,
      signal: this.#abort.signal,
    })
    const initial = getTagCdata(element)
    // no initial response: the client speaks after an empty challenge (RFC 6120 §6.4.2)
    if (initial === '') {
      c2s.become({ name: 'wait_for_sasl_response', mechanism: name, exchange })
      c2s.stream.send(el('challenge', { xmlns: ns.sasl }))
      return
    }
    return this.#step(exchange, name, initial)
  }

  async #step(exchange: SaslExchange, mechanism: string, text: string): Promise<void> {
    const c2s = this.#c2s
    const data = decode(text)
    if (!data) return this.#refuse('incorrect-encoding', mechanism)
    const step = await exchange.step(data)
    if (c2s.state.name === 'ended') return
    switch (step.kind) {
      case 'challenge':
        c2s.become({ name: 'wait_for_sasl_response', mechanism, exchange })
        c2s.stream.send(el('challenge', { xmlns: ns.sasl }, encode(step.data)))
        return
      case 'success':
        return this.succeeded({ ...step, mechanism }, () => {
          c2s.stream.send(el('success', { xmlns: ns.sasl }, step.data && encode(step.data)))
          c2s.loggedIn(step.user, step.backend)
          c2s.restartStream()
        })
      case 'failure':
        return this.#refuse(step.condition, mechanism, step)
    }
  }

  /** Refuses a SASL exchange. */
  async #refuse(
    condition: string,
    mechanism = '',
    step: { readonly user?: string; readonly text?: string; readonly counts: boolean } = { counts: true },
  ): Promise<void> {
    const failure = { condition, mechanism, user: step.user ?? '', counts: step.counts }
    this.#hasFailed = true
    await this.failed(failure, () => this.#fail(condition, step.text))
  }

  /** A login is over: `answer` tells the client. */
  async succeeded(
    { user, mechanism, backend }: { user: string; mechanism: string; backend: string },
    answer: () => void | Promise<void>,
  ): Promise<void> {
    const { server, served, info } = this.#c2s
    const address = info.ip
    const host = served.name
    server.throttle.right(user, host)
    server.log.info({ user, host, mechanism, backend, address, secure: this.secure }, 'login')
    await server.hooks.run('c2s_auth_result', host, { result: 'ok', user, mechanism, backend, address })
    return answer()
  }

  /**
   * A login failed; `answer` tells the client. One stable line in the log for each, for whoever bans addresses by it
   * (docs/login.md): what a client can choose stands before what it cannot. Answers about an account that somebody guesses at
   * come late, whether there is such an account or not; who knows the password waits for nothing.
   */
  async failed({ condition, mechanism, user, counts }: LoginFailure, answer: () => void): Promise<void> {
    const c2s = this.#c2s
    const { server, info } = c2s
    const address = info.ip
    const host = c2s.served.name
    const isGuess = condition === 'not-authorized' && user !== ''
    const held = isGuess ? server.throttle.wrong(user, host) : 0
    if (held > 0) await delay(held, undefined, { signal: this.#abort.signal }).catch(() => undefined)
    const line = { user, host, mechanism, condition, address }
    server.log.warn(line, counts ? 'login failed' : 'login not possible')
    await server.hooks.run('c2s_auth_result', host, {
      result: condition,
      user,
      mechanism,
      backend: '',
      address,
    })
    if (c2s.state.name === 'ended') return
    answer()
    if (!counts) return
    this.#attempts++
    const isTooMany = server.limits.failedLogin(address) || this.#attempts >= server.config.auth_attempts
    if (isTooMany) throw new StreamError('policy-violation', 'too many failed logins')
  }

  #fail(condition: string, text?: string): void {
    const c2s = this.#c2s
    const words = text ? el('text', { 'xml:lang': 'en' }, text) : undefined
    c2s.stream.send(el('failure', { xmlns: ns.sasl }, el(condition), words))
    if (c2s.state.name === 'wait_for_sasl_response') c2s.become(waitForFeatureRequest)
  }
}

/** Made once: an abort without a reason makes an error with a stack each time. */
const ended = new Error('the session has ended')

/** Strict base64; '=' stands for no data (RFC 6120 §6.4.2). Undefined when it is not that. */
function decode(text: string): Buffer | undefined {
  if (text === '=') return Buffer.alloc(0)
  const data = Buffer.from(text, 'base64')
  return data.toString('base64') === text ? data : undefined
}

function encode(data: Buffer): string {
  return data.length === 0 ? '=' : data.toString('base64')
}
