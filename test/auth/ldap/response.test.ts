import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Framing, ProtocolViolation } from '../../../server-core/auth/ldap/framing.ts'
import { operations, readResponse, writeResult } from '../../../server-core/auth/ldap/response.ts'
import { entry, integer, message, type Request, reference, result, tlv } from './fake-ldap.ts'

const request: Request = { id: 7, tag: 0x63, name: 'search', bytes: Buffer.alloc(0), dn: '', password: '' }

const examples = [
  entry(request, 'uid=a\\5C20b,dc=x', { uid: ['a\\20b', Buffer.from([0xff])], mail: [] }),
  reference(request, 'ldap://x/'),
  result(request, 4, { diagnostic: 'too many' }),
  result(request, 10, { more: [tlv(0xa3, tlv(4, 'ldap://x/'))] }),
  message(7, tlv(0x78, integer(0, 0x0a), tlv(4), tlv(4), tlv(0x8a, '1.2.3'), tlv(0x8b, 'v'))),
  message(7, tlv(0x61, integer(0, 0x0a), tlv(4), tlv(4)), tlv(0xa0, tlv(0x30, tlv(4, '1.2.3')))),
]

describe('an answer', () => {
  it('is read with the name exactly as it came', () => {
    expect(readResponse(examples[0] as Buffer)).toEqual({
      kind: 'entry',
      id: 7,
      dn: 'uid=a\\5C20b,dc=x',
      attributes: [
        { type: 'uid', values: [Buffer.from('a\\20b'), Buffer.from([0xff])] },
        { type: 'mail', values: [] },
      ],
    })
    expect(readResponse(examples[2] as Buffer)).toMatchObject({
      kind: 'result',
      operation: 'search',
      code: 4,
      diagnostic: 'too many',
    })
    expect(readResponse(examples[4] as Buffer)).toMatchObject({ operation: 'extended', name: '1.2.3' })
  })

  it.each([
    ['61', message(7, tlv(0x61, integer(0, 0x0a), tlv(4), Buffer.from([4, 5, 1, 2])))],
    ['64', message(7, tlv(0x64, tlv(4, 'dc=x'), Buffer.from([0x30, 9])))],
    ['65', message(7, Buffer.from([0x65, 9, 0x0a, 1, 0, 4, 0, 4, 0]))],
  ])('of kind %s with a part longer than the whole is refused', (_, bytes) => {
    expect(() => readResponse(bytes)).toThrow('longer than the whole')
  })

  it('with a byte changed, missing or added is read or refused, never anything else', () => {
    const changed = fc
      .tuple(fc.constantFrom(...examples), fc.nat(), fc.nat(255), fc.constantFrom('set', 'cut', 'add'))
      .map(([bytes, position, byte, how]) => {
        const at = position % bytes.length
        if (how === 'cut') return bytes.subarray(0, at)
        const before = bytes.subarray(0, at)
        return Buffer.concat([before, Buffer.from([byte]), bytes.subarray(how === 'set' ? at + 1 : at)])
      })
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array().map(Buffer.from)), (bytes) => {
        try {
          readResponse(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation)
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it('that we write ourselves says what it should', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2_147_483_647 }),
        fc.constantFrom(...(Object.keys(operations) as (keyof typeof operations)[])),
        fc.integer({ min: 0, max: 80 }),
        (id, operation, code) => {
          expect(readResponse(writeResult(id, operation, code))).toMatchObject({ id, operation, code })
        },
      ),
    )
  })
})

describe('framing', () => {
  it('gives whole messages however the bytes are cut', () => {
    const stream = Buffer.concat(examples)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
        const framing = new Framing(1_000)
        const messages: Buffer[] = []
        let at = 0
        for (let n = 0; at < stream.length; n++) {
          const size = sizes[n % sizes.length] ?? 1
          messages.push(...framing.push(stream.subarray(at, at + size)))
          at += size
        }
        expect(messages).toEqual(examples)
        expect(framing.pending).toBe(0)
      }),
    )
  })

  it.each(['31', '3080', '3085', '3084ffffffff', '308400010000', '30820401'])('refuses %s', (hex) => {
    const framing = new Framing(1_024)
    expect(() => framing.push(Buffer.from(hex, 'hex'))).toThrow(ProtocolViolation)
  })
})
