import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { Printer } from '../../ctl/print.ts'
import { type OutputStream, StreamOutput, styleFor } from '../../ctl/terminal.ts'
import type { OutputFormat } from '../../ctl/words.ts'
import type { CommandReply, ResultShape, Row } from '../../server-core/admin/control-protocol.ts'

const list: ResultShape = {
  kind: 'list',
  columns: [
    { name: 'jid', type: 'string' },
    { name: 'priority', type: 'integer' },
    { name: 'status', type: 'string' },
  ],
}

const rows: Row[] = [
  ['alice@localhost/a', 5, 'tab\there'],
  ['日本@localhost/b', null, 'line\nend, "quoted" \\ \x1b[31m'],
]

async function printed(
  shape: ResultShape,
  reply: CommandReply,
  format: OutputFormat,
  options: { portions?: readonly Row[][]; terminal?: boolean; fields?: string[]; color?: boolean } = {},
): Promise<string> {
  const stream = new PassThrough() as OutputStream & PassThrough
  if (options.terminal) Object.assign(stream, { isTTY: true, columns: 80 })
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const out = new StreamOutput(stream)
  const style = styleFor(out, options.color ? {} : { NO_COLOR: '1' })
  const printer = new Printer(out, shape, { format, fields: options.fields, style })
  for (const portion of options.portions ?? []) await printer.rows(portion)
  await printer.finish(reply)
  return Buffer.concat(chunks).toString()
}

describe('a list', () => {
  test('text: one line a row, TAB between, and nothing in a value can break that', async () => {
    expect(await printed(list, { rows }, 'text')).toBe(
      'alice@localhost/a\t5\ttab\\there\n日本@localhost/b\tundefined\tline\\nend, "quoted" \\\\ \x1b[31m\n',
    )
  })

  test('table: aligned, and no control character reaches the terminal', async () => {
    expect(await printed(list, { rows }, 'table', { terminal: true })).toBe(
      [
        'jid                priority  status',
        'alice@localhost/a         5  tab\\there',
        '日本@localhost/b          -  line\\nend, "quoted" \\\\ \\x1b[31m',
        '',
      ].join('\n'),
    )
    expect(await printed(list, { rows }, 'text', { terminal: true })).not.toContain('\x1b')
  })

  test('headings are bold where colour is wanted', async () => {
    expect(await printed(list, { rows }, 'table', { terminal: true, color: true })).toContain('\x1b[1mjid')
  })

  test('json and jsonl carry values as they are', async () => {
    const wanted = rows.map(([jid, priority, status]) => ({ jid, priority, status }))
    expect(JSON.parse(await printed(list, { rows }, 'json'))).toEqual(wanted)
    const lines = (await printed(list, { rows }, 'jsonl')).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(wanted)
  })

  test('csv quotes what has to be quoted', async () => {
    expect(await printed(list, { rows }, 'csv')).toBe(
      'jid,priority,status\nalice@localhost/a,5,tab\there\n日本@localhost/b,,"line\nend, ""quoted"" \\ \x1b[31m"\n',
    )
  })

  test.each(['text', 'table', 'json', 'jsonl', 'csv'] as const)(
    'in portions is the same as at once: %s',
    async (format) => {
      const portions = rows.map((row) => [row])
      const same = await printed(list, { count: 2 }, format, { portions })
      // The widths of a table come from its first portion.
      if (format !== 'table') expect(same).toBe(await printed(list, { rows }, format))
      expect(same.split('\n').length).toBeGreaterThan(2)
    },
  )

  test.each([
    ['text', ''],
    ['table', ''],
    ['json', '[]\n'],
    ['jsonl', ''],
    ['csv', 'jid,priority,status\n'],
  ] as const)('that is empty: %s', async (format, text) => {
    expect(await printed(list, { rows: [] }, format)).toBe(text)
    expect(await printed(list, { count: 0 }, format)).toBe(text)
  })

  test('of chosen fields, in the order asked for', async () => {
    expect(await printed(list, { rows }, 'text', { fields: ['priority', 'jid'] })).toBe(
      '5\talice@localhost/a\nundefined\t日本@localhost/b\n',
    )
  })
})

test.each([
  [{ kind: 'rescode' }, { ok: true }, 'text', ''],
  [{ kind: 'rescode' }, { ok: true }, 'json', '{"ok":true,"text":""}\n'],
  [{ kind: 'restuple' }, { ok: false, text: 'No.' }, 'text', 'No.\n'],
  [{ kind: 'integer', name: 'n' }, { value: 5 }, 'text', '5\n'],
  [{ kind: 'integer', name: 'n' }, { value: 5 }, 'json', '{"n":5}\n'],
  [{ kind: 'string', name: 's' }, { value: 'a\nb' }, 'text', 'a\\nb\n'],
  [{ kind: 'string', name: 's' }, { value: '' }, 'text', ''],
  [{ kind: 'string', name: 's' }, { value: 'a,b' }, 'csv', 's\n"a,b"\n'],
  [
    { kind: 'tuple', columns: list.columns },
    { rows: [['a', 1, 'b']] },
    'json',
    '{"jid":"a","priority":1,"status":"b"}\n',
  ],
  [{ kind: 'tuple', columns: list.columns }, { rows: [['a', 1, 'b']] }, 'text', 'a\t1\tb\n'],
  [
    { kind: 'list', columns: [{ name: 'user', type: 'string' }] },
    { rows: [['a'], ['b']] },
    'table',
    'a\nb\n',
  ],
  [{ kind: 'list', columns: list.columns }, { ok: false, text: 'No.' }, 'text', 'No.\n'],
] as [ResultShape, CommandReply, OutputFormat, string][])(
  '%j %j as %s',
  async (shape, reply, format, text) => {
    expect(await printed(shape, reply, format)).toBe(text)
  },
)
