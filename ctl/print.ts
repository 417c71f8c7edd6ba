/** Prints what a command gave back, by its shape: text as mongooseimctl prints it, a table on a terminal, JSON, lines, CSV. */
import type { Column, CommandReply, ResultShape, Row } from '../server-core/admin/control-protocol.ts'
import { displayWidth, type Output, type Style } from './terminal.ts'
import { type OutputFormat, UsageError } from './words.ts'

export interface PrintOptions {
  readonly format: OutputFormat
  readonly fields?: readonly string[] | undefined
  readonly style: Style
}

type Value = Row[number]

/** Prints one result; rows may come in portions before `finish` gets the reply. */
export class Printer {
  readonly #out: Output
  readonly #shape: ResultShape
  readonly #rows: RowWriter | undefined

  constructor(out: Output, shape: ResultShape, options: PrintOptions) {
    this.#out = out
    this.#shape = shape
    const { format } = options
    if (shape.kind === 'list' || shape.kind === 'tuple') {
      const chosen = chooseColumns(shape.columns, options.fields)
      this.#rows = new RowWriter(out, shape.kind === 'tuple', chosen, format, options.style)
    } else if (options.fields) {
      throw new UsageError('--fields is for commands that give a list')
    }
    this.#format = format
  }

  readonly #format: OutputFormat
  /** There was a sentence instead of rows. */
  #hasSaid = false

  /** Whether a person saw nothing where a table was asked for. */
  get isEmptyTable(): boolean {
    return this.#format === 'table' && this.#rows?.count === 0 && !this.#hasSaid
  }

  async rows(rows: readonly Row[]): Promise<void> {
    await this.#rows?.write(rows)
  }

  /** Prints what is left; gives the exit code. */
  async finish(reply: CommandReply): Promise<number> {
    if (this.#rows) {
      if ('rows' in reply) await this.#rows.write(reply.rows)
      // A list command may also say no.
      if ('ok' in reply) return this.#said(reply)
      await this.#rows.end()
      return 0
    }
    if ('ok' in reply) return this.#said(reply)
    if ('bytes' in reply) return 0
    if ('value' in reply) await this.#value(reply.value)
    return 0
  }

  async #said(reply: { readonly ok: boolean; readonly text?: string }): Promise<number> {
    const { ok, text = '' } = reply
    this.#hasSaid = text !== ''
    if (this.#format === 'json' || this.#format === 'jsonl')
      await this.#out.write(`${JSON.stringify({ ok, text })}\n`)
    else if (text !== '') await this.#out.write(`${text}\n`)
    return ok ? 0 : 1
  }

  async #value(value: string | number): Promise<void> {
    const name = 'name' in this.#shape ? this.#shape.name : 'value'
    if (this.#format === 'json' || this.#format === 'jsonl') {
      await this.#out.write(`${JSON.stringify({ [name]: value })}\n`)
    } else if (this.#format === 'csv') {
      await this.#out.write(`${name}\n${csvField(value)}\n`)
    } else {
      const text = this.#out.isTerminal ? printable(escaped(value)) : escaped(value)
      if (text !== '') await this.#out.write(`${text}\n`)
    }
  }
}

interface Chosen extends Column {
  readonly index: number
}

function chooseColumns(columns: readonly Column[], fields: readonly string[] | undefined): Chosen[] {
  const all = columns.map((column, index) => ({ ...column, index }))
  if (!fields) return all
  return fields.map((field) => {
    const column = all.find(({ name }) => name === field)
    if (!column) {
      throw new UsageError(
        `there is no field '${field}'; there are: ${columns.map(({ name }) => name).join(', ')}`,
      )
    }
    return column
  })
}

class RowWriter {
  readonly #out: Output
  readonly #isTuple: boolean
  readonly #columns: readonly Chosen[]
  readonly #format: OutputFormat
  readonly #style: Style
  #widths: readonly number[] | undefined
  count = 0

  constructor(out: Output, isTuple: boolean, columns: readonly Chosen[], format: OutputFormat, style: Style) {
    this.#out = out
    this.#isTuple = isTuple
    this.#columns = columns
    // One column needs no heading.
    this.#format = format === 'table' && columns.length === 1 ? 'text' : format
    this.#style = style
  }

  async write(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return
    const lines = rows.map((row) => this.#line(this.#columns.map(({ index }) => row[index] ?? null)))
    const heading = this.count === 0 ? this.#heading(rows) : ''
    const between = this.#format === 'json' && !this.#isTuple ? ',\n' : '\n'
    const before = this.#format === 'json' && this.count > 0 ? ',\n' : ''
    // The widths of a table come from its first portion, so it is made behind the heading.
    const text =
      this.#format === 'table'
        ? rows.map((row) => this.#tableLine(this.#columns.map(({ index }) => row[index] ?? null))).join('\n')
        : lines.join(between)
    const after = this.#format === 'json' && !this.#isTuple ? '' : '\n'
    this.count += rows.length
    await this.#out.write(`${heading}${before}${text}${after}`)
  }

  async end(): Promise<void> {
    if (this.#format === 'json' && !this.#isTuple) await this.#out.write(this.count === 0 ? '[]\n' : '\n]\n')
    else if (this.#format === 'csv' && this.count === 0) await this.#out.write(this.#heading([]))
  }

  #heading(rows: readonly Row[]): string {
    switch (this.#format) {
      case 'json':
        return this.#isTuple ? '' : '[\n'
      case 'csv':
        return `${this.#columns.map(({ name }) => csvField(name)).join(',')}\n`
      case 'table': {
        this.#widths = this.#columns.map(({ name, index }) =>
          Math.max(displayWidth(name), ...rows.map((row) => displayWidth(visible(row[index] ?? null)))),
        )
        return `${this.#style.bold(this.#tableLine(this.#columns.map(({ name }) => name)))}\n`
      }
      default:
        return ''
    }
  }

  #line(values: readonly Value[]): string {
    switch (this.#format) {
      case 'json':
      case 'jsonl': {
        if (this.#columns.length === 1 && !this.#isTuple) return JSON.stringify(values[0])
        return JSON.stringify(Object.fromEntries(this.#columns.map(({ name }, i) => [name, values[i]])))
      }
      case 'csv':
        return values.map(csvField).join(',')
      default:
        return values
          .map((value) => (this.#out.isTerminal ? printable(escaped(value)) : escaped(value)))
          .join('\t')
    }
  }

  #tableLine(values: readonly Value[]): string {
    const cells = values.map((value, i) => {
      const text = visible(value)
      const padding = ' '.repeat(Math.max(0, (this.#widths?.[i] ?? 0) - displayWidth(text)))
      return this.#columns[i]?.type === 'integer' ? padding + text : text + padding
    })
    return cells.join('  ').trimEnd()
  }
}

const escapes: Readonly<Record<string, string>> = { '\t': '\\t', '\r': '\\r', '\n': '\\n', '\\': '\\\\' }

/** So that no value breaks the columns; null is Erlang's word for it. */
export function escaped(value: Value): string {
  if (value === null) return 'undefined'
  return typeof value === 'number'
    ? String(value)
    : value.replace(/[\t\r\n\\]/g, (char) => escapes[char] ?? char)
}

/** The same for a terminal, which other control characters could take over; null is nothing there. */
function visible(value: Value): string {
  return value === null ? '-' : printable(escaped(value))
}

function printable(text: string): string {
  return text.replace(
    /[\x00-\x1f\x7f-\x9f]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

/** RFC 4180 §2: quoted when it holds a comma, a quote or a line end. */
function csvField(value: Value): string {
  if (value === null) return ''
  const text = String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
