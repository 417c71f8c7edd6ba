/**
 * The contacts of a push_roster file: one Erlang list of {User, Server, Group, Nick} (strings or binaries), or JSON
 * [{"user", "server", "group", "nick"}], or CSV user,server,group,nick.
 */
import { z } from 'zod'
import { CommandError } from '../extend/command.ts'
import { type Jid, makeJid, prepareHost, prepareUser } from '../xmpp/jid.ts'
import { rosterTextProblem } from '../xmpp/roster-texts.ts'
import { csvRecords } from './csv.ts'
import { wholeText } from './file-from-client.ts'

export interface PushedContact {
  readonly jid: Jid
  /** '' is none. */
  readonly group: string
  readonly nick: string
}

const maxLength = 16_777_216

const jsonSchema = z.array(
  z.object({
    user: z.string(),
    server: z.string(),
    group: z.string().default(''),
    nick: z.string().default(''),
  }),
)

type Record4 = readonly [user: string, server: string, group: string, nick: string]

/** Throws CommandError with what is wrong with the file. */
export async function rosterFile(file: AsyncIterable<string>): Promise<PushedContact[]> {
  const text = await wholeText(file, maxLength)
  const records = await recordsOf(text)
  return records.map(([user, server, group, nick], i) => {
    const preparedUser = prepareUser(user)
    const preparedHost = prepareHost(server)
    if (preparedUser === undefined || preparedHost === undefined) {
      throw new CommandError(`entry ${i + 1}: ${user}@${server} is not an address`)
    }
    const problem = rosterTextProblem(nick, [group])
    if (problem !== undefined) throw new CommandError(`entry ${i + 1}: ${problem}`)
    return { jid: makeJid(preparedUser, preparedHost), group, nick }
  })
}

async function recordsOf(text: string): Promise<readonly Record4[]> {
  const start = text.trimStart()
  if (start === '') throw new CommandError('the file is empty')
  if (isJson.test(start)) return jsonOf(start)
  return /^[[%]/.test(start) ? new ErlangList(text).records() : csvOf(text)
}

/** `[]` alone is JSON; Erlang's list ends in a dot. */
const isJson = /^(?:\{|\[\s*(?:\{\s*(?:"[^"]*"\s*:|\})|\]\s*$))/

async function csvOf(text: string): Promise<Record4[]> {
  const records: Record4[] = []
  async function* whole() {
    yield text
  }
  for await (const record of csvRecords(whole())) {
    const [user = '', server = '', group = '', nick = ''] = record
    if (record.length !== 4) {
      throw new CommandError(`entry ${records.length + 1}: four fields are wanted: user,server,group,nick`)
    }
    if (records.length > 0 || record.join().toLowerCase() !== csvHeading)
      records.push([user, server, group, nick])
  }
  return records
}

/** Written by spreadsheets; it is nobody's address. */
const csvHeading = 'user,server,group,nick'

function jsonOf(text: string): Record4[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const why = (error as Error).message.replaceAll(/\s+/g, ' ')
    throw new CommandError(`the file begins like JSON and is none: ${why}`)
  }
  const parsed = jsonSchema.safeParse(value)
  if (!parsed.success) {
    const place = parsed.error.issues[0]?.path.join('.') ?? ''
    const where = place === '' ? '' : ` (at ${place})`
    throw new CommandError(`the file is JSON, but not [{"user", "server", "group", "nick"}]${where}`)
  }
  return parsed.data.map(({ user, server, group, nick }) => [user, server, group, nick])
}

const token = /(?:\s|%[^\n]*\n)*(?:(<<|>>|[[\]{},.])|"([^"\\]*(?:\\.[^"\\]*)*)"|(.))/sy

/** `[{"bob", "example.org", "workers", <<"Bob">>}].` */
class ErlangList {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  records(): Record4[] {
    const records: Record4[] = []
    this.#expect('[')
    if (this.#peek() === ']') this.#expect(']')
    else {
      do records.push(this.#tuple())
      while (this.#oneOf(',', ']') === ',')
    }
    this.#expect('.')
    if (!/^(?:\s|%[^\n]*(?:\n|$))*$/.test(this.#text.slice(this.#at))) this.#fail('the end of the file')
    return records
  }

  #tuple(): Record4 {
    this.#expect('{')
    const user = this.#string()
    this.#expect(',')
    const server = this.#string()
    this.#expect(',')
    const group = this.#string()
    this.#expect(',')
    const nick = this.#string()
    this.#expect('}')
    return [user, server, group, nick]
  }

  #string(): string {
    if (this.#peek() !== '<<') return this.#plainString()
    this.#expect('<<')
    const text = this.#plainString()
    const rest = /^\s*\/\s*utf8/.exec(this.#text.slice(this.#at, this.#at + 20))
    this.#at += rest?.[0].length ?? 0
    this.#expect('>>')
    return text
  }

  #plainString(): string {
    const found = this.#next()
    if (found?.[2] === undefined) this.#fail('a text in double quotes')
    return unescaped(found?.[2] ?? '')
  }

  #peek(): string | undefined {
    const at = this.#at
    const found = this.#next()
    this.#at = at
    return found?.[1]
  }

  #oneOf(...marks: readonly string[]): string {
    const mark = this.#next()?.[1]
    if (mark === undefined || !marks.includes(mark)) this.#fail(marks.map((one) => `'${one}'`).join(' or '))
    return mark ?? ''
  }

  #expect(mark: string): void {
    this.#oneOf(mark)
  }

  #next(): RegExpExecArray | null {
    token.lastIndex = this.#at
    const found = token.exec(this.#text)
    if (found) this.#at = token.lastIndex
    return found
  }

  #fail(wanted: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length
    throw new CommandError(
      `line ${line}: ${wanted} is expected; the file is one list such as [{"bob", "example.org", "workers", "Bob"}].`,
    )
  }
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  s: ' ',
  b: '\b',
  e: '\x1b',
  f: '\f',
  v: '\v',
}

function unescaped(text: string): string {
  return text.replace(/\\(?:x\{([0-9a-fA-F]{1,6})\}|(.))/gs, (_, hex: string | undefined, char: string) =>
    hex === undefined
      ? (escapes[char] ?? char)
      : String.fromCodePoint(Math.min(Number.parseInt(hex, 16), 0x10ffff)),
  )
}
