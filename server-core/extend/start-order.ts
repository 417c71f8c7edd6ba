/** The order in which modules or services start: behind what they need. Both kinds use it. */
import { z } from 'zod'
import type { Fields } from '../config/fields.ts'

interface Startable {
  readonly name: string
  readonly options: Fields
  readonly requires?: readonly string[]
  readonly after?: readonly string[]
}

export class StartError extends Error {
  override readonly name = 'StartError'
}

/**
 * Sorts what is wanted so that everything starts behind what it requires and, where present, behind what it names in
 * `after`; otherwise the order given stays. Throws StartError for something required that is not wanted, and for a cycle.
 */
export function startOrder<S extends Startable>(wanted: readonly S[]): readonly S[] {
  const byName = new Map(wanted.map((spec) => [spec.name, spec]))
  const sorted = new Set<S>()
  const visit = (spec: S, path: readonly string[]): void => {
    if (sorted.has(spec)) return
    if (path.includes(spec.name)) {
      throw new StartError(
        `these need each other: ${[...path.slice(path.indexOf(spec.name)), spec.name].join(' → ')}`,
      )
    }
    for (const name of spec.requires ?? []) {
      const needed = byName.get(name)
      if (!needed) throw new StartError(`${spec.name} needs ${name}, which is not configured`)
      visit(needed, [...path, spec.name])
    }
    for (const name of spec.after ?? []) {
      const earlier = byName.get(name)
      if (earlier) visit(earlier, [...path, spec.name])
    }
    sorted.add(spec)
  }
  for (const spec of wanted) visit(spec, [])
  return [...sorted]
}

/** The options of one module or service, checked, with defaults; throws StartError naming the option. */
export function checkOptions(spec: Startable, options: Readonly<Record<string, unknown>> | null): never {
  const result = z.strictObject(spec.options).safeParse(options ?? {})
  if (result.success) return result.data as never
  const problem = result.error.issues[0]
  const path = problem?.path.join('.') ?? ''
  throw new StartError(
    `${spec.name}${path ? `, option ${path}` : ''}: ${problem?.message ?? 'wrong options'}`,
  )
}
