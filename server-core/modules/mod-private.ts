/** mod_private: what clients keep on the server for themselves, one element for each namespace (XEP-0049). */
import { count, size } from '../config/fields.ts'
import type { IqRequest } from '../extend/gen-iq-handler.ts'
import { defineModule } from '../extend/gen-mod.ts'
import { iqdisc } from '../extend/iqdisc.ts'
import type { PrivateElement } from '../storage/storage.ts'
import { declared } from '../xml/declared.ts'
import { type Element, el, removeCdata } from '../xml/element.ts'
import { parseElement } from '../xml/parser.ts'
import { elementToString } from '../xml/serialize.ts'
import { StanzaError } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'

export const modPrivate = defineModule({
  name: 'mod_private',
  doc: 'Keeps what clients want to keep on the server (XEP-0049)',
  options: {
    max_elements: count(1).default(100).describe('elements of one account'),
    max_bytes: size({ min: 1_024 }).default(1_048_576).describe('bytes of one account'),
    iqdisc: iqdisc(),
  },

  start(host, options) {
    const store = host.storage.privates
    const limits = { elements: options.max_elements, bytes: options.max_bytes }
    host.provide('private', {
      get: (user, namespace) => store.get(user, host.host, namespace),
      set: (user, element) => store.set(user, host.host, [kept(element)], limits),
    })
    host.feature('sm', ns.private)
    host.iq(
      'sm',
      ns.private,
      async (request) => {
        const elements = wanted(request)
        const { user } = request.to
        if (request.type === 'get') {
          const found = elements.map(async (one) => readBack(await store.get(user, host.host, one.ns)) ?? one)
          return el('query', { xmlns: ns.private }, ...(await Promise.all(found)))
        }
        const outcome = await store.set(user, host.host, elements.map(kept), limits)
        if (outcome === 'full')
          throw new StanzaError('resource-constraint', 'more than is kept for one account')
        return undefined
      },
      options.iqdisc,
    )
  },
})

/** The elements of a request; each must have a namespace of its own, which is what it is kept under. */
function wanted(request: IqRequest): readonly Element[] {
  if (!request.from.bare.equals(request.to.bare)) {
    throw new StanzaError('forbidden', 'what is private is only for its owner')
  }
  const elements = removeCdata(request.child.children)
  if (elements.length === 0) throw new StanzaError('bad-request', 'the query is empty')
  if (elements.some((one) => one.ns === '' || one.ns === ns.private || one.ns === ns.client)) {
    throw new StanzaError('not-acceptable', 'an element needs a namespace of its own')
  }
  return elements.map((element) => declared(element, request.child))
}

function kept(element: Element): PrivateElement {
  const xml = elementToString(declared(element))
  if (readBack(xml) === undefined) {
    throw new StanzaError('bad-request', 'an element must declare the prefixes that it uses')
  }
  return { ns: element.ns, xml }
}

function readBack(xml: string | undefined): Element | undefined {
  return xml === undefined ? undefined : parseElement(xml).element
}
