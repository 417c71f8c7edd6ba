import { describe, expect, it } from 'vitest'
import { deadlineIn } from '../../../server-core/auth/ldap/deadline.ts'
import { NoAnswer } from '../../../server-core/auth/ldap/no-answer.ts'
import { type Lendable, Pool, type PoolOptions } from '../../../server-core/auth/ldap/pool.ts'
import { never } from './backend.ts'

class Thing implements Lendable {
  isOpen = true
  onClose = () => undefined
  destroy() {
    if (!this.isOpen) return
    this.isOpen = false
    this.onClose()
  }
}

function setUp(options: Partial<PoolOptions<Thing>> = {}) {
  const things: Thing[] = []
  const pool = new Pool<Thing>({
    open: async () => {
      const thing = new Thing()
      things.push(thing)
      return thing
    },
    max: 2,
    maxWaiting: 10,
    idleTimeout: 60_000,
    ...options,
  })
  return { pool, things }
}

/** A request that holds what it was lent until it is told to end. */
function hold(pool: Pool<Thing>, signal = never) {
  let end: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    end = resolve
  })
  const lent: Thing[] = []
  const done = pool.use(deadlineIn(10_000, signal), async (thing) => {
    lent.push(thing)
    await held
  })
  return { lent, end, done }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('a pool', () => {
  it('lends the same thing again, to one at a time, and no more things than it may', async () => {
    const { pool, things } = setUp()
    const holders = Array.from({ length: 5 }, () => hold(pool))
    await turn()
    expect(holders.map(({ lent }) => lent.length)).toEqual([1, 1, 0, 0, 0])
    for (const holder of holders) {
      holder.end()
      await holder.done
    }
    expect(things).toHaveLength(2)
    expect(holders.every(({ lent }) => lent.length === 1)).toBe(true)
  })

  it('lets whoever waits open a thing when a lent one broke', async () => {
    const { pool, things } = setUp({ max: 1 })
    const [first, second, third] = [hold(pool), hold(pool), hold(pool)]
    await turn()
    things[0]?.destroy()
    first.end()
    await first.done
    await turn()
    expect(second.lent).toEqual([things[1]])
    second.end()
    third.end()
    await Promise.all([second.done, third.done])
    expect(things).toHaveLength(2)
  })

  it('lets whoever waits try to open when another one could not', async () => {
    let attempts = 0
    const { pool } = setUp({
      max: 1,
      open: async () => {
        attempts += 1
        await turn()
        if (attempts < 3) throw new NoAnswer('unreachable', `attempt ${attempts}`)
        return new Thing()
      },
    })
    const holders = [hold(pool), hold(pool), hold(pool)]
    for (const { end } of holders) end()
    const results = await Promise.allSettled(holders.map(({ done }) => done))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  })

  it('forgets an idle thing that broke', async () => {
    const { pool, things } = setUp({ max: 1 })
    for (let n = 0; n < 3; n++) {
      await pool.use(deadlineIn(1_000, never), async () => undefined)
      things.at(-1)?.destroy()
    }
    expect(things).toHaveLength(3)
  })

  it('lets go whoever does not wait any longer, and serves the others', async () => {
    const { pool } = setUp({ max: 1 })
    const gone = new AbortController()
    const [first, second, third] = [hold(pool), hold(pool, gone.signal), hold(pool)]
    await turn()
    gone.abort(new Error('gone'))
    await expect(second.done).rejects.toThrow('gone')
    first.end()
    third.end()
    await Promise.all([first.done, third.done])
    expect([second.lent.length, third.lent.length]).toEqual([0, 1])
  })

  it('takes a thing that was opened elsewhere, if there is room', async () => {
    const { pool, things } = setUp({ max: 1 })
    const [one, two] = [new Thing(), new Thing()]
    pool.add(one)
    pool.add(two)
    expect(two.isOpen).toBe(false)
    await pool.use(deadlineIn(1_000, never), async (thing) => expect(thing).toBe(one))
    expect(things).toHaveLength(0)
  })

  it('closes what is idle, what is lent and the line of those who wait', async () => {
    const { pool, things } = setUp({ max: 1 })
    const [first, second] = [hold(pool), hold(pool)]
    await turn()
    pool.close()
    expect(things[0]?.isOpen).toBe(false)
    await expect(second.done).rejects.toBeInstanceOf(NoAnswer)
    first.end()
    await first.done
    await expect(hold(pool).done).rejects.toBeInstanceOf(NoAnswer)
    expect(things).toHaveLength(1)
  })
})
