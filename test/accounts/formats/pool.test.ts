/** Algorithms that would hold the event loop run in threads. */
import { setMaxListeners } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { setParallelDerivations } from '../../../server-core/accounts/derivations.ts'
import { hashInThread } from '../../../server-core/accounts/formats/hashing/pool.ts'
import { BackendUnavailable } from '../../../server-core/auth/backend.ts'

const patient = new AbortController().signal
setMaxListeners(0, patient)

const quick = { digest: 'md5', password: Buffer.from('test12345'), salt: 'IQRaTwmf', rounds: 2048 } as const
const answer = 'eRo7ud9Fh4E2PdI0S3r.L0'
/** Minutes of work. */
const endless = { ...quick, rounds: 2 ** 30 }

afterEach(() => setParallelDerivations(2))

test('the event loop turns while a password is hashed', async () => {
  let turns = 0
  let isDone = false
  const turn = () => {
    turns++
    if (!isDone) setTimeout(turn, 1)
  }
  turn()
  await hashInThread(patient, 'phpass', { ...quick, rounds: 2 ** 17 })
  isDone = true
  expect(turns).toBeGreaterThan(20)
})

test('many at once are all answered, each with its own', async () => {
  const one = hashInThread(patient, 'phpass', quick)
  const other = hashInThread(patient, 'md5Crypt', {
    magic: '$1$',
    password: Buffer.from('test'),
    salt: 'ec6XvcoW',
  })
  const more = Array.from({ length: 20 }, () => hashInThread(patient, 'phpass', quick))
  expect(await one).toBe(answer)
  expect(await other).toBe('ghEtNK2U1MC5l.Dwgi3020')
  expect(new Set(await Promise.all(more))).toEqual(new Set([answer]))
})

test('a job that nobody waits for any more ends, and frees its place', async () => {
  setParallelDerivations(1)
  const stop = new AbortController()
  const running = hashInThread(stop.signal, 'phpass', endless)
  const next = hashInThread(patient, 'phpass', quick)
  setTimeout(() => stop.abort(new Error('too late')), 50)
  await expect(running).rejects.toThrow('too late')
  expect(await next).toBe(answer)
})

test('nothing starts for a signal that has aborted', async () => {
  const late = AbortSignal.abort(new Error('too late'))
  await expect(hashInThread(late, 'phpass', endless)).rejects.toThrow('too late')
})

test('a thread that breaks is an outage, not an answer, and the next job has another', async () => {
  const broken = hashInThread(patient, 'noSuchAlgorithm' as 'phpass', quick)
  await expect(broken).rejects.toThrow(BackendUnavailable)
  expect(await hashInThread(patient, 'phpass', quick)).toBe(answer)
})
