/** How far long work is: one line of a terminal, which is taken away before anything else is printed. */
import type { Output } from './terminal.ts'

const barWidth = 30
/** In milliseconds; a terminal far away has enough to do. */
const interval = 100

export class Progress {
  readonly #output: Output
  #isShown = false
  #last = Number.NEGATIVE_INFINITY

  constructor(output: Output) {
    this.#output = output
  }

  /** `done` of `total` in the same unit; `text` says more. Nothing at all where there is no terminal. */
  show(done: number, total: number | undefined, text = ''): void {
    if (!this.#output.isTerminal) return
    const now = performance.now()
    if (now - this.#last < interval) return
    this.#last = now
    this.#isShown = true
    const width = Math.max(20, (this.#output.columns ?? 80) - 1)
    void this.#output.write(`\r\x1b[K${`${bar(done, total)}${text}`.slice(0, width)}`)
  }

  clear(): void {
    if (this.#isShown) void this.#output.write('\r\x1b[K')
    this.#isShown = false
  }
}

function bar(done: number, total: number | undefined): string {
  if (total === undefined) return ''
  const part = total === 0 ? 1 : Math.min(1, done / total)
  const full = Math.floor(part * barWidth)
  const percent = String(Math.floor(part * 100)).padStart(3)
  return `[${'#'.repeat(full)}${'-'.repeat(barWidth - full)}] ${percent} %  `
}
