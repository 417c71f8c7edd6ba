import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dnBelow, escapeDnValue } from '../../../server-core/auth/ldap/dn.ts'
import { type Filter, fillFilter, filterText, parseFilter } from '../../../server-core/auth/ldap/filter.ts'

const who = { user: 'alice', host: 'example.org' }

function filled(text: string, filling: Parameters<typeof fillFilter>[1] = who): Filter | undefined {
  return fillFilter(parseFilter(text, 'udDs'), filling)
}

describe('a filter', () => {
  it.each([
    '(uid=alice)',
    '(objectClass=*)',
    '(&(a=b)(|(c=d)(!(e=f))))',
    '(cn=a*b*c)',
    '(cn=*b*)',
    '(cn=a*)',
    '(n>=5)',
    '(n<=5)',
    '(cn~=jon)',
    '(userAccountControl:1.2.840.113556.1.4.803:=2)',
    '(memberOf:1.2.840.113556.1.4.1941:=cn=x,dc=y)',
    '(ou:dn:caseExactMatch:=a)',
    '(:caseExactMatch:=a)',
    '(cn=\\2a\\28\\29\\5c\\00)',
    '(cn;lang-en=a)',
    '(2.5.4.3=a)',
    '(cn=)',
  ])('%s is read as it is written', (text) => {
    expect(filterText(filled(text) as Filter)).toBe(text)
  })

  it('may have spaces between its brackets, and bytes of UTF-8 as escapes', () => {
    expect(filterText(filled(' (& (a=b) ( ! (c=d) ) ) ') as Filter)).toBe('(&(a=b)(!(c=d)))')
    expect(filled('(cn=\\d0\\b8)')).toEqual({ is: 'equal', attribute: 'cn', value: 'и' })
  })

  it.each([
    ['', '( is expected'],
    ['uid=alice', '( is expected'],
    ['(uid=alice', ') is expected'],
    ['(uid=alice))', 'more after the last bracket'],
    ['(&)', 'nothing in brackets after &'],
    ['(uid)', 'an attribute, = and a value'],
    ['(=alice)', 'not the name of an attribute'],
    ['(u id=alice)', 'not the name of an attribute'],
    ['(cn=a**b)', 'two *'],
    ['(cn=\\4)', 'two hexadecimal digits'],
    ['(cn=\\zz)', 'two hexadecimal digits'],
    ['(cn=\\ff)', 'not UTF-8'],
    ['(cn=%x)', '%x'],
    ['(cn=50%)', '%'],
    ['(n>=)', 'needs a value'],
    [`${'(!'.repeat(40)}(a=b)${')'.repeat(40)}`, 'brackets deep'],
  ])('%s is refused with a reason', (text, reason) => {
    expect(() => parseFilter(text, 'ud')).toThrow(reason)
  })

  it('has places that are values, whatever is in them', () => {
    const user = 'x)(uid=*)%d\\2a'
    expect(filled('(&(uid=%u)(mail=%u@%d))', { user, host: 'h' })).toEqual({
      is: 'and',
      of: [
        { is: 'equal', attribute: 'uid', value: user },
        { is: 'equal', attribute: 'mail', value: `${user}@h` },
      ],
    })
    expect(filled('(cn=\\25u)')).toEqual({ is: 'equal', attribute: 'cn', value: '%u' })
  })

  it('fills its %s one after the other, and cannot match when one is missing', () => {
    const filling = { ...who, dn: 'uid=alice,dc=x', values: ['one', 'two'] }
    expect(filterText(filled('(&(a=%s)(member=%D)(b=%s))', filling) as Filter)).toBe(
      '(&(a=one)(member=uid=alice,dc=x)(b=two))',
    )
    expect(filled('(&(a=%s)(b=%s)(c=%s))', filling)).toBeUndefined()
  })

  const value = fc.string({ unit: 'binary' })
  const attribute = fc.constantFrom('cn', 'uid', 'sAMAccountName', '2.5.4.3', 'cn;lang-en')
  const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 4 },
      fc.record({ is: fc.constant('equal' as const), attribute, value }),
      fc.record({ is: fc.constant('present' as const), attribute }),
      fc.record({
        is: fc.constantFrom('atLeast' as const, 'atMost' as const, 'approximately' as const),
        attribute,
        value: value.filter((text) => text !== ''),
      }),
      fc.record({
        is: fc.constant('substrings' as const),
        attribute,
        parts: fc
          .tuple(
            value,
            fc.array(
              value.filter((text) => text !== ''),
              { maxLength: 3 },
            ),
            value,
          )
          .filter(([first, middle, last]) => first !== '' || last !== '' || middle.length > 0)
          .map(([first, middle, last]) => [first, ...middle, last]),
      }),
      fc.record({
        is: fc.constant('extensible' as const),
        attribute: fc.constantFrom('cn', ''),
        rule: fc.constantFrom('2.5.13.5', 'caseExactMatch'),
        withDn: fc.boolean(),
        value,
      }),
      fc.record({ is: fc.constant('not' as const), of: tie('filter') }),
      fc.record({
        is: fc.constantFrom('and' as const, 'or' as const),
        of: fc.array(tie('filter'), { minLength: 1, maxLength: 3 }),
      }),
    ) as fc.Arbitrary<Filter>,
  }))

  it('read from its text is the same filter', () => {
    fc.assert(
      fc.property(filter, (one) => {
        expect(filled(filterText(one))).toEqual(one)
      }),
    )
  })

  it('that is nonsense is refused, never anything else', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'()&|!=*\\<>~:%ua1 ') }), (text) => {
        try {
          parseFilter(text, 'ud')
        } catch (error) {
          expect((error as Error).message).toMatch(/filter|%/)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('a name of an entry', () => {
  it('has everything escaped that could mean something', () => {
    expect(escapeDnValue('a b')).toBe('a\\20b')
    expect(escapeDnValue('a\\20b')).toBe('a\\5c20b')
    expect(dnBelow('uid', 'x,dc=y+cn=z', 'dc=example')).toBe('uid=x\\2cdc\\3dy\\2bcn\\3dz,dc=example')
    expect(dnBelow('uid', '#41', '')).toBe('uid=\\2341')
    expect(escapeDnValue('é')).toBe('\\c3\\a9')
  })

  it('is made of harmless bytes only, and of different ones for different values', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const text = escapeDnValue(value)
        expect(text).toMatch(/^(?:[A-Za-z0-9_.-]|\\[0-9a-f]{2})*$/)
        const back = text.replace(/\\([0-9a-f]{2})/g, (_, hex: string) =>
          String.fromCharCode(Number.parseInt(hex, 16)),
        )
        expect(Buffer.from(back, 'latin1').toString('utf8')).toBe(value)
      }),
    )
  })
})
