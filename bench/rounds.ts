/**
 * Interleaved rounds: all contestants are measured in each, in turning order, so that a change of the machine's speed meets all of
 * them. A ratio is the median of the rounds' ratios.
 */

/** Figures of one measurement by name. */
export type Figures = Readonly<Record<string, number>>

export interface Contestant {
  readonly name: string
  measure(): Promise<Figures>
}

/** Rounds whose slowest and fastest differ by more than this part of the median are called noisy. */
const tolerance = 0.3

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export class Rounds {
  readonly #measured = new Map<string, Figures[]>()

  static async run(contestants: readonly Contestant[], count: number): Promise<Rounds> {
    const rounds = new Rounds()
    for (let round = 0; round < count; round++) {
      for (let n = 0; n < contestants.length; n++) {
        const contestant = contestants[(round + n) % contestants.length] as Contestant
        const figures = await contestant.measure()
        const all = rounds.#measured.get(contestant.name) ?? []
        all.push(figures)
        rounds.#measured.set(contestant.name, all)
      }
    }
    return rounds
  }

  #values(contestant: string, figure: string): number[] {
    return (this.#measured.get(contestant) ?? []).map((figures) => figures[figure] ?? Number.NaN)
  }

  /** The median over the rounds; undefined for a contestant that did not take part. */
  figure(contestant: string, figure: string): number | undefined {
    const values = this.#values(contestant, figure)
    return values.length === 0 ? undefined : median(values)
  }

  /** How many times the other's figure this one's is. */
  ratio(contestant: string, other: string, figure: string): number | undefined {
    return this.#compared(contestant, other, figure, (mine, others) => mine / others)
  }

  /** How much more than the other's figure this one's is. */
  difference(contestant: string, other: string, figure: string): number | undefined {
    return this.#compared(contestant, other, figure, (mine, others) => mine - others)
  }

  #compared(
    contestant: string,
    other: string,
    figure: string,
    compare: (mine: number, others: number) => number,
  ): number | undefined {
    const mine = this.#values(contestant, figure)
    const others = this.#values(other, figure)
    if (mine.length === 0 || others.length === 0) return undefined
    return median(mine.map((value, round) => compare(value, others[round] ?? Number.NaN)))
  }

  /** A sentence for each figure whose rounds lie too far apart to be trusted. */
  noise(figures: readonly string[]): string[] {
    return [...this.#measured.keys()].flatMap((contestant) =>
      figures.flatMap((figure) => {
        const values = this.#values(contestant, figure)
        const spread = (Math.max(...values) - Math.min(...values)) / median(values)
        return spread > tolerance
          ? [
              `the machine was noisy: rounds of ${contestant}, ${figure}, differ by ${Math.round(spread * 100)} %`,
            ]
          : []
      }),
    )
  }
}
