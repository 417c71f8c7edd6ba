import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  AnswerReader,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  errorAnswer,
  FrameReader,
  maxFrameLength,
  operations,
  type Request,
  RequestRefused,
} from '../../server-core/extauth/packets.ts'

const payload = (text: string) => Buffer.from(text)

function chunksOf(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[i % sizes.length] ?? 1)
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

describe('frames', () => {
  test('of any bytes come out whole, however they are cut', () => {
    const frame = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
    const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 10 })
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), sizes, (frames, cuts) => {
        const stream = Buffer.concat(
          frames.flatMap((one) => [Buffer.from([one.length >> 8, one.length & 0xff]), one]),
        )
        const reader = new FrameReader()
        const read = chunksOf(stream, cuts).flatMap((chunk) => reader.push(chunk))
        expect(read.map((one) => one.toString('hex'))).toEqual(frames.map((one) => one.toString('hex')))
        expect(reader.waiting).toBe(0)
      }),
    )
  })

  test('may be as long as the length can say, and come byte by byte', () => {
    const reader = new FrameReader()
    const bytes = Buffer.alloc(2 + maxFrameLength, 0x61)
    bytes.writeUInt16BE(maxFrameLength)
    const frames = chunksOf(bytes, [1]).flatMap((chunk) => reader.push(chunk))
    expect(frames.map((frame) => frame.length)).toEqual([maxFrameLength])
  })

  test('that are not complete are known to be waiting', () => {
    const reader = new FrameReader()
    expect(reader.push(Buffer.from([0, 3, 1]))).toEqual([])
    expect(reader.waiting).toBe(3)
    expect(reader.push(Buffer.from([2, 3, 0]))).toEqual([Buffer.from([1, 2, 3])])
    expect(reader.waiting).toBe(1)
  })
})

describe('requests', () => {
  test.each([
    ['auth:ann:a.example:se:cr:et', { op: 'auth', user: 'ann', host: 'a.example', password: 'se:cr:et' }],
    ['auth:ann:a.example:', { op: 'auth', user: 'ann', host: 'a.example', password: '' }],
    ['auth::a.example:x', { op: 'auth', user: '', host: 'a.example', password: 'x' }],
    ['auth:ann:[::1]:x:y', { op: 'auth', user: 'ann', host: '[::1]', password: 'x:y' }],
    ['auth:ann:b:c:x:y', { op: 'auth', user: 'ann', host: 'b:c', password: 'x:y' }],
    ['isuser:ann:a.example', { op: 'isuser', user: 'ann', host: 'a.example', password: undefined }],
    ['isuser:ann:[::1]', { op: 'isuser', user: 'ann', host: '[::1]', password: undefined }],
    [
      'removeuser:ann:a.example:more',
      { op: 'removeuser', user: 'ann', host: 'a.example:more', password: undefined },
    ],
    ['dance:ann:a.example:x', { op: 'dance', user: 'ann', host: 'a.example:x', password: undefined }],
  ])('%s', (text, fields) => {
    const request = decodeRequest(payload(text), ['b:c'])
    expect({ ...request, password: request?.password?.toString() }).toEqual(fields)
  })

  test.each(['', 'auth', 'auth:', 'auth:ann', 'auth:ann:a.example', 'isuser:ann', ':::', 'auth:ann:[::1'])(
    'with too few fields: %j',
    (text) => {
      const request = decodeRequest(payload(text))
      expect(request === undefined || request.op === '').toBe(true)
    },
  )

  test('with names that are no UTF-8 are none; passwords may be any bytes', () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x80])
    expect(decodeRequest(Buffer.concat([payload('auth:'), bytes, payload(':a.example:x')]))).toBeUndefined()
    const request = decodeRequest(Buffer.concat([payload('auth:ann:a.example:'), bytes]))
    expect(request?.password).toEqual(bytes)
  })

  test('are read as they were written', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !/[:\0]/.test(text))
    const host = name.filter((text) => !text.startsWith('['))
    const password = fc
      .uint8Array({ maxLength: 100 })
      .map((bytes) => Buffer.from(bytes.filter((byte) => byte > 0)))
    const op = fc.constantFrom(...(Object.keys(operations) as (keyof typeof operations)[]))
    fc.assert(
      fc.property(op, name, host, password, (op, user, host, password) => {
        const request = { op, user, host, password: operations[op].password ? password : undefined }
        const [frame] = new FrameReader().push(encodeRequest(request))
        expect(decodeRequest(frame ?? Buffer.alloc(0))).toEqual(request)
      }),
    )
  })

  test('that would be read as something else are not written', () => {
    const good: Request = { op: 'auth', user: 'ann', host: 'a.example', password: payload('secret') }
    const rest = maxFrameLength - Buffer.byteLength('auth:ann:a.example:')
    expect(encodeRequest({ ...good, password: Buffer.alloc(rest, 0x61) })).toHaveLength(2 + maxFrameLength)
    const bad: Partial<Request>[] = [
      { user: 'an:n' },
      { user: 'ann\0' },
      { host: '[::1]' },
      { host: 'a.example\0' },
      { password: payload('se\0cret') },
      { password: Buffer.alloc(rest + 1, 0x61) },
    ]
    for (const part of bad) expect(() => encodeRequest({ ...good, ...part })).toThrow(RequestRefused)
  })
})

describe('answers', () => {
  test('are four bytes', () => {
    expect(encodeAnswer(true).toString('hex')).toBe('00020001')
    expect(encodeAnswer(false).toString('hex')).toBe('00020000')
    expect(errorAnswer.toString('hex')).toBe('00020002')
  })

  test.each([
    ['00020001', 'yes'],
    ['00020000', 'no'],
    ['00020002', 'neither'],
    ['00020101', 'neither'],
    ['0002ffff', 'neither'],
    ['0000', 'malformed'],
    ['000101', 'malformed'],
    ['000400000001', 'malformed'],
    ['0002000100', 'malformed'],
    ['0002000100020001', 'malformed'],
    [Buffer.from('hello\n').toString('hex'), 'malformed'],
    ['0002', undefined],
    ['000200', undefined],
    ['', undefined],
  ] as const)('%s is %s, in one piece and byte by byte', (hex, expected) => {
    const bytes = Buffer.from(hex, 'hex')
    expect(new AnswerReader().push(bytes)).toBe(expected)
    const reader = new AnswerReader()
    const seen = [...bytes]
      .map((byte) => reader.push(Buffer.from([byte])))
      .filter((answer) => answer !== undefined)
    expect(seen[0]).toBe(bytes.length === 5 || bytes.length === 8 ? 'yes' : expected)
  })

  test('follow each other', () => {
    const reader = new AnswerReader()
    expect([reader.push(encodeAnswer(true)), reader.push(encodeAnswer(false))]).toEqual(['yes', 'no'])
  })
})
