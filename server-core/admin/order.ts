/** The order of lists: by code units, the same on every machine. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** For values with several texts to order by, most important first. */
export function byTexts(a: readonly string[], b: readonly string[]): number {
  for (const [i, text] of a.entries()) {
    const order = byText(text, b[i] ?? '')
    if (order !== 0) return order
  }
  return 0
}
