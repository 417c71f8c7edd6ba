/** The known word that a mistyped one most likely means. */

/** Edits (insert, delete, replace, swap neighbours) that make one word of the other. */
function distance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let edits = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) edits = Math.min(edits, (before[j - 2] ?? 0) + 1)
      row.push(edits)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}

/**
 * Known words by how near they are; those that are too far off, or much
 * farther than the best, are left out. Case and dashes do not count.
 */
export function nearestAll(word: string, known: Iterable<string>, most = 3): string[] {
  const plain = word.toLowerCase().replaceAll('-', '_').slice(0, 64)
  const allowed = Math.max(1, Math.floor(plain.length / 3))
  const near = [...known]
    .map((candidate) => ({ candidate, edits: distance(plain, candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= allowed)
    .sort((a, b) => a.edits - b.edits || (a.candidate < b.candidate ? -1 : 1))
  const [best] = near
  return near
    .filter(({ edits }) => edits <= (best?.edits ?? 0) + 1)
    .slice(0, most)
    .map(({ candidate }) => candidate)
}

/** The nearest known word, or undefined. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  return nearestAll(word, known, 1)[0]
}
