/** Remembers how to take back what an owner has registered, and takes it all back, last first, whatever fails. */
import type { Logger } from '../log.ts'

export type Undo = () => unknown

export class Registrar {
  readonly #undos = new Set<Undo>()
  readonly #owner: string
  readonly #log: Logger

  constructor(owner: string, log: Logger) {
    this.#owner = owner
    this.#log = log
  }

  add(undo: Undo): void {
    this.#undos.add(undo)
  }

  /** How much is registered now. */
  get size(): number {
    return this.#undos.size
  }

  async undoAll(): Promise<void> {
    const undos = [...this.#undos].reverse()
    this.#undos.clear()
    for (const undo of undos) {
      try {
        await undo()
      } catch (err) {
        this.#log.error({ owner: this.#owner, err }, 'a clean-up failed; the others go on')
      }
    }
  }
}
