/**
 * The states of a subscription and what each presence of a subscription type makes of them, on the side of its sender and on
 * the side of its receiver (RFC 6121 appendix A, with the choices that it leaves written down). All of it is in the two
 * tables; the rest of the page only reads them.
 */
import type { Subscription } from '../../storage/storage.ts'

export type SubscriptionType = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed'

/** Requests without an answer: the contact's (in), the user's (out). */
export type Pending = 'none' | 'in' | 'out' | 'both'

export interface SubscriptionState {
  readonly subscription: Subscription
  readonly pending: Pending
}

/** RFC 6121 §A.1: None, To, From, Both; pending out, pending in. */
type StateName = 'N' | 'N+o' | 'N+i' | 'N+oi' | 'T' | 'T+i' | 'F' | 'F+o' | 'B'

/** R: the stanza is routed to the contact. Then the new state, or = for the old one, or what happens to the pre-approval. */
type SentCell = `${'R' | '-'} ${StateName | '='}` | '- approve' | '- cancel'

/** D: the stanza is delivered to the user. Then the new state, or = for the old one; `answer` is an automatic `subscribed`. */
type ReceivedCell = `${'D' | '-'} ${StateName | '='}` | '- answer'

type Row<Cell> = Readonly<Record<SubscriptionType, Cell>>

// biome-ignore format: a table
const sent: Readonly<Record<StateName, Row<SentCell>>> = {
  'N':    { subscribe: 'R N+o',  unsubscribe: 'R =',   subscribed: '- approve', unsubscribed: '- cancel' },
  'N+o':  { subscribe: 'R =',    unsubscribe: 'R N',   subscribed: '- approve', unsubscribed: '- cancel' },
  'N+i':  { subscribe: 'R N+oi', unsubscribe: 'R =',   subscribed: 'R F',       unsubscribed: 'R N' },
  'N+oi': { subscribe: 'R =',    unsubscribe: 'R N+i', subscribed: 'R F+o',     unsubscribed: 'R N+o' },
  'T':    { subscribe: 'R =',    unsubscribe: 'R N',   subscribed: '- approve', unsubscribed: '- cancel' },
  'T+i':  { subscribe: 'R =',    unsubscribe: 'R N+i', subscribed: 'R B',       unsubscribed: 'R T' },
  'F':    { subscribe: 'R F+o',  unsubscribe: 'R =',   subscribed: '- =',       unsubscribed: 'R N' },
  'F+o':  { subscribe: 'R =',    unsubscribe: 'R F',   subscribed: '- =',       unsubscribed: 'R N+o' },
  'B':    { subscribe: 'R =',    unsubscribe: 'R F',   subscribed: '- =',       unsubscribed: 'R T' },
}

// biome-ignore format: a table
const received: Readonly<Record<StateName, Row<ReceivedCell>>> = {
  'N':    { subscribe: 'D N+i',    unsubscribe: '- =',   subscribed: '- =',   unsubscribed: '- =' },
  'N+o':  { subscribe: 'D N+oi',   unsubscribe: '- =',   subscribed: 'D T',   unsubscribed: 'D N' },
  'N+i':  { subscribe: '- =',      unsubscribe: 'D N',   subscribed: '- =',   unsubscribed: '- =' },
  'N+oi': { subscribe: '- =',      unsubscribe: 'D N+o', subscribed: 'D T+i', unsubscribed: 'D N+i' },
  'T':    { subscribe: 'D T+i',    unsubscribe: '- =',   subscribed: '- =',   unsubscribed: 'D N' },
  'T+i':  { subscribe: '- =',      unsubscribe: 'D T',   subscribed: '- =',   unsubscribed: 'D N+i' },
  'F':    { subscribe: '- answer', unsubscribe: 'D N',   subscribed: '- =',   unsubscribed: '- =' },
  'F+o':  { subscribe: '- answer', unsubscribe: 'D N+o', subscribed: 'D B',   unsubscribed: 'D F' },
  'B':    { subscribe: '- answer', unsubscribe: 'D T',   subscribed: '- =',   unsubscribed: 'D F' },
}

/** What sending a stanza means: whether it goes to the contact, and what is then kept. */
export interface SentEffect {
  readonly routes: boolean
  readonly next: SubscriptionState
  readonly approved: boolean
}

/** What receiving a stanza means: whether the user gets it, what is then kept, and what is answered for him. */
export interface ReceivedEffect {
  readonly delivers: boolean
  readonly next: SubscriptionState
  readonly answer: 'subscribed' | 'unsubscribed' | undefined
  /** The contact saw the user's presence and shall see it go. */
  readonly losesSight: boolean
}

