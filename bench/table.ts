/** What a benchmark gives: a table of texts, and what has to be said about it. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Peers that are missing, noise: a line each. */
  readonly notes: readonly string[]
}

export interface BenchOptions {
  /** Fewer and shorter rounds: to see that it works, not to compare. */
  readonly quick: boolean
}

export interface Bench {
  readonly name: string
  readonly doc: string
  run(options: BenchOptions): Promise<Table>
}

/** Columns padded to their widest entry; all but the first are figures and stand on the right. */
export function format(table: Table): string {
  const lines = [table.columns, ...table.rows]
  const widths = table.columns.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  )
  const text = lines.map((line) =>
    widths
      .map((width, column) =>
        column === 0 ? (line[0] ?? '').padEnd(width) : (line[column] ?? '').padStart(width),
      )
      .join('  ')
      .trimEnd(),
  )
  return [...text, ...table.notes.map((note) => `! ${note}`)].join('\n')
}

/** What a figure has to be, at least or at most. */
export type Goal = { readonly atMost: number } | { readonly atLeast: number }

/** The last two columns of a row: what is wanted, and whether it is so; both empty where nothing is. */
export const goalColumns = ['wanted', 'holds'] as const

export function goalCells(value: number | undefined, goal: Goal | undefined): [string, string] {
  if (goal === undefined) return ['', '']
  const isAtMost = 'atMost' in goal
  const limit = isAtMost ? goal.atMost : goal.atLeast
  const wanted = `${isAtMost ? '≤' : '≥'} ${figure(limit)}`
  if (value === undefined || !Number.isFinite(value)) return [wanted, '-']
  return [wanted, (isAtMost ? value <= limit : value >= limit) ? 'yes' : 'NO']
}

/** A figure with three significant digits, in full: 12,300 and 0.0123. */
export function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-'
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** A figure of ours, and what stands beside it. */
export interface Row {
  readonly what: string
  readonly ours: number
  readonly other?: number | undefined
  /** Whose the other figure is. */
  readonly beside?: string
  /** Of the ratio, or, where nothing stands beside it, of the figure. */
  readonly goal?: Goal
}

export function tableOf(name: string, rows: readonly Row[], notes: readonly string[] = []): Table {
  return {
    columns: ['', name, 'other', 'ratio', 'beside', ...goalColumns],
    rows: rows.map(({ what, ours, other, beside = '', goal }) => {
      const ratio = other === undefined ? undefined : ours / other
      const shown = [other, ratio].map((value) => (value === undefined ? '' : figure(value)))
      return [what, figure(ours), ...shown, beside, ...goalCells(ratio ?? ours, goal)]
    }),
    notes,
  }
}
