/** Random operations in random splits, against a model of what an account database is: a map. */
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ExtauthProgram, frame, startExtauth } from '../harness/extauth.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let program: ExtauthProgram

beforeEach(() => {
  folder = temporaryFolder('model')
  writeFileSync(
    folder.file('extauth.yml'),
    'throttle: 0\nfailure_reply: error-frame\nbackends: {a: {type: sqlite, file: a.sqlite, password_format: plain}}\n',
  )
  program = startExtauth(['--config', folder.file('extauth.yml'), '--log-level', 'none'])
})

afterEach(() => {
  program.child.kill('SIGKILL')
  folder.remove()
})

interface Step {
  readonly op: string
  readonly user: string
  readonly host: string
  readonly password: string
}

/** Spellings of few accounts, so that they meet. */
const users = [
  'ann',
  'ANN',
  'ａｎｎ',
  'bob',
  'straße',
  'strasse',
  'a\\40b',
  "o'neil",
  'x"y',
  '',
  'c d',
] as const
const hosts = ['a.test', 'A.Test', 'b.test', 'bücher.test'] as const
const passwords = [
  'secret',
  'other',
  'a:b:c',
  ' space ',
  '€ß\u00a0',
  '',
  'x'.repeat(4096),
  'x'.repeat(4097),
  'nul\0',
] as const

/** The names as servers prepare them; undefined for what is none. */
function prepared(user: string): string | undefined {
  const known: Record<string, string | undefined> = {
    ANN: 'ann',
    ａｎｎ: 'ann',
    straße: 'strasse',
    "o'neil": undefined,
    'x"y': undefined,
    '': undefined,
    'c d': undefined,
  }
  return user in known ? known[user] : user
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom('auth', 'isuser', 'setpass', 'tryregister', 'removeuser', 'removeuser3'),
  user: fc.constantFrom(...users),
  host: fc.constantFrom(...hosts),
  password: fc.constantFrom(...passwords),
})

const withPassword = new Set(['auth', 'setpass', 'tryregister', 'removeuser3'])
const isPassword = (text: string) => text !== '' && Buffer.byteLength(text) <= 4096 && !text.includes('\0')

function answerOf(accounts: Map<string, string>, { op, user, host, password }: Step): 'yes' | 'no' {
  const name = prepared(user)
  if (name === undefined) return 'no'
  if (withPassword.has(op) && !isPassword(password)) return 'no'
  const jid = `${name}@${host.toLowerCase()}`
  const kept = accounts.get(jid)
  const say = (yes: boolean) => (yes ? 'yes' : 'no')
  switch (op) {
    case 'auth':
      return say(kept === password)
    case 'isuser':
      return say(kept !== undefined)
    case 'setpass':
      if (kept !== undefined) accounts.set(jid, password)
      return say(kept !== undefined)
    case 'tryregister':
      // Repeated with the same password at once, it is taken for a server's repetition.
      if (kept === undefined) accounts.set(jid, password)
      return say(kept === undefined || kept === password)
    case 'removeuser':
      accounts.delete(jid)
      return 'yes'
    default: {
      // Repeated within a minute, and this takes no longer, it is taken for a server's repetition.
      const removal = `removed ${jid} ${password}`
      const isAgain = kept === undefined && accounts.has(removal)
      if (kept === password) {
        accounts.delete(jid)
        accounts.set(removal, '')
      }
      return say(kept === password || isAgain)
    }
  }
}

function bytesOf({ op, user, host, password }: Step): Buffer {
  return frame([op, user, host, ...(withPassword.has(op) ? [password] : [])].join(':'))
}

/** Cuts the bytes at these places (parts of the whole). */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => Math.floor(place * bytes.length)))].sort((a, b) => a - b)
  return [...at, bytes.length].map((end, index) => bytes.subarray(at[index - 1] ?? 0, end))
}

const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 12 })

test('answers agree with the model, whatever was asked before and however it is cut', {
  timeout: 60_000,
}, async () => {
  const accounts = new Map<string, string>()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), places, async (steps, cuts) => {
      const stream = Buffer.concat(steps.map(bytesOf))
      for (const piece of cut(stream, cuts)) {
        program.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const answers: string[] = []
      for (const _ of steps) answers.push(await program.answer())
      expect(answers).toEqual(steps.map((one) => answerOf(accounts, one)))
    }),
    // What was found is not made smaller: the accounts have changed meanwhile.
    { numRuns: 150, endOnFailure: true },
  )
  expect(await program.close()).toBe(0)
})

test('whatever the bytes of a frame are, it has one answer, and nobody gets in', {
  timeout: 60_000,
}, async () => {
  expect(await program.ask('tryregister:ann:a.test:secret')).toBe('yes')
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: 'binary', maxLength: 80 }).map((text) => Buffer.from(`auth:ann:a.test:${text}`)),
    fc
      .array(fc.constantFrom('auth', 'isuser', 'ann', 'a.test', '', ':', '\0', '[::1]', 'secre'), {
        maxLength: 8,
      })
      .map((parts) => {
        return Buffer.from(parts.join(':'))
      }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 20 }), places, async (payloads, cuts) => {
      for (const piece of cut(Buffer.concat(payloads.map((payload) => frame(payload))), cuts))
        program.write(piece)
      for (const payload of payloads) {
        const answer = await program.answer()
        const isAllowed = /^(isuser:ann:a\.test|auth:ann:a\.test:secret)$/.test(payload.toString('latin1'))
        if (!isAllowed) expect(answer, payload.toString('hex')).toBe('no')
      }
    }),
    { numRuns: 200 },
  )
  expect(await program.ask('auth:ann:a.test:secret')).toBe('yes')
  expect(await program.close()).toBe(0)
})
