/** The commands that can be run now, and their description for clients. Modules and services bring and take theirs. */
import { z } from 'zod'
import { nearestAll } from '../config/nearest.ts'
import type { CommandSpec } from '../extend/command.ts'
import type { ArgumentDescription, CommandDescription } from './control-protocol.ts'
import { byText } from './order.ts'

/** What `.meta()` may say of an argument. */
export interface ArgumentMeta {
  /** Never logged, asked for without echo. */
  readonly secret?: true
  /** Made here, so asked for twice. */
  readonly isNew?: true
  readonly names?: ArgumentDescription['names']
  /** On the command line it is an option: `--name VALUE`. */
  readonly option?: true
  /** What is usually given, where the check is the command's own. */
  readonly choices?: readonly string[]
}

/** A command of the server's, or one that each of some hosts has by itself. */
type Entry = CommandSpec | ReadonlyMap<string, CommandSpec>

/** A beginning that says what was meant, in letters; and how many names that begin so are told. */
const shortestBeginning = 3
const maxLonger = 5

export class CommandRegistry {
  readonly #entries = new Map<string, Entry>()

  /**
   * Returns what takes the command away. A command of a module belongs to its host: another host may bring it too, and a call
   * goes to the one that its argument `host` names. Anything else twice is an error.
   */
  add(spec: CommandSpec, host?: string): () => void {
    const there = this.#entries.get(spec.name)
    if (host === undefined) {
      if (there) throw new Error(`there is a command ${spec.name} already`)
      this.#entries.set(spec.name, spec)
    } else {
      if (there && !(there instanceof Map)) throw new Error(`there is a command ${spec.name} already`)
      if (there?.has(host)) throw new Error(`there is a command ${spec.name} on ${host} already`)
      this.#entries.set(spec.name, new Map(there).set(host, spec))
    }
    return () => this.#delete(spec, host)
  }

  #delete(spec: CommandSpec, host: string | undefined): void {
    const there = this.#entries.get(spec.name)
    if (host === undefined) {
      if (there === spec) this.#entries.delete(spec.name)
    } else if (there instanceof Map && there.get(host) === spec) {
      const left = new Map(there)
      left.delete(host)
      if (left.size > 0) this.#entries.set(spec.name, left)
      else this.#entries.delete(spec.name)
    }
  }

  /** The command of that name; of the host when hosts have it by themselves. */
  get(name: string, host?: string): CommandSpec | undefined {
    const entry = this.#entries.get(name)
    if (!(entry instanceof Map)) return entry as CommandSpec | undefined
    return (host === undefined ? undefined : entry.get(host)) ?? entry.values().next().value
  }

  /** Whether a command that hosts have by themselves is there for this one. */
  isOn(name: string, host: string): boolean {
    const entry = this.#entries.get(name)
    return !(entry instanceof Map) || entry.has(host)
  }

  /** By name. */
  list(): CommandSpec[] {
    const names: string[] = [...this.#entries.keys()]
    return names.sort(byText).flatMap((name) => this.get(name) ?? [])
  }

  /** Names that the name may have been meant for: mistyped, or not typed to the end. */
  nearest(name: string, allowed: (spec: CommandSpec) => boolean): string[] {
    const names = this.list()
      .filter(allowed)
      .map((spec) => spec.name)
    const longer = name.length < shortestBeginning ? [] : names.filter((other) => other.startsWith(name))
    return longer.length > 0 ? longer.slice(0, maxLonger) : nearestAll(name, names)
  }
}

export function describeCommand(spec: CommandSpec): CommandDescription {
  const names = Object.keys(spec.args)
  const args = names.map((name) => describeArgument(name, spec.args[name] as z.ZodType))
  return {
    name: spec.name,
    doc: spec.doc,
    category: spec.category,
    tags: spec.tags,
    args,
    forms: spec.forms ?? [{ names: names.filter((_, i) => !args[i]?.option) }],
    result: spec.result,
    example: spec.example,
    ...(spec.destroys === undefined ? {} : { destroys: spec.destroys }),
    ...(spec.destroysIf === undefined ? {} : { destroysIf: spec.destroysIf }),
    ...(spec.preview === undefined ? {} : { preview: true }),
  }
}

export function describeArgument(name: string, schema: z.ZodType): ArgumentDescription {
  const { meta, inner } = unwrapped(schema)
  const choices = inner instanceof z.ZodEnum ? inner.options.map(String) : meta.choices
  return {
    name,
    type: inner instanceof z.ZodNumber ? 'integer' : 'string',
    doc: meta.description ?? '',
    secret: meta.secret === true,
    optional: schema.safeParse(undefined).success,
    ...(choices ? { choices } : {}),
    ...(meta.isNew ? { isNew: true } : {}),
    ...(meta.names ? { names: meta.names } : {}),
    ...(meta.option ? { option: true } : {}),
  }
}

/** The schema without its wrappers, and what all of them say. */
function unwrapped(schema: z.ZodType): {
  meta: ArgumentMeta & { description?: string | undefined }
  inner: z.ZodType
} {
  let meta: ArgumentMeta & { description?: string | undefined } = { ...schema.meta() }
  let inner = schema
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPipe) {
    inner = (inner instanceof z.ZodPipe ? inner.in : inner.unwrap()) as z.ZodType
    meta = { ...inner.meta(), ...meta }
  }
  return { meta, inner }
}
