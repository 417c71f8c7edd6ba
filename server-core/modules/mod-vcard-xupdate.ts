/**
 * mod_vcard_xupdate: presence says which picture the account's vCard has (XEP-0153), whether the client knows it or not, so
 * that contacts fetch a picture only when it is new.
 */
import { createHash } from 'node:crypto'
import { defineModule, type HostContext } from '../extend/gen-mod.ts'
import { Element, el, getChild, getTagCdata, localName } from '../xml/element.ts'
import { ns } from '../xmpp/namespaces.ts'

/** Hashes that are kept in memory; the one found first goes first. */
const maxKept = 10_000

export const modVcardXupdate = defineModule({
  name: 'mod_vcard_xupdate',
  doc: "Says in presence which picture somebody's vCard has (XEP-0153)",
  requires: ['mod_vcard'],
  options: {},

  start(host) {
    const pictures = new Pictures(host)
    host.hook('c2s_update_presence', async (presence, { session }) => {
      if (presence.attributes.some(([name]) => name === 'type')) return undefined
      return withPicture(presence, await pictures.hashOf(session.jid.user))
    })
    host.hook('vcard_set', (_, { user, vcard }) => {
      pictures.keep(user, pictureHash(vcard))
      // Contacts hear of the new picture at once.
      for (const session of host.sessions.ofUser(user, host.host)) {
        if (session.presence) session.tell({ type: 'inject', element: session.presence })
      }
    })
    host.hook('remove_user', (_, { user }) => pictures.forget(user))
    host.hook('memory_holders', (all) => [
      ...all,
      { name: 'hashes of pictures', count: pictures.kept, bytes: undefined },
    ])
  },
})

class Pictures {
  readonly #host: HostContext
  readonly #kept = new Map<string, string>()

  constructor(host: HostContext) {
    this.#host = host
  }

  get kept(): number {
    return this.#kept.size
  }

  /** '' when there is no picture; undefined when that cannot be found out: then presence stays as the client made it. */
  async hashOf(user: string): Promise<string | undefined> {
    const kept = this.#kept.get(user)
    if (kept !== undefined) return kept
    try {
      const vcard = await this.#host.provided('vcard')?.get(user)
      const hash = vcard === undefined ? '' : pictureHash(vcard)
      // Not over what was set while this was read.
      if (!this.#kept.has(user)) this.keep(user, hash)
      return this.#kept.get(user)
    } catch (err) {
      this.#host.log.error({ err, user }, 'a vCard could not be read')
      return undefined
    }
  }

  keep(user: string, hash: string): void {
    this.#kept.set(user, hash)
    if (this.#kept.size <= maxKept) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }

  forget(user: string): void {
    this.#kept.delete(user)
  }
}

/** Lower-case hexadecimal SHA-1 of the picture itself; '' without one. */
export function pictureHash(vcard: Element): string {
  const photo = getChild(vcard, 'PHOTO', ns.vcard)
  const binval = photo && getChild(photo, 'BINVAL', ns.vcard)
  const text = binval ? getTagCdata(binval).replace(/\s/g, '') : ''
  return text === '' ? '' : createHash('sha1').update(Buffer.from(text, 'base64')).digest('hex')
}

function withPicture(presence: Element, hash: string | undefined): Element {
  if (hash === undefined) return presence
  const photo = hash === '' ? el('photo') : el('photo', {}, hash)
  const others = presence.children.filter(
    (child) => typeof child === 'string' || localName(child) !== 'x' || child.ns !== ns.vcardUpdate,
  )
  const children = [...others, el('x', { xmlns: ns.vcardUpdate }, photo)]
  return new Element(presence.name, presence.attributes, children, presence.ns)
}
