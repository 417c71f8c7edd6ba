import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  inStateChange,
  onReceived,
  onSent,
  outStateChange,
  type Pending,
  type SubscriptionState,
  type SubscriptionType,
} from '../../../server-core/modules/mod-roster/subscriptions.ts'
import type { Subscription } from '../../../server-core/storage/storage.ts'

interface Case {
  readonly state: string
  readonly type: SubscriptionType
  readonly before: SubscriptionState
  readonly passes: boolean
  readonly after: SubscriptionState
  readonly approval?: 'granted' | 'cancelled'
  readonly answer?: string
}

function cases(name: string): readonly Case[] {
  const url = new URL(`../../../fixtures/subscriptions/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Case[]
}

describe('what a user sends', () => {
  const all = cases('sent')

  it('is known for nine states and four types', () => {
    expect(new Set(all.map((one) => `${one.state} ${one.type}`)).size).toBe(36)
  })

  it.each(all)('$type in $state', ({ type, before, passes, after, approval }) => {
    const effect = onSent(before, approval === 'cancelled', type)
    expect(effect.routes).toBe(passes)
    expect(effect.next).toEqual(after)
    expect(effect.approved).toBe(approval === 'granted')
  })

  it.each(all)('$type in $state changes only what is said', ({ type, before, after }) => {
    const isSame = before.subscription === after.subscription && before.pending === after.pending
    expect(outStateChange(before.subscription, before.pending, type)).toEqual(isSame ? 'none' : after)
  })
})

describe('what a user receives', () => {
  const all = cases('received')

  it('is known for nine states and four types', () => {
    expect(new Set(all.map((one) => `${one.state} ${one.type}`)).size).toBe(36)
  })

  it.each(all)('$type in $state', ({ type, before, passes, after, answer }) => {
    const effect = onReceived(before, false, type)
    expect(effect.delivers).toBe(passes)
    expect(effect.next).toEqual(after)
    const ends = type === 'unsubscribe' && passes
    expect(effect.answer).toBe(ends ? 'unsubscribed' : answer)
    expect(effect.losesSight).toBe(ends && ['from', 'both'].includes(before.subscription))
  })

  it.each(all)('$type in $state changes only what is said', ({ type, before, after }) => {
    const isSame = before.subscription === after.subscription && before.pending === after.pending
    expect(inStateChange(before.subscription, before.pending, type)).toEqual(isSame ? 'none' : after)
  })
})

it.each(cases('pre-approved'))('a request in $state that was approved before is answered', (one) => {
  expect(onReceived(one.before, true, 'subscribe')).toEqual({
    delivers: false,
    next: one.after,
    answer: 'subscribed',
    losesSight: false,
  })
})

const anyType = fc.constantFrom<SubscriptionType>('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed')
const anyState = fc.record({
  subscription: fc.constantFrom<Subscription>('none', 'to', 'from', 'both'),
  pending: fc.constantFrom<Pending>('none', 'in', 'out', 'both'),
})
const anyStep = fc.record({ type: anyType, isSent: fc.boolean() })
const nineStates = new Set(cases('sent').map((one) => `${one.before.subscription} ${one.before.pending}`))

function step(state: SubscriptionState, approved: boolean, one: { type: SubscriptionType; isSent: boolean }) {
  return (one.isSent ? onSent(state, approved, one.type) : onReceived(state, approved, one.type)).next
}

it('never leads to a state outside the nine, whatever comes in whatever order', () => {
  expect(nineStates.size).toBe(9)
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 30 }), fc.boolean(), (steps, approved) => {
      let state: SubscriptionState = { subscription: 'none', pending: 'none' }
      for (const one of steps) {
        state = step(state, approved && state.pending !== 'in' && state.pending !== 'both', one)
        expect(nineStates).toContain(`${state.subscription} ${state.pending}`)
      }
    }),
  )
})

it('takes pairs that are no state for the state that their subscription says', () => {
  fc.assert(
    fc.property(anyState, anyStep, (state, one) => {
      const next = step(state, false, one)
      if (next !== state) expect(nineStates).toContain(`${next.subscription} ${next.pending}`)
    }),
  )
})

it('does nothing the second time', () => {
  fc.assert(
    fc.property(anyState, anyStep, (state, one) => {
      const once = step(state, false, one)
      expect(step(once, false, one)).toEqual(once)
    }),
  )
})

it('routes again what the contact may have missed, and delivers nothing twice', () => {
  fc.assert(
    fc.property(anyState, anyType, (state, type) => {
      const first = onReceived(state, false, type)
      if (first.delivers) expect(onReceived(first.next, false, type).delivers).toBe(false)
    }),
  )
})

/** The two sides of a subscription stay in step as long as every stanza arrives. */
it('keeps what one side sends and the other receives in agreement', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ type: anyType, byRomeo: fc.boolean() }), { maxLength: 30 }),
      (stanzas) => {
        const sides: [SubscriptionState, SubscriptionState] = [
          { subscription: 'none', pending: 'none' },
          { subscription: 'none', pending: 'none' },
        ]
        const send = (from: 0 | 1, type: SubscriptionType): void => {
          const to = from === 0 ? 1 : 0
          const effect = onSent(sides[from], false, type)
          sides[from] = effect.next
          if (!effect.routes) return
          const arrived = onReceived(sides[to], false, type)
          sides[to] = arrived.next
          if (arrived.answer !== undefined) {
            sides[from] = onReceived(sides[from], false, arrived.answer).next
          }
        }
        for (const { type, byRomeo } of stanzas) send(byRomeo ? 0 : 1, type)
        const mirror: Record<Subscription, Subscription> = {
          none: 'none',
          to: 'from',
          from: 'to',
          both: 'both',
        }
        expect(sides[1].subscription).toBe(mirror[sides[0].subscription])
      },
    ),
  )
})
