/** retrieve_personal_data: the archive that a person gets, and where it lies afterwards. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { unzipSync } from 'fflate'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { personalArchive } from '../../server-core/admin/personal-archive.ts'
import { openStorage } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { bareServer } from '../harness/admin.ts'
import { TestClient } from '../harness/client.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

let folder: Folder
let storage: Storage

beforeEach(async () => {
  folder = temporaryFolder('archive')
  storage = await openStorage('sqlite', { file: folder.file('db.sqlite') })
})
afterEach(async () => {
  await storage.close()
  folder.remove()
})

async function archive(logFile?: string): Promise<Record<string, string>> {
  const chunks: Uint8Array[] = []
  const server = bareServer({ storage, logFile })
  for await (const chunk of personalArchive(server, 'alice', 'localhost')) chunks.push(chunk)
  const files = unzipSync(Buffer.concat(chunks))
  return Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
  )
}

test('has a file for each kind that there is something of, and the log, even empty', async () => {
  await storage.accounts.create('alice', 'localhost', [])
  await storage.privates.set('alice', 'localhost', [{ ns: 'a,b', xml: '<x xmlns="a,b">\n</x>' }], {
    elements: 5,
    bytes: 500,
  })
  const files = await archive()
  expect(Object.keys(files).sort()).toEqual(['account.csv', 'logs-gatehouse@test.txt', 'private.csv'])
  expect(files['logs-gatehouse@test.txt']).toBe('')
  expect(files['private.csv']).toBe('ns,xml\n"a,b","<x xmlns=""a,b"">\n</x>"\n')
  expect(files['account.csv']).toMatch(
    /^jid,created,disabled,banned,ban_reason\nalice@localhost,20.*Z,false,,\n$/,
  )
})

test('has the files and headings that MongooseIM gives, and privacy.csv for who is blocked', async () => {
  const server = await serverInPlace()
  try {
    for (const user of ['alice', 'bob']) await server.ctl(['register', user, 'localhost', 'secret'])
    const put = async (...words: string[]) => expect((await server.ctl(words)).code).toBe(0)
    await put('add_rosteritem', 'alice', 'localhost', 'bob', 'localhost', 'Bob, "B"', 'Friends;Work', 'both')
    await put('set_vcard', 'alice', 'localhost', 'FN', 'Alice')
    await put('private_set', 'alice', 'localhost', "<a xmlns='b'>1</a>")
    await put('set_last', 'alice', 'localhost', '1500045311', 'Gone')
    await put('send_message_chat', 'bob@localhost/x', 'alice@localhost', 'Hi')
    const phone = await TestClient.login({
      port: server.port,
      user: 'alice',
      password: 'secret',
      available: false,
    })
    await phone.iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='eve@example.net'/></block>")
    await phone.close()
    const { stdout, code } = await server.ctl(
      ['retrieve_personal_data', 'ALICE', 'LocalHost', '-', '--output', 'text'],
      { encoding: 'latin1' },
    )
    expect(code).toBe(0)
    const files = unzipSync(Buffer.from(stdout, 'latin1'))
    const text = Object.fromEntries(
      Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
    )
    expect(text['roster.csv']).toBe(
      'jid,name,subscription,ask,groups,askmessage,xs\nbob@localhost,"Bob, ""B""",both,none,"Friends, Work",,\n',
    )
    expect(text['vcard.csv']).toMatch(/^jid,vcard\nalice@localhost,<vCard xmlns='vcard-temp'>.*<\/vCard>\n$/)
    expect(text['private.csv']).toBe("ns,xml\nb,<a xmlns='b'>1</a>\n")
    expect(text['offline.csv']).toMatch(
      /^timestamp,from,to,packet\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,bob@localhost\/x,alice@localhost,<message .*>\n$/,
    )
    expect(text['last.csv']).toMatch(/^timestamp,status\n20.*\n$/)
    expect(text['privacy.csv']).toBe('jid\neve@example.net\n')
  } finally {
    await server.stop()
  }
})

test('has whole texts, however many there are', async () => {
  await storage.accounts.create('alice', 'localhost', [])
  const long = 'ж'.repeat(50_000)
  for (let i = 0; i < 10; i++) {
    const stanza = `<message from="b@x" to="alice@localhost" xmlns="jabber:client"><body>${i}${long}</body></message>`
    await storage.offline.store('alice', 'localhost', stanza, 0, undefined, { messages: 100, bytes: 1e9 })
  }
  const lines = (await archive())['offline.csv']?.trimEnd().split('\n') ?? []
  expect(lines).toHaveLength(11)
  expect(lines[10]).toContain(`<body>9${long}</body>`)
  expect(lines[1]).toMatch(/^1970-01-01T00:00:00Z,b@x,alice@localhost,/)
})

test('has the lines of all logs that name the account, by address or by its parts', async () => {
  const log = folder.file('gatehouse.log')
  writeFileSync(
    log,
    '{"user":"alice","host":"localhost","msg":"login"}\n{"user":"alice","host":"other"}\n{"user":"bob","host":"localhost"}\n',
  )
  writeFileSync(folder.file('gatehouse.log.1'), '{"jid":"Alice@Localhost/phone"}\nnothing\n')
  writeFileSync(folder.file('other.log'), 'alice@localhost\n')
  expect((await archive(log))['logs-gatehouse@test.txt']).toBe(
    '{"user":"alice","host":"localhost","msg":"login"}\n{"jid":"Alice@Localhost/phone"}\n',
  )
})

test('is written on the side of the caller, for him alone, in place of what was there', async () => {
  const server: ServerInPlace = await serverInPlace()
  try {
    await server.ctl(['register', 'alice', 'localhost', 'x'])
    const path = server.folder.file('alice.zip')
    writeFileSync(path, 'old', { mode: 0o644 })
    const result = await server.ctl(['retrieve_personal_data', 'alice', 'localhost', 'alice.zip'])
    expect(result).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(Object.keys(unzipSync(readFileSync(path)))).toContain('account.csv')
    // Nothing is left of a file that did not come.
    await server.ctl(['retrieve_personal_data', 'bob', 'localhost', 'bob.zip'])
    expect(existsSync(server.folder.file('bob.zip'))).toBe(false)
    expect(readdirSync(server.folder.path).filter((name) => name.startsWith('.'))).toEqual([])
    // A terminal does not want it.
    const refused = await server.ctl(['retrieve_personal_data', 'alice', 'localhost', '-'], { columns: 80 })
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('not for a terminal')
  } finally {
    await server.stop()
  }
})
