import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  fromProsodyPath,
  LuaDataError,
  parseLuaData,
  prosodyPath,
} from '../../server-core/accounts/lua-data.ts'

const read = (text: string) => parseLuaData(text)

describe("Prosody's files", () => {
  test('are tables of literals', () => {
    const table = read(`-- a comment
return {
\t["iteration_count"] = 10000.0;
\tsalt = 'it\\'s \\195\\164 \\x41';
\t[false] = { ["version"] = 3 };
\t"first", "second",
\tempty = {}, nothing = nil, yes = true; minus = -1.5e3
};`)
    expect(table.get('iteration_count')).toBe(10000)
    expect(table.get('salt')).toBe("it's ä A")
    expect(table.get(false)).toEqual(new Map([['version', 3]]))
    expect([table.get(1), table.get(2)]).toEqual(['first', 'second'])
    expect(table.get('empty')).toEqual(new Map())
    expect(table.has('nothing')).toBe(false)
    expect(table.get('yes')).toBe(true)
    expect(table.get('minus')).toBe(-1500)
  })

  test.each([
    ['os.execute("true")'],
    ['return os.time()'],
    ['return { a = os }'],
    ['return { a = "x" .. "y" }'],
    ['return { (function() end)() }'],
    ['return "text"'],
    ['return {'],
    ['return { "open }'],
    ['return { a = } '],
    ['return {} return {}'],
    ['return { "\\300" }'],
    ['return { "\\255" }'],
    [''],
    [`return ${'{'.repeat(200)}${'}'.repeat(200)}`],
  ])('are never run: %s', (text) => {
    expect(() => read(text)).toThrow(LuaDataError)
  })

  test('of any content do not throw anything else', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]=;,"\'\\ \n-019.eaxtrunfls') }), (text) => {
        try {
          read(`return ${text}`)
        } catch (error) {
          expect(error).toBeInstanceOf(LuaDataError)
        }
      }),
    )
  })

  test('any text survives being written as Lua escapes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const escaped = [...Buffer.from(text)].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')
        expect(read(`return { "${escaped}" }`).get(1)).toBe(Buffer.from(text).toString())
      }),
    )
  })

  test('have names that come back', () => {
    expect(prosodyPath('conference.localhost')).toBe('conference%2elocalhost')
    expect(prosodyPath('jörg_1')).toBe('j%c3%b6rg%5f1')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        expect(fromProsodyPath(prosodyPath(name))).toBe(name)
      }),
    )
  })
})
