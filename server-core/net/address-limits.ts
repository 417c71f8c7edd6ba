/** What one address may do: connections at a time, failed logins a minute. Loopback and trusted proxies are exempt. */
import { BlockList, isIPv6 } from 'node:net'

const minute = 60_000
/** Addresses remembered for failed logins; the oldest are forgotten first. */
const maxRemembered = 50_000

export interface AddressLimitOptions {
  readonly connectionsPerAddress: number
  readonly failedLoginsPerMinute: number
  /** Addresses and networks (192.0.2.0/24) behind which there are many people. */
  readonly exempt: readonly string[]
}

export class AddressLimits {
  readonly #options: AddressLimitOptions
  readonly #now: () => number
  readonly #connected = new Map<string, number>()
  /** The exempt ones, made anew when the option has changed. */
  #networks: { readonly of: readonly string[]; readonly list: BlockList } = { of: [], list: new BlockList() }
  readonly #failed = new Map<string, { count: number; since: number }>()

  constructor(options: AddressLimitOptions, now: () => number = Date.now) {
    this.#options = options
    this.#now = now
  }

  /** Counts a connection; false, and nothing is counted, when this address may have no more. */
  connect(address: string): boolean {
    if (this.#isExempt(address)) return true
    const key = keyOf(address)
    const count = this.#connected.get(key) ?? 0
    if (count >= this.#options.connectionsPerAddress || this.#isBlocked(key)) return false
    this.#connected.set(key, count + 1)
    return true
  }

  disconnect(address: string): void {
    const key = keyOf(address)
    const count = this.#connected.get(key) ?? 0
    if (count > 1) this.#connected.set(key, count - 1)
    else this.#connected.delete(key)
  }

  /** Counts a failed login; true when the address has had too many and the connection shall end. */
  failedLogin(address: string): boolean {
    if (this.#isExempt(address)) return false
    const key = keyOf(address)
    const now = this.#now()
    const entry = this.#failed.get(key)
    if (!entry || now - entry.since > minute) {
      this.#failed.delete(key)
      this.#failed.set(key, { count: 1, since: now })
      if (this.#failed.size > maxRemembered)
        for (const oldest of this.#failed.keys()) return this.#forget(oldest)
    } else {
      entry.count++
    }
    return this.#isBlocked(key)
  }

  #isExempt(address: string): boolean {
    if (isLoopback(address)) return true
    const { exempt } = this.#options
    if (exempt.length === 0) return false
    if (this.#networks.of !== exempt) this.#networks = { of: exempt, list: networksOf(exempt) }
    const isMapped = address.startsWith('::ffff:') && address.includes('.')
    const plain = isMapped ? address.slice('::ffff:'.length) : (address.split('%')[0] ?? '')
    return this.#networks.list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
  }

  #forget(key: string): false {
    this.#failed.delete(key)
    return false
  }

  #isBlocked(key: string): boolean {
    const entry = this.#failed.get(key)
    if (!entry) return false
    return entry.count >= this.#options.failedLoginsPerMinute && this.#now() - entry.since <= minute
  }
}

function networksOf(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return list
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.')
}

/** An IPv4 address, or the /64 network of an IPv6 one: that much is one customer's. */
function keyOf(address: string): string {
  if (!isIPv6(address)) return address
  if (address.startsWith('::ffff:')) return address.slice(7)
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