export function isSubscriptionType(type: string): type is SubscriptionType {
  return type === 'subscribe' || type === 'subscribed' || type === 'unsubscribe' || type === 'unsubscribed'
}

export function onSent(state: SubscriptionState, approved: boolean, type: SubscriptionType): SentEffect {
  const cell = sent[nameOf(state)][type]
  if (cell === '- approve') return { routes: false, next: state, approved: true }
  const next = cell === '- cancel' ? state : after(cell, state)
  return { routes: cell.startsWith('R'), next, approved: approved && type !== 'unsubscribed' }
}

export function onReceived(
  state: SubscriptionState,
  approved: boolean,
  type: SubscriptionType,
): ReceivedEffect {
  const name = nameOf(state)
  const cell = received[name][type]
  const quiet = { delivers: false, answer: undefined, losesSight: false }
  if (cell === '- answer') return { ...quiet, next: state, answer: 'subscribed' }
  if (type === 'subscribe' && approved && !hasPendingIn(state)) {
    return { ...quiet, next: seenByContact(state), answer: 'subscribed' }
  }
  const delivers = cell.startsWith('D')
  const ends = delivers && type === 'unsubscribe'
  return {
    delivers,
    next: after(cell, state),
    answer: ends ? 'unsubscribed' : undefined,
    losesSight: ends && isSeenByContact(state.subscription),
  }
}

/** The new state after sending, or 'none' when it stays as it is. */
export function outStateChange(
  subscription: Subscription,
  pending: Pending,
  type: SubscriptionType,
): SubscriptionState | 'none' {
  const state = { subscription, pending }
  return changed(state, onSent(state, false, type).next)
}

/** The new state after receiving, or 'none' when it stays as it is. */
export function inStateChange(
  subscription: Subscription,
  pending: Pending,
  type: SubscriptionType,
): SubscriptionState | 'none' {
  const state = { subscription, pending }
  return changed(state, onReceived(state, false, type).next)
}

export function pendingOf(out: boolean, in_: boolean): Pending {
  if (out) return in_ ? 'both' : 'out'
  return in_ ? 'in' : 'none'
}

export function hasPendingIn(state: SubscriptionState): boolean {
  return state.pending === 'in' || state.pending === 'both'
}

export function hasPendingOut(state: SubscriptionState): boolean {
  return state.pending === 'out' || state.pending === 'both'
}

/** Whether the contact gets the user's presence. */
export function isSeenByContact(subscription: Subscription): boolean {
  return subscription === 'from' || subscription === 'both'
}

/** Whether the user gets the contact's presence. */
export function seesContact(subscription: Subscription): boolean {
  return subscription === 'to' || subscription === 'both'
}

const states: Readonly<Record<StateName, SubscriptionState>> = {
  N: { subscription: 'none', pending: 'none' },
  'N+o': { subscription: 'none', pending: 'out' },
  'N+i': { subscription: 'none', pending: 'in' },
  'N+oi': { subscription: 'none', pending: 'both' },
  T: { subscription: 'to', pending: 'none' },
  'T+i': { subscription: 'to', pending: 'in' },
  F: { subscription: 'from', pending: 'none' },
  'F+o': { subscription: 'from', pending: 'out' },
  B: { subscription: 'both', pending: 'none' },
}

const names = Object.keys(states) as StateName[]

/**
 * The name of a state. Four of the thirteen pairs are no state (RFC 6121 §A.1): who is subscribed cannot have asked, so what
 * pends there in data from elsewhere does not count.
 */
function nameOf({ subscription, pending }: SubscriptionState): StateName {
  const out = (pending === 'out' || pending === 'both') && !seesContact(subscription)
  const in_ = (pending === 'in' || pending === 'both') && !isSeenByContact(subscription)
  const wanted = pendingOf(out, in_)
  return names.find((n) => states[n].subscription === subscription && states[n].pending === wanted) ?? 'N'
}

function after(cell: SentCell | ReceivedCell, state: SubscriptionState): SubscriptionState {
  const name = cell.slice(2)
  return name === '=' ? state : states[name as StateName]
}

/** The state when the contact's request is granted before it was asked: N becomes F, N+o F+o, T B. */
function seenByContact({ subscription, pending }: SubscriptionState): SubscriptionState {
  return { subscription: seesContact(subscription) ? 'both' : 'from', pending }
}

function changed(before: SubscriptionState, next: SubscriptionState): SubscriptionState | 'none' {
  const isSame = before.subscription === next.subscription && before.pending === next.pending
  return isSame ? 'none' : next
}
