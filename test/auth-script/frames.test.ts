/** gatehouse-extauth on the pipe, byte for byte: the cases are in fixtures/frames. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'

type Bytes = string | { hex: string } | { text: string; repeat: string; times: number; end?: string }

interface Case {
  readonly about: string
  /** How passwords are kept; plain is the fastest. */
  readonly keep?: 'bcrypt'
  readonly args?: readonly string[]
  readonly exchange: readonly (readonly [Bytes, string])[]
}

const cases = readdirSync(`${root}/fixtures/frames`).map((file) => {
  const story = JSON.parse(readFileSync(`${root}/fixtures/frames/${file}`, 'utf8')) as Case
  return [file.replace('.json', ''), story] as const
})

let folder: Folder
let program: ExtauthProgram | undefined

beforeEach(() => {
  folder = temporaryFolder('frames')
})

afterEach(async () => {
  program?.child.kill('SIGKILL')
  program = undefined
  folder.remove()
})

function bytesOf(request: Bytes): Buffer {
  if (typeof request === 'string') return Buffer.from(request)
  if ('hex' in request) return Buffer.from(request.hex, 'hex')
  return Buffer.from(request.text + request.repeat.repeat(request.times) + (request.end ?? ''))
}

/** A program whose accounts hold ann@a.example with the password "secret". */
async function start(story: Pick<Case, 'keep' | 'args'>): Promise<ExtauthProgram> {
  const file = folder.file('accounts.sqlite')
  const config = folder.file('extauth.yml')
  writeFileSync(config, `backends: {main: {type: sqlite, file: accounts.sqlite, password_format: plain}}\n`)
  const source = story.keep === 'bcrypt' ? ['--sqlite', file] : ['--config', config]
  const first = startExtauth(source)
  expect(await first.ask('tryregister:ann:a.example:secret', 20_000)).toBe('yes')
  expect(await first.close()).toBe(0)
  return startExtauth([...source, ...(story.args ?? [])])
}

describe('gatehouse-extauth', () => {
  test.each(cases)('%s', { timeout: 90_000 }, async (_, story) => {
    program = await start(story)
    for (const [request, answer] of story.exchange) {
      const bytes = bytesOf(request)
      expect([bytes.toString().slice(0, 80), await program.ask(bytes, 20_000)]).toEqual([
        bytes.toString().slice(0, 80),
        answer,
      ])
    }
    expect(await program.close()).toBe(0)
    expect(program.log()).not.toContain('secret')
  })

  test.each([
    ['in one piece', Number.POSITIVE_INFINITY],
    ['byte by byte', 1],
    ['in pieces of 7 bytes', 7],
  ])('answers in order what comes at once, %s', { timeout: 60_000 }, async (_, size) => {
    program = await start({})
    const story = cases.find(([name]) => name === 'names')?.[1]
    const exchange = story?.exchange ?? []
    const stream = Buffer.concat(exchange.map(([request]) => frame(bytesOf(request))))
    for (let at = 0; at < stream.length; at += size) program.write(stream.subarray(at, at + size))
    const answers: string[] = []
    for (const _each of exchange) answers.push(await program.answer(20_000))
    expect(answers).toEqual(exchange.map(([, answer]) => answer))
    expect(await program.close()).toBe(0)
  })
})
