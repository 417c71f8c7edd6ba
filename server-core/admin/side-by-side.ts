/** Work on many things, some of them at a time: what each waits for (a durable write) is then waited for once. */
const many = 64

/** Calls `work` for each; the first that fails ends it, when those that run beside it have ended. */
export async function sideBySide<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const left = items[Symbol.iterator]()
  let failure: { readonly error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (let next = left.next(); !next.done && !failure; next = left.next()) {
      await work(next.value).catch((error: unknown) => {
        failure ??= { error }
      })
    }
  }
  await Promise.all(Array.from({ length: many }, worker))
  if (failure) throw failure.error
}
