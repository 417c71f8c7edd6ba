/** Many things at a time: all of them, never too many, and one that fails ends it. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { endedEarly } from '../../server-core/admin/commands/ended-early.ts'
import { sideBySide } from '../../server-core/admin/side-by-side.ts'
import type { Caller } from '../../server-core/extend/command.ts'
import { StorageUnavailable } from '../../server-core/storage/storage.ts'

test('all are done, some at a time', async () => {
  let running = 0
  let most = 0
  const done: number[] = []
  await sideBySide(Array.from({ length: 300 }, (_, n) => n).keys(), async (n) => {
    most = Math.max(most, ++running)
    await delay(1)
    running--
    done.push(n)
  })
  expect(done.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, n) => n))
  expect(most).toBe(64)
})

test('the first that fails ends it, when those beside it have ended', async () => {
  const ended: number[] = []
  const work = sideBySide([...Array(1_000).keys()], async (n) => {
    await delay(n === 3 ? 1 : 20)
    if (n === 3) throw new Error('no disk')
    ended.push(n)
  })
  await expect(work).rejects.toThrow('no disk')
  expect(ended).toHaveLength(63)
})

test('a command that cannot go on says how far it came; a fault of ours stays what it is', () => {
  const caller = (isAborted: boolean) =>
    ({ signal: isAborted ? AbortSignal.abort() : new AbortController().signal }) as Caller
  const said = (error: unknown, isAborted = false) =>
    endedEarly(error, caller(isAborted), '3 of 7 users were deleted')
  expect(said(new StorageUnavailable('the disk is full'))).toMatchObject({
    name: 'CommandError',
    message: 'the disk is full; 3 of 7 users were deleted',
  })
  expect(said(new Error('aborted'), true)).toMatchObject({ message: 'cancelled; 3 of 7 users were deleted' })
  const fault = new TypeError('x is not a function')
  expect(said(fault)).toBe(fault)
})
