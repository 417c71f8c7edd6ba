/** The order in which modules or services start: behind what they need. Both kinds use it. */
import { z } from 'zod'
import { findings, optionName } from '../config/complaint.ts'
import type { Fields } from '../config/fields.ts'
import { nearest } from '../config/nearest.ts'

interface Startable {
  readonly name: string
  readonly options: Fields
  readonly requires?: readonly string[]
  readonly after?: readonly string[]
}

/** How long a start, or the taking over of options, may take, in milliseconds. */
export const startTimeout = 30_000
/** How long a stop is waited for, and then forced, in milliseconds. */
export const stopTimeout = 5_000

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

/** The options of one module or service, checked, with defaults; throws StartError naming all that are wrong. */
export function checkOptions(spec: Startable, options: Readonly<Record<string, unknown>> | null): never {
  const schema = z.strictObject(spec.options)
  const given = options ?? {}
  const result = schema.safeParse(given)
  if (result.success) return result.data as never
  const problems = findings(result.error, schema, given).map(({ path, message }) =>
    path.length === 0 ? message : `option ${optionName(path)}: ${message}`,
  )
  throw new StartError(`${spec.name}, ${problems.join('; ')}`)
}

/** "there is no module mod_ecco, did you mean 'mod_echo'?" */
export function unknownName(
  kind: 'module' | 'service',
  name: string,
  known: readonly Startable[],
): StartError {
  const names = known.map((spec) => spec.name)
  const near = nearest(name, names)
  const hint = near === undefined ? `; there are ${names.join(', ')}` : `, did you mean '${near}'?`
  return new StartError(`there is no ${kind} ${name}${names.length > 0 ? hint : ''}`)
}
