import { setMaxListeners } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { derivationsAreIdle, derive, setParallelDerivations } from '../../server-core/accounts/derivations.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'

const patient = new AbortController().signal
setMaxListeners(0, patient)

afterEach(() => setParallelDerivations(2))

function gate(): { open: () => void; passed: Promise<void> } {
  let open = () => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

test('only so many run at once, the others follow in order', async () => {
  setParallelDerivations(2)
  const gates = [gate(), gate(), gate(), gate()]
  const started: number[] = []
  const all = gates.map(({ passed }, index) =>
    derive(patient, async () => {
      started.push(index)
      await passed
      return index
    }),
  )
  expect(started).toEqual([0, 1])
  expect(derivationsAreIdle()).toBe(false)
  gates[1]?.open()
  await all[1]
  await expect.poll(() => started).toEqual([0, 1, 2])
  for (const { open } of gates) open()
  expect(await Promise.all(all)).toEqual([0, 1, 2, 3])
  expect(derivationsAreIdle()).toBe(true)
})

test('a failure frees the place', async () => {
  setParallelDerivations(1)
  const failing = derive(patient, () => Promise.reject(new Error('no')))
  const next = derive(patient, async () => 'yes')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})

test('who cannot wait any longer leaves the line', async () => {
  setParallelDerivations(1)
  const first = gate()
  const running = derive(patient, () => first.passed)
  const stop = new AbortController()
  const impatient = derive(stop.signal, async () => 'never')
  const next = derive(patient, async () => 'next')
  stop.abort(new Error('too late'))
  await expect(impatient).rejects.toThrow('too late')
  first.open()
  await running
  expect(await next).toBe('next')
})

test('a line that is too long is an outage, not a wrong password', async () => {
  setParallelDerivations(1)
  const first = gate()
  const running = derive(patient, () => first.passed)
  const line = Array.from({ length: 1000 }, () => derive(patient, async () => undefined))
  await expect(derive(patient, async () => undefined)).rejects.toThrow(BackendUnavailable)
  first.open()
  await Promise.all([running, ...line])
})
