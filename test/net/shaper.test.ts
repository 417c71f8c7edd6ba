import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Shaper } from '../../server-core/net/shaper.ts'

describe('a shaper of 1,000 bytes a second with bursts of 5,000', () => {
  const shaper = () => new Shaper(1_000, 5_000, 0)

  it('lets a burst through at once', () => {
    expect(shaper().take(5_000, 0)).toBe(0)
  })

  it('makes wait for what is beyond it, by the rate', () => {
    const one = shaper()
    expect(one.take(6_000, 0)).toBe(1_000)
    expect(one.take(500, 0)).toBe(1_500)
  })

  it('fills up again with time, and never beyond the burst', () => {
    const one = shaper()
    one.take(5_000, 0)
    expect(one.take(2_000, 2_000)).toBe(0)
    expect(one.take(5_001, 1_000_000)).toBe(1)
  })

  it('knows no negative time: a clock that goes back gives nothing', () => {
    const one = shaper()
    one.take(5_000, 10_000)
    expect(one.take(1, 9_000)).toBeGreaterThan(0)
  })

  it('lets a peer that waits as told send no more than burst and rate', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(65_536), { minLength: 1, maxLength: 50 }), (chunks) => {
        const one = new Shaper(1_000, 5_000, 0)
        let now = 0
        let sent = 0
        for (const bytes of chunks) {
          // what came before this chunk stayed within the allowance
          expect(sent).toBeLessThanOrEqual(5_000 + now + 1)
          now += one.take(bytes, now)
          sent += bytes
        }
        expect(sent).toBeLessThanOrEqual(5_000 + now + 1)
      }),
    )
  })
})
