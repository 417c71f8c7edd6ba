/** What is wrong with a configuration file, in words: where it is, what was expected, and the nearest known word. */
import { z } from 'zod'
import { nearest } from './nearest.ts'

/** One mistake. Line and column count from 1; absent when the file as a whole is meant. */
export interface Complaint {
  readonly file: string | undefined
  readonly line: number | undefined
  readonly column: number | undefined
  /** `listen[0].port`; '' for the whole file. */
  readonly option: string
  readonly message: string
}

export type Path = readonly (string | number)[]

/** A mistake before its place in the file is known. */
export interface Finding {
  readonly path: Path
  /** Whether the name of the option is wrong or its value. */
  readonly at: 'key' | 'value'
  readonly message: string
}

/** `gatehouse.yml:3:1: auth_metod: unknown option, did you mean 'auth_method'?` */
export function formatComplaint(complaint: Complaint): string {
  const place = [complaint.file, complaint.line, complaint.column].filter((part) => part !== undefined)
  const parts = [place.join(':'), complaint.option, complaint.message]
  return parts.filter((part) => part !== '').join(': ')
}

export function optionName(path: Path): string {
  let name = ''
  for (const part of path) {
    if (typeof part === 'number') name += `[${part}]`
    else if (/^[\w@.-]+$/.test(part)) name += name === '' ? part : `.${part}`
    else name += `[${JSON.stringify(part)}]`
  }
  return name
}

/** All that zod found, in words. `value` is what was read, `schema` what it was checked against. */
export function findings(error: z.ZodError, schema: z.ZodType, value: unknown): Finding[] {
  return error.issues.flatMap((issue) => explain(issue, [], schema, value))
}

function explain(issue: z.core.$ZodIssue, prefix: Path, schema: z.ZodType, value: unknown): Finding[] {
  const path: Path = [
    ...prefix,
    ...issue.path.map((part) => (typeof part === 'number' ? part : String(part))),
  ]
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = keysAt(schema, path)
      return issue.keys.map((key) => ({
        path: [...path, key],
        at: 'key',
        message: unknownOption(key, known),
      }))
    }
    case 'invalid_union': {
      const branch = bestBranch(issue.errors)
      if (branch) return branch.flatMap((inner) => explain(inner, path, schema, value))
      const words = new Set(issue.errors.flat().map((inner) => expected(inner)))
      return [{ path, at: 'value', message: mustBe([...words].join(' or '), path, value) }]
    }
    case 'custom':
      return [{ path, at: 'value', message: issue.message }]
    case 'invalid_key': {
      const inner = issue.issues[0]
      return [
        {
          path,
          at: 'key',
          message: inner?.code === 'custom' ? inner.message : 'is not a name that can stand here',
        },
      ]
    }
    case 'invalid_value': {
      const given = valueAt(value, path)
      const choices = issue.values.map(String)
      const near = typeof given === 'string' ? nearest(given, choices) : undefined
      const hint = near === undefined || choices.length < 3 ? '' : `; did you mean '${near}'?`
      return [{ path, at: 'value', message: `${mustBe(expected(issue), path, value)}${hint}` }]
    }
    default:
      return [{ path, at: 'value', message: mustBe(expected(issue), path, value) }]
  }
}

export function unknownOption(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  if (near !== undefined) return `unknown option, did you mean '${near}'?`
  return known.length > 0 ? `unknown option; known here: ${known.join(', ')}` : 'unknown option'
}

/** The alternative that was meant: one whose own type fits, and of those the one that got furthest. */
function bestBranch(
  branches: readonly (readonly z.core.$ZodIssue[])[],
): readonly z.core.$ZodIssue[] | undefined {
  const fitting = branches.filter(
    (issues) =>
      !issues.some(
        (issue) =>
          issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value'),
      ),
  )
  if (fitting.length < 2) return fitting[0] ?? onlyChoices(branches)
  const depth = (issues: readonly z.core.$ZodIssue[]) => Math.max(...issues.map((issue) => issue.path.length))
  return [...fitting].sort((a, b) => depth(b) - depth(a))[0]
}

/** Of "a list of words or one of the words" the second is the better explanation of a wrong word. */
function onlyChoices(branches: readonly (readonly z.core.$ZodIssue[])[]) {
  const [choice, ...others] = branches.filter((issues) => issues[0]?.code === 'invalid_value')
  const rest = branches.filter((issues) => issues[0]?.code !== 'invalid_value')
  const isList = (issues: readonly z.core.$ZodIssue[]) =>
    issues[0]?.code === 'invalid_type' && issues[0].expected === 'array'
  return others.length === 0 && rest.every(isList) ? choice : undefined
}

function mustBe(what: string, path: Path, value: unknown): string {
  const given = valueAt(value, path)
  if (given === undefined) return `is missing; it must be ${what}`
  if (given === null) return `has no value; it must be ${what}`
  return `must be ${what}, not ${shown(given)}`
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'string') return value.length > 60 ? 'this text' : `'${value}'`
  return String(value)
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping (name: value)',
  record: 'a mapping (name: value)',
  null: 'empty',
}

function expected(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeWords[issue.expected] ?? issue.expected
    case 'invalid_value':
      return choose(issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))))
    case 'too_small':
      if (issue.origin === 'string') return `at least ${issue.minimum} characters long`
      if (issue.origin === 'array') return `a list of at least ${issue.minimum}`
      return `at least ${issue.minimum}`
    case 'too_big':
      if (issue.origin === 'string') return `at most ${issue.maximum} characters long`
      if (issue.origin === 'array') return `a list of at most ${issue.maximum}`
      return `at most ${issue.maximum}`
    case 'invalid_format':
      return issue.pattern === undefined ? `a valid ${issue.format}` : `text like ${issue.pattern}`
    default:
      return issue.message
  }
}

function choose(words: readonly string[]): string {
  if (words.length < 2) return words.join()
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

export function valueAt(value: unknown, path: Path): unknown {
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}

/** The names that an object of the schema may have at a path. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let level = plain(schema)
  for (const part of path) {
    level = level.flatMap((option) => plain(inside(option, part)))
  }
  return [
    ...new Set(level.flatMap((option) => (option instanceof z.ZodObject ? Object.keys(option.shape) : []))),
  ]
}

function inside(schema: z.ZodType, part: string | number): z.ZodType | undefined {
  if (schema instanceof z.ZodObject) return (schema.shape as Record<string, z.ZodType>)[part]
  if (schema instanceof z.ZodRecord) return schema.valueType as z.ZodType
  if (schema instanceof z.ZodArray) return schema.element as z.ZodType
  return undefined
}

/** The schema without its wrappers; the alternatives of a union one by one. */
function plain(schema: z.ZodType | undefined): z.ZodType[] {
  if (schema === undefined) return []
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => plain(option as z.ZodType))
  if (schema instanceof z.ZodPipe) {
    const from = schema.in instanceof z.ZodTransform ? schema.out : schema.in
    return plain(from as z.ZodType)
  }
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
  ) {
    return plain(schema.unwrap() as z.ZodType)
  }
  return [schema]
}
