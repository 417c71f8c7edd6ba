/**
 * mod_disco: what the host and its accounts are and can do (XEP-0030). It only asks around: identities, features and items
 * come from the disco hooks, extended information (XEP-0128) from the hook disco_info and the option server_info (XEP-0157).
 */
import { z } from 'zod'
import { hostName } from '../config/fields.ts'
import { tryAgainLater } from '../extend/answer-to.ts'
import type { IqRequest } from '../extend/gen-iq-handler.ts'
import { defineModule, type HostContext } from '../extend/gen-mod.ts'
import type { DiscoInfo } from '../extend/hooks.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import { attr, type Element, el } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

const contact = z.strictObject({
  name: z.string().describe("field of the form, such as 'abuse-addresses'"),
  urls: z.array(z.string()).min(1),
})

export const modDisco = defineModule({
  name: 'mod_disco',
  doc: 'Service discovery (XEP-0030)',
  options: {
    name: z.string().default('gatehouse').describe('what the server calls itself'),
    extra_domains: z.array(hostName()).default([]).describe('domains elsewhere that belong to the service'),
    server_info: z.array(contact).default([]).describe('whom to write to (XEP-0157)'),
    iqdisc: iqdisc(),
  },

  start(host, options) {
    host.feature('local', ns.discoInfo, ns.discoItems)
    host.feature('sm', ns.discoInfo, ns.discoItems)
    host.hook('disco_local_identity', (list, { node }) =>
      node === '' ? [...list, identity('server', 'im', options.name)] : undefined,
    )
    host.hook('disco_sm_identity', (list, { node }) =>
      node === '' ? [...list, identity('account', 'registered')] : undefined,
    )
    host.hook('disco_local_items', (list, { node }) =>
      node === '' ? [...list, ...options.extra_domains.map((jid) => el('item', { jid }))] : undefined,
    )
    host.hook('disco_sm_items', (list, { node, to }) =>
      node === '' ? [...list, ...resources(host, to.user)] : undefined,
    )
    if (options.server_info.length > 0) {
      host.hook('disco_info', (list, { node }) =>
        node === '' ? [...list, contactForm(options.server_info)] : undefined,
      )
    }
    host.iq('local', ns.discoInfo, (request) => localInfo(host, asked(host, request)), options.iqdisc)
    host.iq('local', ns.discoItems, (request) => localItems(host, asked(host, request)), options.iqdisc)
    host.iq('sm', ns.discoInfo, (request) => accountInfo(host, asked(host, request)), options.iqdisc)
    host.iq('sm', ns.discoItems, (request) => accountItems(host, asked(host, request)), options.iqdisc)
  },
})

function asked(host: HostContext, request: IqRequest): DiscoInfo {
  if (request.type === 'set') throw new StanzaError('not-allowed')
  const { from, to, lang } = request
  return { host: host.host, from, to, node: attr(request.child, 'node') ?? '', lang }
}

async function localInfo(host: HostContext, info: DiscoInfo): Promise<Element> {
  const identities = await host.fold('disco_local_identity', [], info)
  const features = await host.fold('disco_local_features', [], info)
  const forms = await host.fold('disco_info', [], info)
  return infoElement(info, identities, features, forms)
}

async function localItems(host: HostContext, info: DiscoInfo): Promise<Element> {
  return itemsElement(info, await host.fold('disco_local_items', [], info))
}

async function accountInfo(host: HostContext, info: DiscoInfo): Promise<Element> {
  await checkSight(host, info)
  const identities = await host.fold('disco_sm_identity', [], info)
  const features = await host.fold('disco_sm_features', [], info)
  return infoElement(info, identities, features, [])
}

async function accountItems(host: HostContext, info: DiscoInfo): Promise<Element> {
  await checkSight(host, info)
  return itemsElement(info, await host.fold('disco_sm_items', [], info))
}

/** Only who may see the account's presence learns more than he would of an account that does not exist (XEP-0030 §8). */
async function checkSight(host: HostContext, { from, to }: DiscoInfo): Promise<void> {
  if (from.bare.equals(to.bare)) return
  const known = await host.fold(
    'roster_get_jid_info',
    { subscription: 'none', groups: [] },
    { user: to.user, host: host.host, jid: from.bare },
  )
  if (known.subscription === 'from' || known.subscription === 'both') return
  throw known.failed ? tryAgainLater() : new StanzaError('service-unavailable')
}

function identity(category: string, type: string, name?: string): Element {
  return el('identity', { category, type, name })
}

function infoElement(
  { node }: DiscoInfo,
  identities: readonly Element[],
  features: readonly string[],
  forms: readonly Element[],
): Element {
  if (node !== '' && identities.length + features.length + forms.length === 0) {
    throw new StanzaError('item-not-found')
  }
  const sorted = [...new Set(features)].sort((one, other) => (one < other ? -1 : 1))
  return el(
    'query',
    { xmlns: ns.discoInfo, node: node === '' ? undefined : node },
    ...identities,
    ...sorted.map((name) => el('feature', { var: name })),
    ...forms,
  )
}

function itemsElement({ node }: DiscoInfo, items: readonly Element[]): Element {
  if (node !== '' && items.length === 0) throw new StanzaError('item-not-found')
  return el('query', { xmlns: ns.discoItems, node: node === '' ? undefined : node }, ...items)
}

function resources(host: HostContext, user: string): Element[] {
  return host.sessions
    .ofUser(user, host.host)
    .filter((session) => session.presence !== undefined)
    .map(({ jid }) => el('item', { jid: jid.text }))
}

function contactForm(contacts: readonly z.output<typeof contact>[]): Element {
  const field = (name: string, type: string | undefined, values: readonly string[]): Element =>
    el('field', { var: name, type }, ...values.map((value) => el('value', {}, value)))
  return el(
    'x',
    { xmlns: ns.xdata, type: 'result' },
    field('FORM_TYPE', 'hidden', ['http://jabber.org/network/serverinfo']),
    ...contacts.map(({ name, urls }) => field(name, undefined, urls)),
  )
}
