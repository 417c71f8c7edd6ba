/**
 * The network cable of clients is pulled under load. Whatever was acknowledged to its sender arrives exactly once: at the
 * resumed session, at another resource, or from the offline store; and in order where one resource gets it all.
 *
 * A longer run, or the same again: CUTS=2000 SEED=42 npx vitest run test/journeys/cable.test.ts
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Server, startServer } from '../harness/server.ts'
import { at } from '../harness/stanza.ts'
import { cuts } from './cable/cable.ts'
import { type Letter, Person } from './cable/person.ts'

const total = Number(process.env['CUTS'] ?? 40)
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const resumeTimeout = 600
/** The first two have a second resource, which is always there and gets what the phone does not. */
const names = ['alice', 'bob', 'carol', 'dave', 'erin']
const withLaptop = new Set(names.slice(0, 2))

let server: Server
beforeAll(async () => {
  server = await startServer({
    config: { resume_timeout: `${resumeTimeout}ms`, max_user_sessions: 100 },
    listener: { allow_unencrypted_plain_auth: true },
  })
  for (const user of names) await server.must('register_identified', user, 'localhost', 'pw')
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

/** Mulberry32: the same numbers for the same seed. */
function randomBy(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

async function laptop(user: string, received: Letter[]): Promise<TestClient> {
  const client = await TestClient.login({
    port: server.port,
    tls: 'none',
    user,
    password: 'pw',
    mechanism: 'PLAIN',
    resource: 'laptop',
  })
  client.tap((stanza) => {
    if (stanza.name !== 'message') return false
    const body = at(stanza, 'body')?.text
    if (body !== undefined && stanza.attrs['type'] !== 'error') received.push(body)
    return true
  })
  return client
}

const counts = (letters: readonly Letter[]): Map<Letter, number> => {
  const map = new Map<Letter, number>()
  for (const letter of letters) map.set(letter, (map.get(letter) ?? 0) + 1)
  return map
}

it(
  `nothing is lost, doubled or out of order in ${total} cuts (seed ${seed})`,
  async () => {
    const random = randomBy(seed)
    const people = names.map(
      (name) =>
        new Person(
          name,
          server.port,
          names.filter((other) => other !== name),
          randomBy(random() * 2 ** 31),
        ),
    )
    const atLaptop = new Map<string, Letter[]>()
    const laptops: TestClient[] = []
    for (const name of withLaptop) {
      const letters: Letter[] = []
      atLaptop.set(name, letters)
      laptops.push(await laptop(name, letters))
    }
    for (const one of people) await one.connect()
    const writing = people.map((one) => one.write())

    let left = total
    const fates: Record<string, number> = {}
    const suffer = async (one: Person): Promise<void> => {
      while (left-- > 0) {
        await delay(random() * 120)
        const how = cuts[Math.floor(random() * cuts.length)] ?? 'reset'
        const fate = random()
        const [what, then, ms] =
          fate < 0.6
            ? (['in time', 'resume', random() * 150] as const)
            : fate < 0.85
              ? (['too late', 'resume', resumeTimeout + random() * 300] as const)
              : (['anew', 'start anew', random() * 50] as const)
        fates[`${how}, ${what}`] = (fates[`${how}, ${what}`] ?? 0) + 1
        await one.lose(how, then, ms)
      }
    }
    await Promise.all(people.map(suffer))
    for (const one of people) one.stopWriting()
    await Promise.all(writing)

    const byName = new Map(people.map((one) => [one.name, one]))
    const arrived = (name: string): Map<Letter, number> =>
      counts([...(byName.get(name)?.received ?? []), ...(atLaptop.get(name) ?? [])])
    const missing = (): Letter[] => {
      const all = new Map(names.map((name) => [name, arrived(name)]))
      return people.flatMap(({ acknowledged }) =>
        acknowledged.filter((letter) => {
          const to = letter.split(' ')[1] ?? ''
          return !all.get(to)?.has(letter) && !byName.get(to)?.uncertain.has(letter)
        }),
      )
    }
    try {
      await until(
        () => `everything to be taken and to arrive; missing: ${missing().slice(0, 20).join(', ')}`,
        () => {
          for (const one of people) one.confirm()
          return people.every(({ isDone }) => isDone) && missing().length === 0
        },
        20_000,
      )
      for (const one of laptops) await one.settled()
      const twice = names.flatMap((name) =>
        [...arrived(name)].filter(([, n]) => n > 1).map(([letter]) => letter),
      )
      expect(twice, 'came twice').toEqual([])
      for (const one of people) {
        if (withLaptop.has(one.name)) continue
        const last = new Map<string, number>()
        for (const letter of one.received) {
          const [from = '', , number] = letter.split(' ')
          expect(Number(number), `${letter} came behind ${last.get(from)}`).toBeGreaterThan(
            last.get(from) ?? 0,
          )
          last.set(from, Number(number))
        }
      }
    } finally {
      if (total > 100) {
        const sum = (pick: (one: Person) => number) => people.reduce((n, one) => n + pick(one), 0)
        process.stderr.write(
          `acknowledged ${sum((one) => one.acknowledged.length)}, in doubt ${sum((one) => one.uncertain.size)}, ` +
            `cuts ${JSON.stringify(fates)}\n`,
        )
      }
      for (const one of people) await one.close().catch(() => undefined)
      for (const one of laptops) await one.close().catch(() => undefined)
    }
  },
  Math.max(60_000, total * 300),
)
