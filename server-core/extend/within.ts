/** Waiting so long, and no longer, for code that may never answer. */

export class Late extends Error {
  override readonly name = 'Late'
}

/** What `work` gives; rejects with Late when that takes longer. What comes later is dropped, failures too. */
export async function within<T>(ms: number, work: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late(`no answer within ${ms / 1_000} s`)), ms)
    // what hangs does not keep a process alive that stops
    timer.unref()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
