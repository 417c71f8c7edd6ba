/** Remembers how to take back what an owner has registered, and takes it all back, last first, whatever fails. */
import type { Logger } from '../log.ts'
import { within } from './within.ts'

export type Undo = () => unknown

export class Registrar {
  readonly #undos = new Set<Undo>()
  readonly #owner: string
  readonly #log: Logger
  readonly #patience: number | undefined
  #over = false

  /** @param patience how long each clean-up is waited for, in milliseconds; until it is done when undefined */
  constructor(owner: string, log: Logger, patience?: number) {
    this.#owner = owner
    this.#log = log
    this.#patience = patience
  }

  /**
   * Returns what takes this one back earlier; doing that again does nothing. Who has stopped registers nothing more: what it
   * adds is taken back at once, and it gets an Error.
   */
  add(undo: Undo): Undo {
    if (this.#over) {
      void this.#undo(undo)
      throw new Error(`${this.#owner} has stopped and cannot register anything`)
    }
    const once = (): unknown => (this.#undos.delete(once) ? undo() : undefined)
    this.#undos.add(once)
    return once
  }

  /** How much is registered now. */
  get size(): number {
    return this.#undos.size
  }

  /** Takes back everything, once and for all. */
  async undoAll(): Promise<void> {
    this.#over = true
    for (const undo of [...this.#undos].reverse()) await this.#undo(undo)
  }

  async #undo(undo: Undo): Promise<void> {
    try {
      await (this.#patience === undefined ? undo() : within(this.#patience, undo()))
    } catch (err) {
      this.#log.error({ owner: this.#owner, err }, 'a clean-up failed; the others go on')
    }
  }
}
