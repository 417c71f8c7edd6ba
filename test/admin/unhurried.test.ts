/** A look at many things leaves room for everything else. */
import { expect, test } from 'vitest'
import { unhurried } from '../../server-core/admin/unhurried.ts'

test('whoever waits is served before it is over, and nothing is left out', async () => {
  async function* many(): AsyncGenerator<number> {
    for (let n = 0; n < 200; n++) {
      const end = performance.now() + 1
      while (performance.now() < end); // what reading one takes
      yield n
    }
  }
  let turns = 0
  const others = setInterval(() => turns++, 1)
  const seen: number[] = []
  for await (const n of unhurried(many())) seen.push(n)
  clearInterval(others)
  expect(seen).toEqual(Array.from({ length: 200 }, (_, n) => n))
  expect(turns).toBeGreaterThan(5)
})
