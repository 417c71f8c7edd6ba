import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeJid, parseJid, prepareHost, prepareResource, prepareUser } from '../../server-core/xmpp/jid.ts'
import { decodePunycode, encodePunycode } from '../../server-core/xmpp/punycode.ts'

/** RFC 7622 §3.5, tables 1 and 2, and others: the parts, or undefined for what is no address. */
const addresses: readonly [
  text: string,
  parts: [user: string, host: string, resource: string] | undefined,
][] = [
  ['juliet@example.com', ['juliet', 'example.com', '']],
  ['juliet@example.com/foo', ['juliet', 'example.com', 'foo']],
  ['juliet@example.com/foo bar', ['juliet', 'example.com', 'foo bar']],
  ['juliet@example.com/foo@bar', ['juliet', 'example.com', 'foo@bar']],
  ['foo\\20bar@example.com', ['foo\\20bar', 'example.com', '']],
  ['fussball@example.com', ['fussball', 'example.com', '']],
  ['π@example.com', ['π', 'example.com', '']],
  ['Σ@example.com/foo', ['σ', 'example.com', 'foo']],
  ['king@example.com/♚', ['king', 'example.com', '♚']],
  ['example.com', ['', 'example.com', '']],
  ['example.com/foobar', ['', 'example.com', 'foobar']],
  ['a.example.com/b@example.net', ['', 'a.example.com', 'b@example.net']],
  ['a@b/c/d@e', ['a', 'b', 'c/d@e']],
  ['JuLiet@EXAMPLE.Com/Balcony', ['juliet', 'example.com', 'Balcony']],
  ['example.com.', ['', 'example.com', '']],
  ['user@127.0.0.1', ['user', '127.0.0.1', '']],
  ['user@[::1]/x', ['user', '[::1]', 'x']],
  ['[2001:DB8::1]', ['', '[2001:db8::1]', '']],
  ['a@my_host', ['a', 'my_host', '']],
  ['a@bücher.example', ['a', 'bücher.example', '']],
  ['a@xn--bcher-kva.example', ['a', 'bücher.example', '']],
  ['a@XN--BCHER-KVA.Example', ['a', 'bücher.example', '']],
  ['a@BÜCHER。example', ['a', 'bücher.example', '']],
  ['a@xn--i-7iq.ws', ['a', 'i❤.ws', '']],
  // IDNA 2003 has no ß, so its form in Punycode stands for nothing else.
  ['a@xn--fa-hia.de', ['a', 'xn--fa-hia.de', '']],
  ['a@faß.de', ['a', 'fass.de', '']],
  ['a@xn--abc-.de', ['a', 'xn--abc-.de', '']],
  ['a@xn--99999999.de', ['a', 'xn--99999999.de', '']],
  ['a@שלום.example', ['a', 'שלום.example', '']],
  ['a😀@example.com/😀', ['a😀', 'example.com', '😀']],
  ['', undefined],
  ['@', undefined],
  ['/', undefined],
  ['@example.com', undefined],
  ['juliet@', undefined],
  ['juliet@/foo', undefined],
  ['juliet@example.com/', undefined],
  ['"juliet"@example.com', undefined],
  ['foo bar@example.com', undefined],
  ['foo\u00a0bar@example.com', undefined],
  ['a@b@c', undefined],
  ['henryⅣ@example.com/\u0000', undefined],
  ['a@exa mple.com', undefined],
  ['a@example..com', undefined],
  ['a@.example.com', undefined],
  ['a@example.com..', undefined],
  ['a@.', undefined],
  ['a@example.com:5222', undefined],
  ['a@<b>', undefined],
  ["a@b'c", undefined],
  ['a@b\u0000', undefined],
  ['a@::1', undefined],
  ['a@[::1', undefined],
  ['a@[1]', undefined],
  ['a@[fe80::1%eth0]', undefined],
  ['a@b℀c', undefined],
  ['a@b․c', undefined],
  ['a@xn--ü.example', undefined],
  ['a\ud800@b', undefined],
  ['a@b/\udfff', undefined],
  ['a@b/\u202e', undefined],
  ['\u00ad@b', undefined],
  ['a@b/\u00ad', undefined],
]

test.each(addresses)('%j', (text, parts) => {
  const jid = parseJid(text)
  expect(jid && [jid.user, jid.host, jid.resource]).toEqual(parts)
  // Nor is it another the second time.
  expect(parseJid(text)).toBe(jid)
})

describe('an address', () => {
  test('has its text with and without the resource', () => {
    const jid = parseJid('Juliet@Example.com/Balcony')
    expect(jid).toMatchObject({ text: 'juliet@example.com/Balcony', bareText: 'juliet@example.com' })
    expect(String(jid)).toBe('juliet@example.com/Balcony')
    expect(parseJid('example.com/x')).toMatchObject({ text: 'example.com/x', bareText: 'example.com' })
  })

  test('knows its bare form, and is it when it has no resource', () => {
    const full = parseJid('juliet@example.com/balcony')
    expect(full?.isBare).toBe(false)
    expect(full?.bare.text).toBe('juliet@example.com')
    expect(full?.bare).toBe(full?.bare)
    expect(full?.bare).toBe(parseJid('juliet@example.com'))
    expect(full?.bare.isBare).toBe(true)
    expect(full?.bare.bare).toBe(full?.bare)
  })

  test('equals what is written the same after preparation', () => {
    const one = parseJid('juliet@example.com/balcony')
    const other = parseJid('JULIET@EXAMPLE.COM./balcony')
    const third = parseJid('juliet@example.com/Balcony')
    if (!one || !other || !third) throw new Error('they are addresses')
    expect(one.equals(other)).toBe(true)
    expect(one).toBe(other)
    expect(one.equals(third)).toBe(false)
    expect(one.equals(makeJid('juliet', 'example.com', 'balcony'))).toBe(true)
  })

  test('is made of parts that are prepared', () => {
    expect(makeJid('', 'example.com').text).toBe('example.com')
    expect(makeJid('juliet', 'example.com').text).toBe('juliet@example.com')
    expect(makeJid('juliet', 'example.com', 'a/b').text).toBe('juliet@example.com/a/b')
    expect(makeJid('', 'example.com', 'x').text).toBe('example.com/x')
  })
})

