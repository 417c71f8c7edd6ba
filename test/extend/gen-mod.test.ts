import { describe, expect, it } from 'vitest'
import { getModuleProc, getOpt, getOptHost } from '../../server-core/extend/gen-mod.ts'

describe("ejabberd's helpers", () => {
  it('give an option, or the fallback where it is not given', () => {
    expect(getOpt('size', { size: 5 }, 1)).toBe(5)
    expect(getOpt('size', { size: 0 }, 1)).toBe(0)
    expect(getOpt('size', { size: false }, true)).toBe(false)
    expect(getOpt('size', { other: 5 }, 1)).toBe(1)
    expect(getOpt('size', { size: undefined }, 1)).toBe(1)
  })

  it('give the domain of a module on a host, prepared', () => {
    expect(getOptHost('verona.example', {}, 'echo.@HOST@')).toBe('echo.verona.example')
    expect(getOptHost('verona.example', { host: 'Mirror.@HOST@' }, 'echo.@HOST@')).toBe(
      'mirror.verona.example',
    )
    expect(getOptHost('verona.example', { host: 'ECHO.example' }, 'echo.@HOST@')).toBe('echo.example')
    expect(() => getOptHost('verona.example', { host: 'a b' }, '')).toThrow('a b is not a host name')
  })

  it('give a name for what a module has on a host', () => {
    expect(getModuleProc('verona.example', 'ejabberd_mod_echo')).toBe('ejabberd_mod_echo_verona.example')
  })
})
