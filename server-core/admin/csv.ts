/** Comma-separated values (RFC 4180), read while they arrive: quoted fields may contain commas, quotes and line ends. */
import { CommandError } from '../extend/command.ts'

/** A longer record is a quote that was never closed. */
const maxRecordLength = 65_536

/** One record after the other; empty lines are none. */
export async function* csvRecords(text: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let fields: string[] = []
  let field = ''
  /** Behind a quote inside a quoted field: the end of it, or the first half of a doubled one. */
  let state: 'start' | 'plain' | 'quoted' | 'quote' = 'start'
  let length = 0
  let line = 1
  /** Where the record and the quoted field began. */
  let recordLine = 1
  let quoteLine = 1
  for await (const portion of text) {
    for (const char of portion) {
      if (++length > maxRecordLength) {
        throw new CommandError(
          `line ${state === 'quoted' ? quoteLine : recordLine}: a record is longer than ${maxRecordLength} characters; is a quote missing?`,
        )
      }
      if (char === '\n') line++
      if (state === 'quoted') {
        if (char === '"') state = 'quote'
        else field += char
      } else if (char === '"' && state !== 'plain') {
        if (state === 'quote') field += char
        else quoteLine = line
        state = 'quoted'
      } else if (char === ',') {
        fields.push(field)
        field = ''
        state = 'start'
      } else if (char === '\n') {
        const record = [...fields, field.endsWith('\r') && state !== 'start' ? field.slice(0, -1) : field]
        fields = []
        field = ''
        state = 'start'
        length = 0
        recordLine = line
        if (record.length > 1 || record[0] !== '') yield record
      } else {
        field += char
        if (state === 'start' || (state === 'quote' && char !== '\r')) state = 'plain'
      }
    }
  }
  if (state === 'quoted') {
    throw new CommandError(`line ${quoteLine}: a quote is opened here and never closed`)
  }
  if (fields.length > 0 || field !== '') yield [...fields, field]
}