test.each([
  ['xn--ü', 'xn--xn---3ra'],
  ['Ü', 'xn--wca'],
  ['', 'xn--'],
  ['a。b', undefined],
  ['a b', undefined],
])('a label in Punycode that hides %j is no other label', (hidden, prepared) => {
  expect(prepareHost(`xn--${encodePunycode(hidden)}`)).toBe(prepared)
})

describe('no part is longer than 1,023 bytes', () => {
  const user = 'u'.repeat(1023)
  const host = `${'h'.repeat(1019)}.com`
  const resource = 'r'.repeat(1023)

  test('so many are allowed', () => {
    expect(parseJid(`${user}@${host}/${resource}`)?.text).toHaveLength(3 * 1023 + 2)
    expect(parseJid(`${'é'.repeat(511)}@b`)?.user).toHaveLength(511)
  })

  test('one more is not, whichever part', () => {
    expect(parseJid(`${user}u@b`)).toBeUndefined()
    expect(parseJid(`a@h${host}`)).toBeUndefined()
    expect(parseJid(`a@b/${resource}r`)).toBeUndefined()
    expect(parseJid(`${'é'.repeat(512)}@b`)).toBeUndefined()
    expect(parseJid(`a@b/${'x'.repeat(1e6)}`)).toBeUndefined()
    expect(parseJid('a/'.repeat(1e6))).toBeUndefined()
  })

  test('measured when it is prepared', () => {
    expect(parseJid(`a@b/${'\ufdfa'.repeat(40)}`)).toBeUndefined()
    expect(parseJid(`a@b/${'\u00ad'.repeat(600)}x`)?.resource).toBe('x')
  })
})

test('what is an address stays the same one when its text is read again', () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.stringMatching(/^[A-Za-z0-9.-]{1,8}$/),
  )
  const label = fc.oneof(fc.stringMatching(/^[a-z0-9ßäπжא中❤-]{1,12}$/u), fc.string({ maxLength: 6 }))
  const host = fc
    .array(
      fc.oneof(
        label,
        label.map((text) => domainToASCII(text) || 'x'),
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map((labels) => labels.join('.'))
  fc.assert(
    fc.property(part, host, part, (user, domain, resource) => {
      const jid = parseJid(`${user}@${domain}/${resource}`)
      if (jid === undefined) return
      const again = parseJid(jid.text)
      expect(again?.equals(jid)).toBe(true)
      expect([again?.user, again?.host, again?.resource]).toEqual([jid.user, jid.host, jid.resource])
      expect(prepareUser(jid.user || 'x')).toBe(jid.user || 'x')
      expect(prepareHost(jid.host)).toBe(jid.host)
      expect(prepareResource(jid.resource || 'x')).toBe(jid.resource || 'x')
    }),
    { numRuns: 2000 },
  )
})

test('very many addresses are forgotten again, the ones in use are not', () => {
  const jid = parseJid('juliet@example.com/in-use')
  for (let n = 0; n < 50_000; n++) {
    parseJid(`juliet@example.com/${n}`)
    if (n % 1000 === 0) expect(parseJid('juliet@example.com/in-use')).toBe(jid)
  }
  expect(parseJid('juliet@example.com/1')?.resource).toBe('1')
})

describe('Punycode', () => {
  // RFC 3492 §7.1
  test.each([
    ['他们为什么不说中文', 'ihqwcrb4cv8a8dqg056pqjye'],
    ['Pročprostěnemluvíčesky', 'Proprostnemluvesky-uyb24dma41a'],
    ['למההםפשוטלאמדבריםעברית', '4dbcagdahymbxekheh6e0a7fei0b'],
    ['почемужеонинеговорятпорусски', 'b1abfaaepdrnnbgefbadotcwatmq2g4l'],
    ['3年B組金八先生', '3B-ww4c5e180e575a65lsy2b'],
  ])('%s', (text, encoded) => {
    expect(encodePunycode(text)).toBe(encoded)
    expect(decodePunycode(encoded)).toBe(text)
  })

  test('decodes what it has encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), (text) => {
        fc.pre(!/[\ud800-\udfff]/u.test(text) && /[^\0-\x7f]/.test(text))
        expect(decodePunycode(encodePunycode(text))).toBe(text)
      }),
    )
  })

  test('gives nothing for what is none', () => {
    for (const text of ['!', 'a-b-ü', '99999999', '0', 'é']) expect(decodePunycode(text)).toBeUndefined()
  })
})
