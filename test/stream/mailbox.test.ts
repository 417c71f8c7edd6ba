import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Mailbox } from '../../server-core/stream/mailbox.ts'

const wide = { items: 100_000, bytes: 1_000_000 }

function mailbox<T>(
  handle: (item: T) => void | Promise<void>,
  limits = wide,
  overflow = () => {},
): Mailbox<T> {
  return new Mailbox(handle, () => 10, limits, overflow)
}

/** Lets every promise that can go on do so. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('order', () => {
  it('handles at once what nothing stands before', () => {
    const seen: number[] = []
    const box = mailbox<number>((n) => void seen.push(n))
    box.post(1)
    expect(seen).toEqual([1])
  })

  it('is the order of posting, also for what a handler posts', () => {
    const seen: number[] = []
    const box = mailbox<number>((n) => {
      if (n < 3) {
        box.post(n * 10)
        box.post(n * 10 + 1)
      }
      seen.push(n)
    })
    box.post(1)
    box.post(2)
    expect(seen).toEqual([1, 10, 11, 2, 20, 21])
  })

  it('is kept while a handler waits, one at a time', async () => {
    const seen: string[] = []
    const box = mailbox<number>(async (n) => {
      seen.push(`begin ${n}`)
      await turn()
      seen.push(`end ${n}`)
    })
    box.post(1)
    box.post(2)
    box.post(3)
    expect(seen).toEqual(['begin 1'])
    while (seen.length < 6) await turn()
    expect(seen).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3'])
  })

  it('holds for every mixture of posts, holds, waits and releases', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('post', 'slow', 'nested', 'hold', 'release', 'turn'), { maxLength: 60 }),
        async (steps) => {
          const posted: number[] = []
          const seen: number[] = []
          let running = 0
          let held = 0
          const slow = new Set<number>()
          const nested = new Set<number>()
          const post = (): number => {
            const n = posted.length
            posted.push(n)
            return n
          }
          const box = mailbox<number>((n) => {
            expect(running).toBe(0)
            running++
            seen.push(n)
            if (nested.has(n)) box.post(post())
            if (!slow.has(n)) {
              running--
              return
            }
            return turn().then(() => {
              running--
            })
          })
          for (const step of steps) {
            if (step === 'hold') {
              box.hold()
              held++
            } else if (step === 'release' && held > 0) {
              held--
              box.release()
            } else if (step === 'turn') {
              await turn()
            } else {
              const n = post()
              if (step === 'slow') slow.add(n)
              if (step === 'nested') nested.add(n)
              box.post(n)
            }
          }
          while (held-- > 0) box.release()
          for (let i = 0; i < 200 && seen.length < posted.length; i++) await turn()
          expect(seen).toEqual(posted)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('hold', () => {
  it('keeps everything until as many releases', () => {
    const seen: number[] = []
    const box = mailbox<number>((n) => void seen.push(n))
    box.hold()
    box.hold()
    box.post(1)
    box.post(2)
    box.release()
    expect(seen).toEqual([])
    box.release()
    expect(seen).toEqual([1, 2])
    box.post(3)
    expect(seen).toEqual([1, 2, 3])
  })

  it('stops in the middle of a queue when an item holds', () => {
    const seen: number[] = []
    const box = mailbox<number>((n) => {
      seen.push(n)
      if (n === 1) box.hold()
    })
    box.hold()
    for (const n of [1, 2, 3]) box.post(n)
    box.release()
    expect(seen).toEqual([1])
    box.release()
    expect(seen).toEqual([1, 2, 3])
  })
})

describe('many', () => {
  it('works off 10,000 without recursion', () => {
    let seen = 0
    const box = mailbox<number>(() => void seen++)
    box.hold()
    for (let n = 0; n < 10_000; n++) box.post(n)
    box.release()
    expect(seen).toBe(10_000)
  })

  it('works off 10,000 that each post the next, and 10,000 that each wait', async () => {
    const seen: number[] = []
    const chain = mailbox<number>((n) => {
      seen.push(n)
      if (n < 10_000) chain.post(n + 1)
    })
    chain.post(1)
    expect(seen).toHaveLength(10_000)

    let waited = 0
    const patient = mailbox<number>(async () => {
      await Promise.resolve()
      waited++
    })
    for (let n = 0; n < 10_000; n++) patient.post(n)
    while (waited < 10_000) await turn()
    expect(waited).toBe(10_000)
  })
})

describe('limits', () => {
  function overflowing(limits: { items: number; bytes: number }): number {
    let overflows = 0
    const box = new Mailbox<number>(
      () => undefined,
      (n) => n,
      limits,
      () => {
        overflows++
      },
    )
    box.hold()
    for (let n = 0; n < 5; n++) box.post(100)
    return overflows
  }

  it('are told of when more wait, by number or by bytes', () => {
    expect(overflowing({ items: 5, bytes: 500 })).toBe(0)
    expect(overflowing({ items: 4, bytes: 500 })).toBe(1)
    expect(overflowing({ items: 5, bytes: 499 })).toBe(1)
  })

  it('count only what waits', () => {
    let overflows = 0
    const box = mailbox<number>(
      () => undefined,
      { items: 2, bytes: 20 },
      () => {
        overflows++
      },
    )
    for (let round = 0; round < 10; round++) {
      box.hold()
      box.post(1)
      box.post(2)
      box.release()
    }
    expect(overflows).toBe(0)
  })
})

describe('empty', () => {
  it('takes out what has not been handled, and counts anew', () => {
    let overflows = 0
    const seen: number[] = []
    const box = mailbox<number>(
      (n) => void seen.push(n),
      { items: 2, bytes: 20 },
      () => {
        overflows++
      },
    )
    box.hold()
    box.post(1)
    box.post(2)
    expect(box.empty()).toEqual([1, 2])
    box.post(3)
    box.post(4)
    expect(overflows).toBe(0)
    box.release()
    expect(seen).toEqual([3, 4])
  })

  it('can be done by a handler: what it takes out is not handled', () => {
    const seen: number[] = []
    let taken: readonly number[] = []
    const box = mailbox<number>((n) => {
      seen.push(n)
      if (n === 1) taken = box.empty()
    })
    box.hold()
    for (const n of [1, 2, 3]) box.post(n)
    box.release()
    box.post(4)
    expect([...seen, ...taken].sort()).toEqual([1, 2, 3, 4])
    expect(taken).toEqual([2, 3])
  })
})
