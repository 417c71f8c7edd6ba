/**
 * A command of the control socket: its arguments, what it gives back, and what it does. A command answers with data; how it
 * is printed is the command line's affair (admin/control-protocol.ts describes the shapes to it).
 */

import { z } from 'zod'
import type { ResultShape, Row } from '../admin/control-protocol.ts'
import { findings, optionName } from '../config/complaint.ts'
import { type Fields, isSchema, type Values } from '../config/fields.ts'
import type { Logger } from '../log.ts'

/** Who asks, and how to give him news. Node shows no peer's user id: the listener is the identity. */
export interface Caller {
  /** Path of the control socket that the command came through. */
  readonly listener: string
  /** The login that the client claims, for the audit record. */
  readonly login: string
  /** Aborted when the client cancels or goes away. */
  readonly signal: AbortSignal
  readonly log: Logger
  /** Long work says how far it is. */
  progress(done: number, total: number | undefined, text?: string): void
}

/**
 * What came out: a number, a text, rows (a big list as an async iterable, sent in portions), a file, or a sentence with ok
 * or not. `undefined` is "done" with nothing to say. A thrown CommandError is an error result.
 */
export type CommandResult =
  | undefined
  | number
  | string
  | { readonly ok: boolean; readonly text: string }
  | readonly Row[]
  | AsyncIterable<Row>
  | FileResult

/** A file for the caller, made while it is sent. */
export interface FileResult {
  readonly file: AsyncIterable<Uint8Array>
}

/** The command could not do it; the text is shown as `Error: "text"`, exit 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** Another way to give the arguments: these names in this order, when the word at `hostAt` is a served host. */
export interface ArgumentForm {
  readonly names: readonly string[]
  readonly hostAt?: number
}

export interface CommandSpec<F extends Fields = Fields> {
  readonly name: string
  /** One line. */
  readonly doc: string
  /** The submod of service_admin_extra, or 'core'. */
  readonly category: string
  /** 3.4.1's tags. */
  readonly tags: readonly string[]
  /** In the order of the command line. `.meta({secret: true})` marks a secret; `.describe()` documents. */
  readonly args: F
  /** When absent, one form: all arguments in order. */
  readonly forms?: readonly ArgumentForm[]
  readonly result: ResultShape
  /** A command line that runs as it stands. */
  readonly example: string
  /** Asks before it does it: one object, or in bulk (which needs --yes away from a terminal). */
  readonly destroys?: 'one' | 'bulk'
  /** With `destroys`: only when this argument has this value. */
  readonly destroysIf?: { readonly argument: string; readonly value: string }
  /** Only the listener of the server's owner may run it: it names files of the server's. */
  readonly ownerOnly?: true
  run(args: Values<F>, caller: Caller): CommandResult | Promise<CommandResult>
  /** What `run` would do, without doing it (--dry-run). */
  preview?(args: Values<F>, caller: Caller): CommandResult | Promise<CommandResult>
}

/** Returns its argument; it is there so that the types of `args` reach `run`. */
export function defineCommand<F extends Fields>(spec: CommandSpec<F>): CommandSpec {
  return spec as unknown as CommandSpec
}

const shape = z.looseObject({
  name: z.string().refine((name) => /^[a-z][a-z0-9_]*$/.test(name), 'must be of small letters, digits and _'),
  doc: z.string().min(1),
  category: z.string().min(1),
  tags: z.array(z.string()),
  args: z.record(z.string(), z.custom(isSchema, 'must be a schema of z')),
  result: z
    .looseObject({
      kind: z.enum(['rescode', 'restuple', 'integer', 'string', 'list', 'tuple', 'file']),
      columns: z.array(z.looseObject({ name: z.string() })).optional(),
    })
    .refine(({ kind, columns }) => columns !== undefined || (kind !== 'list' && kind !== 'tuple'), {
      error: 'needs columns, a list of {name, type}',
    }),
  example: z.string(),
  run: z.custom((value) => typeof value === 'function', 'must be a function'),
})

/** Types do not hold for everybody's code. Throws an Error that says what is missing, before others have to live with it. */
export function checkCommand(spec: CommandSpec): void {
  const parsed = shape.safeParse(spec)
  if (parsed.success) return
  const [first] = findings(parsed.error, shape, spec)
  const name = typeof spec?.name === 'string' ? `the command ${spec.name}` : 'a command'
  throw new Error(`${name}: ${first ? `${optionName(first.path)} ${first.message}` : 'is none'}`)
}
