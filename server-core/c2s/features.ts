/** Stream features, in the order that clients rely on (RFC 6120 §4.3.2). */
import { offersBinding } from '../stream/sasl/index.ts'
import { type Element, el } from '../xml/element.ts'
import { ns } from '../xmpp/namespaces.ts'
import type { C2s } from './c2s.ts'

/**
 * @param mechanisms offered for login; none are while TLS is required and missing
 * @param bindings what a login can be tied to
 */
export async function streamFeatures(
  c2s: C2s,
  mechanisms: readonly string[],
  bindings: readonly string[],
): Promise<readonly Element[]> {
  const { listener, server } = c2s
  const authenticated = c2s.user !== ''
  const secure = c2s.connection.secure
  const list: Element[] = []
  if (!secure && listener.starttls && !authenticated) {
    const required = listener.starttls_required && !c2s.login.allowsClear
    list.push(el('starttls', { xmlns: ns.tls }, required ? el('required') : undefined))
    // nothing else may be negotiated before it (RFC 6120 §5.3.1)
    if (required) return list
  }
  if (!authenticated && mechanisms.length > 0) {
    list.push(el('mechanisms', { xmlns: ns.sasl }, ...mechanisms.map((name) => el('mechanism', {}, name))))
  }
  // clients that see the list but no -PLUS take it for an attack (XEP-0440 §3)
  if (!authenticated && offersBinding(mechanisms)) {
    const types = bindings.map((type) => el('channel-binding', { type }))
    list.push(el('sasl-channel-binding', { xmlns: ns.channelBinding }, ...types))
  }
  list.push(
    el(
      'limits',
      { xmlns: ns.limits },
      el(
        'max-bytes',
        {},
        String(authenticated ? listener.max_stanza_size : listener.pre_auth_max_stanza_size),
      ),
      el('idle-seconds', {}, String(Math.round(server.config.ping_interval / 1_000))),
    ),
  )
  if (authenticated) {
    list.push(el('bind', { xmlns: ns.bind }), el('session', { xmlns: ns.session }, el('optional')))
    list.push(el('sm', { xmlns: ns.sm }))
  }
  const { name } = c2s.served
  const roster = authenticated
    ? await server.hooks.fold('roster_get_versioning_feature', name, [], { host: name })
    : []
  return server.hooks.fold('c2s_stream_features', name, [...list, ...roster], { host: name, authenticated })
}
