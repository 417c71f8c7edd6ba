/** Roster items as elements, and what of a client's request may become one (RFC 6121 §2.1.2, §2.3). */
import type { RosterItem } from '../../storage/storage.ts'
import { attr, type Element, el, getTagCdata, localName, removeCdata } from '../../xml/element.ts'
import { StanzaError } from '../../xmpp/errors.ts'
import { type Jid, parseJid } from '../../xmpp/jid.ts'
import { rosterTextProblem } from '../../xmpp/roster-texts.ts'
import { hasPendingIn, hasPendingOut, pendingOf, type SubscriptionState } from './subscriptions.ts'

/** What a client asks for: a contact with this name and these groups, or no such contact. */
export type WantedItem =
  | { readonly contact: Jid; readonly remove: true }
  | {
      readonly contact: Jid
      readonly remove: false
      readonly name: string
      readonly groups: readonly string[]
    }

/** `<item jid='…' subscription='…'/>` with all that shows. */
export function itemElement(item: RosterItem): Element {
  return el(
    'item',
    {
      jid: item.jid,
      name: item.name === '' ? undefined : item.name,
      subscription: item.subscription,
      ask: item.pendingOut ? 'subscribe' : undefined,
      approved: item.approved ? 'true' : undefined,
    },
    ...item.groups.map((group) => el('group', {}, group)),
  )
}

export function removedElement(jid: string): Element {
  return el('item', { jid, subscription: 'remove' })
}

/** Reads the query of a roster set; throws the StanzaError that RFC 6121 §2.3.3 says. */
export function wantedItem(query: Element, owner: Jid): WantedItem {
  const children = removeCdata(query.children)
  const [item] = children
  if (item === undefined || children.length > 1 || localName(item) !== 'item') {
    throw new StanzaError('bad-request', 'a roster set has exactly one item')
  }
  const jid = attr(item, 'jid')
  if (jid === undefined || jid === '') throw new StanzaError('bad-request', 'the item has no jid')
  const contact = parseJid(jid)?.bare
  if (contact === undefined) throw new StanzaError('jid-malformed', 'the jid of the item is not an address')
  if (contact.equals(owner)) throw new StanzaError('not-allowed', 'nobody is a contact of his own')
  if (attr(item, 'subscription') === 'remove') return { contact, remove: true }
  const name = attr(item, 'name') ?? ''
  const groups = wantedGroups(item)
  const problem = rosterTextProblem(name, groups)
  if (problem !== undefined) throw new StanzaError('not-acceptable', problem)
  return { contact, remove: false, name, groups }
}

function wantedGroups(item: Element): readonly string[] {
  const groups: string[] = []
  for (const child of removeCdata(item.children)) {
    if (localName(child) !== 'group') continue
    const group = getTagCdata(child)
    if (group === '') throw new StanzaError('not-acceptable', 'a group has no name')
    if (groups.includes(group)) throw new StanzaError('bad-request', 'the same group is given twice')
    groups.push(group)
  }
  return groups
}

/** A contact that nothing is known of. */
export function unknownItem(jid: string): RosterItem {
  return {
    jid,
    name: '',
    subscription: 'none',
    pendingOut: false,
    pendingIn: undefined,
    approved: false,
    groups: [],
    listed: false,
  }
}

export function stateOf(item: RosterItem | undefined): SubscriptionState {
  if (item === undefined) return { subscription: 'none', pending: 'none' }
  return {
    subscription: item.subscription,
    pending: pendingOf(item.pendingOut, item.pendingIn !== undefined),
  }
}

/**
 * The item in another state; `request` is the contact's subscribe stanza, kept while it waits for an answer. The same object
 * when nothing changes, undefined when nothing is left to keep.
 */
export function inState(
  item: RosterItem | undefined,
  jid: string,
  state: SubscriptionState,
  approved: boolean,
  request: string | undefined,
): RosterItem | undefined {
  const before = item ?? unknownItem(jid)
  const pendingIn = hasPendingIn(state) ? (request ?? before.pendingIn) : undefined
  const pendingOut = hasPendingOut(state)
  const { subscription } = state
  const listed = before.listed || subscription !== 'none' || pendingOut || approved
  if (!listed && pendingIn === undefined) return undefined
  const isSame =
    item !== undefined &&
    before.subscription === subscription &&
    before.pendingOut === pendingOut &&
    before.pendingIn === pendingIn &&
    before.approved === approved &&
    before.listed === listed
  return isSame ? item : { ...before, subscription, pendingOut, pendingIn, approved, listed }
}

/** Whether what a client sees of the contact differs. */
export function showsDifferently(before: RosterItem | undefined, after: RosterItem | undefined): boolean {
  const one = before?.listed ? before : undefined
  const other = after?.listed ? after : undefined
  if (one === undefined || other === undefined) return one !== other
  return (
    one.name !== other.name ||
    one.subscription !== other.subscription ||
    one.pendingOut !== other.pendingOut ||
    one.approved !== other.approved ||
    one.groups.length !== other.groups.length ||
    one.groups.some((group, i) => group !== other.groups[i])
  )
}
