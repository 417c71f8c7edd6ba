/**
 * A YAML file, checked against a schema: the typed value, or all complaints at once, each with its place in the file. Serves
 * every file of ours (gatehouse.yml, extauth.yml).
 */
import { readFile } from 'node:fs/promises'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type YAMLError,
} from 'yaml'
import type { z } from 'zod'
import { type Complaint, type Finding, findings, optionName, type Path, valueAt } from './complaint.ts'

/** A file that is bigger is no configuration. */
const maxBytes = 4_194_304
/** How many times aliases may be resolved: against files that unfold into gigabytes. */
const maxAliases = 1_000

export type Loaded<T> =
  | { readonly ok: true; readonly value: T; readonly source: Source }
  | {
      readonly ok: false
      readonly complaints: readonly Complaint[]
      readonly rest?: Rest<T>
    }

/** What is right in a file with mistakes: so that further checks need not wait until those are mended. */
export interface Rest<T> {
  /** With defaults in place of what is wrong; of a list of mappings without the entries that are. */
  readonly value: T
  /** Its `raw` lacks those entries too; paths are meant in it. */
  readonly source: Source
  /** The options at the top of the file that are wrong as a whole. */
  readonly broken: ReadonlySet<string>
}

/** What was read, for checks that go beyond the schema. */
export interface Source {
  /** As the schema got it: defaults are not filled in. */
  readonly raw: unknown
  complaint(finding: Finding): Complaint
  /** Whether a number was written as 0o660. */
  isOctal(path: Path): boolean
  /** The path as it is in the file, where entries before it may be wrong. */
  inFile(path: Path): Path
}

export async function loadYaml<S extends z.ZodType>(schema: S, path: string): Promise<Loaded<z.output<S>>> {
  const text = await readText(path)
  if (typeof text !== 'string') return { ok: false, complaints: [text] }
  return checkYaml(schema, text, path)
}

/** The same for text that is already there; `file` is what complaints call it. */
export function checkYaml<S extends z.ZodType>(schema: S, text: string, file: string): Loaded<z.output<S>> {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    merge: true,
    strict: true,
    logLevel: 'silent',
  })
  const misread = [...document.errors, ...document.warnings]
  if (misread.length > 0) {
    return { ok: false, complaints: misread.map((error) => syntaxComplaint(error, text, lines, file)) }
  }
  let raw: unknown
  try {
    raw = document.toJS({ maxAliasCount: maxAliases }) ?? {}
  } catch {
    const message = `aliases (*name) stand for more than ${maxAliases} values; write them out`
    return { ok: false, complaints: [whole(file, message)] }
  }
  const complaint = (finding: Finding): Complaint => {
    const { line, col } = lines.linePos(offsetOf(document, finding.path, finding.at))
    return { file, line, column: col, option: optionName(finding.path), message: finding.message }
  }
  const isOctal = (path: Path): boolean => {
    const node = document.getIn(path, true)
    return isScalar(node) && node.format === 'OCT'
  }
  const source = { raw, complaint, isOctal, inFile: (path: Path) => path }
  const parsed = schema.safeParse(raw)
  if (parsed.success) return { ok: true, value: parsed.data, source }
  const found = findings(parsed.error, schema, raw)
  const complaints = inOrder(found.map(complaint))
  const rest = restOf(schema, source, found)
  return rest ? { ok: false, complaints, rest } : { ok: false, complaints }
}

function restOf<S extends z.ZodType>(
  schema: S,
  source: Source,
  found: readonly Finding[],
): Rest<z.output<S>> | undefined {
  const broken = new Set<string>()
  /** The entries of lists that are wrong, and no more than they. */
  const entries = new Map<string, Set<number>>()
  for (const { path } of found) {
    const [name = '', index] = path
    if (name === '') return undefined
    if (typeof index !== 'number' || !isMapping(valueAt(source.raw, [name, index]))) broken.add(String(name))
    else entries.set(String(name), (entries.get(String(name)) ?? new Set()).add(index))
  }
  const raw: Record<string, unknown> = { ...(source.raw as object) }
  const kept = new Map<string, number[]>()
  for (const [name, wrong] of entries) {
    const list = raw[name] as unknown[]
    const indexes = [...list.keys()].filter((index) => !wrong.has(index))
    kept.set(name, indexes)
    raw[name] = indexes.map((index) => list[index])
  }
  const right = Object.fromEntries(Object.entries(raw).filter(([name]) => !broken.has(name)))
  const parsed = schema.safeParse(right)
  if (!parsed.success) return undefined
  const inFile = ([name = '', index, ...more]: Path): Path => {
    if (index === undefined) return [name]
    const there = typeof index === 'number' ? kept.get(String(name))?.[index] : undefined
    return [name, there ?? index, ...more]
  }
  return {
    value: parsed.data,
    source: {
      raw,
      complaint: (finding) => source.complaint({ ...finding, path: inFile(finding.path) }),
      isOctal: (path) => source.isOctal(inFile(path)),
      inFile,
    },
    broken,
  }
}

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function inOrder(complaints: readonly Complaint[]): Complaint[] {
  return [...complaints].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
}

function whole(file: string, message: string): Complaint {
  return { file, line: undefined, column: undefined, option: '', message }
}

async function readText(path: string): Promise<string | Complaint> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    return whole(path, `cannot be read: ${reason(error)}`)
  }
  if (bytes.length > maxBytes)
    return whole(path, `is larger than ${maxBytes} bytes, so it is no configuration`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return whole(path, 'is not UTF-8 text')
  }
}

/** Why a file could not be used, in words. */
export function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'ENOTDIR') return 'a part of its path is not a folder'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  if (code === 'EISDIR') return 'it is a folder'
  return code ?? 'unknown reason'
}

function syntaxComplaint(error: YAMLError, text: string, lines: LineCounter, file: string): Complaint {
  const { line, col } = lines.linePos(error.pos[0])
  return { file, line, column: col, option: '', message: syntaxMessage(error, text) }
}

function syntaxMessage(error: YAMLError, text: string): string {
  switch (error.code) {
    case 'DUPLICATE_KEY': {
      const key = /^[^\s:]+/.exec(text.slice(error.pos[0]))?.[0] ?? ''
      return `'${key}' stands twice in this mapping; keep one`
    }
    case 'TAB_AS_INDENT':
      return 'a tab is used for indentation; YAML wants spaces'
    case 'BAD_INDENT':
    case 'BAD_SCALAR_START':
    case 'MULTILINE_IMPLICIT_KEY':
      return `not YAML: ${error.message} (check the indentation and the quotes)`
    case 'MULTIPLE_DOCS':
      return "a second document begins ('---'); everything must be in one"
    default:
      return `not YAML: ${error.message}`
  }
}

/** Where an option's name or value begins; the nearest thing around it when it is not written in the file. */
function offsetOf(document: Document.Parsed, path: Path, at: 'key' | 'value'): number {
  let node: unknown = document.contents
  let offset = start(node) ?? 0
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part))
      if (!pair) return offset
      const isTarget = depth === path.length - 1
      const value = isScalar(pair.value) && pair.value.value === null ? undefined : start(pair.value)
      offset = (isTarget && at === 'key' ? undefined : value) ?? start(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part]
      offset = start(node) ?? offset
    } else {
      return offset
    }
  }
  return offset
}

function start(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined
  return Array.isArray(node.range) ? (node.range[0] as number) : undefined
}
