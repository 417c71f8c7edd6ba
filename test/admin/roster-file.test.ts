import { expect, test } from 'vitest'
import { rosterFile } from '../../server-core/admin/roster-file.ts'

async function read(text: string) {
  async function* whole() {
    yield text
  }
  const contacts = await rosterFile(whole())
  return contacts.map(({ jid, group, nick }) => [jid.text, group, nick])
}

const wanted = [
  ['bob@example.org', 'workers', 'Bob "the builder"'],
  ['mart@example.org', '', 'Mart'],
]

test.each([
  [
    'an Erlang list',
    '%% our people\n[{"bob", "example.org", "workers", "Bob \\"the builder\\""},\n {"mart", "example.org", "", "Mart"}].\n',
  ],
  [
    'binaries in an Erlang list',
    '[{<<"bob">>,<<"example.org">>,<<"workers">>,<<"Bob \\"the builder\\""/utf8>>},{<<"mart">>,<<"example.org">>,<<>>,"Mart"}].'.replace(
      '<<>>',
      '<<"">>',
    ),
  ],
  [
    'JSON',
    '[{"user":"bob","server":"example.org","group":"workers","nick":"Bob \\"the builder\\""},{"user":"Mart","server":"example.org","nick":"Mart"}]',
  ],
  ['CSV', 'bob,example.org,workers,"Bob ""the builder"""\nmart,example.org,,Mart\n'],
])('%s', async (_, text) => {
  expect(await read(text)).toEqual(wanted)
})

test('an empty list is one', async () => {
  expect(await read('[].')).toEqual([])
  expect(await read('[]')).toEqual([])
})

test.each([
  ['[{"bob", "example.org", "workers"}].', "line 1: ',' is expected"],
  ['[{"bob", "example.org", "workers", "Bob"}]', "'.' is expected"],
  ['[\n{bob, "example.org", "workers", "Bob"}].', 'line 2: a text in double quotes is expected'],
  ['[{"bob", "exa mple", "workers", "Bob"}].', 'entry 1: bob@exa mple is not an address'],
  ['[{"user": 1}]', 'the file is JSON, but not'],
  ['bob,example.org\n', 'four fields are wanted'],
  [`[${'%'.repeat(50_000)}`, 'is expected'],
])('%s', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message)
})

test.each([
  [
    'a control character',
    '[{"user":"a","server":"b","nick":"N"},{"user":"c","server":"d","nick":"\\u0001"}]',
    'entry 2: the name has',
  ],
  ['half of a surrogate pair', '[{"user":"a","server":"b","nick":"\\ud800"}]', 'entry 1: the name has'],
  [
    'a long group',
    `[{"user":"a","server":"b","group":"${'g'.repeat(1024)}"}]`,
    'entry 1: the group is longer than',
  ],
])('%s is refused before anything is written', async (_, text, problem) => {
  await expect(read(text)).rejects.toThrow(problem)
})
