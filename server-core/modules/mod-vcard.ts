/** mod_vcard: the visiting card of each account, which everybody may read (XEP-0054). */
import { z } from 'zod'
import { size } from '../config/fields.ts'
import type { IqRequest } from '../extend/gen-iq-handler.ts'
import { defineModule, type HostContext } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import type { VcardService } from '../extend/provided.ts'
import { declared } from '../xml/declared.ts'
import { type Element, el, localName } from '../xml/element.ts'
import { parseElement } from '../xml/parser.ts'
import { elementToString } from '../xml/serialize.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modVcard = defineModule({
  name: 'mod_vcard',
  doc: 'Keeps the visiting cards of accounts (XEP-0054)',
  options: {
    max_bytes: size({ min: 1_024 }).default(131_072).describe('bytes of one vCard, its picture included'),
    name: z.string().default('gatehouse').describe("the server's own name on its vCard"),
    url: z.string().optional().describe("the server's own address on the web"),
    iqdisc: iqdisc(),
  },

  start(host, options) {
    const vcards = new Vcards(host)
    host.provide('vcard', vcards)
    host.feature('local', ns.vcard)
    host.feature('sm', ns.vcard)
    host.iq('local', ns.vcard, (request) => serverCard(request, options.name, options.url), options.iqdisc)
    host.iq('sm', ns.vcard, (request) => accountCard(vcards, request, options.max_bytes), options.iqdisc)
  },
})

class Vcards implements VcardService {
  readonly #host: HostContext

  constructor(host: HostContext) {
    this.#host = host
  }

  async get(user: string): Promise<Element | undefined> {
    const text = await this.#host.storage.vcards.get(user, this.#host.host)
    return text === undefined ? undefined : parseElement(text).element
  }

  async set(user: string, vcard: Element): Promise<void> {
    const { host } = this.#host
    await this.#host.storage.vcards.set(user, host, elementToString(declared(vcard)))
    await this.#host.run('vcard_set', { user, host, vcard })
  }
}

async function accountCard(
  vcards: Vcards,
  request: IqRequest,
  maxBytes: number,
): Promise<Element | undefined> {
  const { user } = request.to
  const isOwn = request.from.bare.equals(request.to.bare)
  if (request.type === 'get') {
    const vcard = await vcards.get(user)
    if (vcard !== undefined) return vcard
    if (isOwn) return el('vCard', { xmlns: ns.vcard })
    // The same as for an account that does not exist (XEP-0054 §3.1).
    throw new StanzaError('service-unavailable')
  }
  if (!isOwn) throw new StanzaError('forbidden', "nobody changes another's vCard")
  if (localName(request.child) !== 'vCard') throw new StanzaError('bad-request')
  if (Buffer.byteLength(elementToString(request.child)) > maxBytes) {
    throw new StanzaError('not-acceptable', `a vCard has at most ${maxBytes} bytes`)
  }
  await vcards.set(user, request.child)
  return undefined
}

function serverCard(request: IqRequest, name: string, url: string | undefined): Element {
  if (request.type === 'set') throw new StanzaError('not-allowed')
  return el(
    'vCard',
    { xmlns: ns.vcard },
    el('FN', {}, name),
    url === undefined ? undefined : el('URL', {}, url),
    el('DESC', {}, 'An XMPP server'),
  )
}
