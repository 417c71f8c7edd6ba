import { describe, expect, it } from 'vitest'
import { AddressLimits, isLoopback } from '../../server-core/net/address-limits.ts'

let now = 0
function limits(connectionsPerAddress = 2, failedLoginsPerMinute = 3): AddressLimits {
  now = 1_000_000
  return new AddressLimits({ connectionsPerAddress, failedLoginsPerMinute, exempt: [] }, () => now)
}

const some = '192.0.2.7'

describe('connections of one address', () => {
  it('are counted up and down', () => {
    const one = limits()
    expect([one.connect(some), one.connect(some), one.connect(some)]).toEqual([true, true, false])
    expect(one.connect('192.0.2.8')).toBe(true)
    one.disconnect(some)
    expect([one.connect(some), one.connect(some)]).toEqual([true, false])
  })

  it('are counted by /64 for IPv6, however an address is written', () => {
    const one = limits()
    expect([
      one.connect('2001:db8::1'),
      one.connect('2001:db8:0:0:ffff::1'),
      one.connect('2001:0db8:0000:0000:1:2:3:4'),
    ]).toEqual([true, true, false])
    expect(one.connect('2001:db8:0:1::1')).toBe(true)
    expect(one.connect('2001:db8:1::1')).toBe(true)
    one.disconnect('2001:db8::ffff')
    expect(one.connect('2001:db8::1')).toBe(true)
  })

  it('see one customer behind an IPv4 address that came through an IPv6 socket', () => {
    const one = limits()
    expect([one.connect(some), one.connect(`::ffff:${some}`), one.connect(some)]).toEqual([true, true, false])
  })

  it('know an interface behind a link-local address', () => {
    const one = limits()
    expect([one.connect('fe80::1%eth0'), one.connect('fe80::2%eth0'), one.connect('fe80::3%eth1')]).toEqual([
      true,
      true,
      false,
    ])
  })

  it('are not counted on loopback', () => {
    const one = limits()
    for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
      expect(isLoopback(address)).toBe(true)
      for (let n = 0; n < 5; n++) expect(one.connect(address)).toBe(true)
      one.disconnect(address)
    }
    expect(isLoopback('128.0.0.1')).toBe(false)
    expect(isLoopback('::2')).toBe(false)
  })
})

describe('trusted proxies', () => {
  it('are not counted, by address and by network, however their addresses come', () => {
    const exempt = ['192.0.2.7', '198.51.100.0/24', '2001:db8::/32']
    const limits = new AddressLimits({ connectionsPerAddress: 1, failedLoginsPerMinute: 1, exempt })
    for (const address of ['192.0.2.7', '::ffff:198.51.100.200', '2001:db8:1::1']) {
      for (let n = 0; n < 3; n++) expect(limits.connect(address)).toBe(true)
      expect(limits.failedLogin(address)).toBe(false)
    }
    for (const address of ['192.0.2.8', '::ffff:198.51.101.1', '2001:db9::1']) {
      expect(limits.connect(address)).toBe(true)
      expect(limits.connect(address)).toBe(false)
    }
  })
})

describe('failed logins of one address', () => {
  it('end its connection at the limit, and keep it out for the rest of the minute', () => {
    const one = limits()
    expect([one.failedLogin(some), one.failedLogin(some), one.failedLogin(some)]).toEqual([
      false,
      false,
      true,
    ])
    expect(one.connect(some)).toBe(false)
    expect(one.connect('192.0.2.8')).toBe(true)
    now += 60_000
    expect(one.connect(some)).toBe(false)
    now += 1
    expect(one.connect(some)).toBe(true)
    expect(one.failedLogin(some)).toBe(false)
  })

  it('are forgotten a minute after the first', () => {
    const one = limits()
    one.failedLogin(some)
    one.failedLogin(some)
    now += 60_001
    expect(one.failedLogin(some)).toBe(false)
    expect(one.failedLogin(some)).toBe(false)
    expect(one.failedLogin(some)).toBe(true)
  })

  it('do not count on loopback', () => {
    const one = limits()
    for (let n = 0; n < 10; n++) expect(one.failedLogin('127.0.0.1')).toBe(false)
    expect(one.connect('127.0.0.1')).toBe(true)
  })

  it('of very many addresses do not fill the memory: the oldest are forgotten', () => {
    const one = limits(2, 2)
    one.failedLogin('2001:db8:0:ffff::1')
    for (let n = 0; n < 50_000; n++) one.failedLogin(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
    expect(one.failedLogin('2001:db8:0:ffff::1')).toBe(false)
    expect(one.failedLogin('10.0.195.79')).toBe(true)
  })
})
