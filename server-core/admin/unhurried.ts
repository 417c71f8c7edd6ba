/** Work on many things that lets everybody else have his turn: a look at all accounts must not hold up who is connected. */
import { setImmediate as turn } from 'node:timers/promises'

/** In milliseconds: so long at most nobody else is served. */
const longest = 10

export async function* unhurried<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  let since = performance.now()
  for await (const item of items) {
    yield item
    if (performance.now() - since < longest) continue
    await turn()
    since = performance.now()
  }
}
