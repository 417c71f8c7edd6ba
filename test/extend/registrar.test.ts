import { describe, expect, it, vi } from 'vitest'
import { Registrar } from '../../server-core/extend/registrar.ts'
import { every } from '../../server-core/extend/timer.ts'
import { silentLogger } from '../../server-core/log.ts'

describe('what an owner registered', () => {
  it('is taken back last first, each awaited, whatever fails', async () => {
    const registrar = new Registrar('mod_x', silentLogger())
    const undone: string[] = []
    registrar.add(() => undone.push('first'))
    registrar.add(() => {
      throw new Error('broken')
    })
    registrar.add(async () => {
      await new Promise((resolve) => setImmediate(resolve))
      undone.push('slow')
    })
    registrar.add(() => Promise.reject(new Error('broken')))
    registrar.add(() => undone.push('last'))
    expect(registrar.size).toBe(5)
    await registrar.undoAll()
    expect(undone).toEqual(['last', 'slow', 'first'])
    expect(registrar.size).toBe(0)
    await registrar.undoAll()
    expect(undone).toHaveLength(3)
  })
})

describe('every', () => {
  it('calls again after the end of a call, never twice at the same time, and goes on after a failure', async () => {
    vi.useFakeTimers()
    try {
      let running = 0
      let most = 0
      let calls = 0
      const end = every(
        100,
        async () => {
          most = Math.max(most, ++running)
          calls++
          await new Promise((resolve) => setTimeout(resolve, 250))
          running--
          if (calls === 2) throw new Error('broken')
        },
        silentLogger(),
      )
      await vi.advanceTimersByTimeAsync(100 + 250 + 100 + 250 + 100)
      expect([calls, most]).toEqual([3, 1])
      end()
      await vi.advanceTimersByTimeAsync(10_000)
      expect(calls).toBe(3)
    } finally {
      vi.useRealTimers()
    }
  })

  it('can be ended from within the call', async () => {
    vi.useFakeTimers()
    try {
      let calls = 0
      const end = every(
        10,
        () => {
          calls++
          end()
        },
        silentLogger(),
      )
      await vi.advanceTimersByTimeAsync(1_000)
      expect(calls).toBe(1)
    } finally {
      vi.useRealTimers()
    }
  })
})
