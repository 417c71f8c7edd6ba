/**
 * One line of a batch: words as in a shell, or JSON: {"command": "kick_user", "user": "alice", "host": "localhost"}, the same with
 * the arguments under "args", by name or in their order.
 */
import type { JsonValue } from '../server-core/admin/control-protocol.ts'
import type { Given } from './arguments.ts'
import { parseOptions } from './options.ts'
import { shellWords } from './shell-words.ts'
import { commandName, type GlobalOptions, splitWords, UsageError } from './words.ts'

export interface BatchLine {
  readonly name: string
  readonly given: Given
  readonly options: GlobalOptions
}

/** Throws UsageError. */
export function understood(text: string): BatchLine {
  return text.trimStart().startsWith('{') ? fromJson(text) : fromWords(text)
}

function fromWords(text: string): BatchLine {
  const { options, words } = splitWords(shellWords(text), parseOptions)
  const [first, ...rest] = words
  if (!first) throw new UsageError('there is no command')
  return { name: commandName(first), given: rest, options }
}

function fromJson(text: string): BatchLine {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`the line begins like JSON and is none: ${(error as Error).message}`)
  }
  const { command, args, ...rest } = value as Record<string, JsonValue>
  if (typeof command !== 'string') {
    throw new UsageError('a line of JSON has the name of its command as "command"')
  }
  const name = commandName({ text: command, literal: true })
  if (args === undefined) return { name, given: rest, options: {} }
  const [other] = Object.keys(rest)
  if (other !== undefined) {
    throw new UsageError(`the arguments are either under "args" or beside "command": '${other}' is beside it`)
  }
  if (Array.isArray(args)) {
    return { name, given: args.map((arg, i) => ({ text: textOf(arg, i), literal: true })), options: {} }
  }
  if (typeof args !== 'object' || args === null) {
    throw new UsageError('"args" is an object with the arguments by name, or an array of them in their order')
  }
  return { name, given: args as Readonly<Record<string, JsonValue>>, options: {} }
}

function textOf(value: JsonValue, i: number): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  throw new UsageError(`argument ${i + 1} in "args" must be a text or a number`)
}
