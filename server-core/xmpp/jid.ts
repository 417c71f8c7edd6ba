/** Addresses of XMPP: user@host/resource (RFC 7622, prepared as RFC 6122 says). */
import { isIPv6 } from 'node:net'
import { decodePunycode, encodePunycode } from './punycode.ts'
import { nameprep, nodeprep, resourceprep } from './stringprep.ts'

/** RFC 7622 §3.1: no part may be longer, in bytes of UTF-8. */
const maxPartBytes = 1023

/** A valid address with prepared parts, so that equal texts are equal addresses. Made by parseJid and makeJid. */
export class Jid {
  /** '' when the address has none. */
  readonly user: string
  readonly host: string
  /** '' when the address has none. */
  readonly resource: string
  /** The whole address. */
  readonly text: string
  /** The address without its resource. */
  readonly bareText: string
  #bare: Jid | undefined

  constructor(user: string, host: string, resource: string) {
    this.user = user
    this.host = host
    this.resource = resource
    this.bareText = user === '' ? host : `${user}@${host}`
    this.text = resource === '' ? this.bareText : `${this.bareText}/${resource}`
    this.#bare = undefined
  }

  get isBare(): boolean {
    return this.resource === ''
  }

  /** The address without its resource; itself when it has none. */
  get bare(): Jid {
    if (this.resource === '') return this
    this.#bare ??= makeJid(this.user, this.host)
    return this.#bare
  }

  equals(other: Jid): boolean {
    return this === other || this.text === other.text
  }

  toString(): string {
    return this.text
  }
}

/**
 * The addresses seen last by the text they were seen as, in two generations: when the young one is full it becomes the old
 * one, and what was in the old one and has not been used since is forgotten.
 */
const generationSize = 16_384
/** Longer texts are not kept, so that nobody fills the memory with them. */
const maxKeptLength = 256
let young = new Map<string, Jid>()
let old = new Map<string, Jid>()

function recall(text: string): Jid | undefined {
  const jid = young.get(text)
  if (jid !== undefined) return jid
  const aged = old.get(text)
  if (aged !== undefined) keep(text, aged)
  return aged
}

function keep(text: string, jid: Jid): void {
  if (text.length > maxKeptLength || jid.text.length > maxKeptLength) return
  if (young.size >= generationSize) {
    old = young
    young = new Map()
  }
  young.set(text, jid)
}

/** The address that a text stands for; undefined when it is none. */
export function parseJid(text: string): Jid | undefined {
  const known = recall(text)
  if (known !== undefined) return known
  if (text.length > 3 * maxPartBytes + 2) return undefined
  const own = copy(text)
  const parsed = parse(own)
  if (parsed === undefined) return undefined
  const isPrepared = parsed.text === own
  const jid = isPrepared ? parsed : (recall(parsed.text) ?? parsed)
  keep(own, jid)
  if (jid === parsed && !isPrepared) keep(jid.text, jid)
  return jid
}

/** RFC 7622 §3.2: what stands behind the first '/' is the resource, what stands before the first '@' of the rest the user. */
function parse(text: string): Jid | undefined {
  const slash = text.indexOf('/')
  const bare = slash < 0 ? text : text.slice(0, slash)
  const at = bare.indexOf('@')
  const host = prepareHost(bare.slice(at + 1))
  if (host === undefined) return undefined
  const user = at < 0 ? '' : prepareUser(bare.slice(0, at))
  if (user === undefined) return undefined
  const resource = slash < 0 ? '' : prepareResource(text.slice(slash + 1))
  return resource === undefined ? undefined : new Jid(user, host, resource)
}

/** The address with these parts, which are prepared already; '' is an absent part. */
export function makeJid(user: string, host: string, resource = ''): Jid {
  const made = new Jid(user, host, resource)
  const known = recall(made.text)
  if (known !== undefined) return known
  keep(made.text, made)
  return made
}

/** The user part as it is kept and compared; undefined when it cannot be one. */
export function prepareUser(text: string): string | undefined {
  return checked(nodeprep(text))
}

/** The resource part as it is kept and compared; undefined when it cannot be one. */
export function prepareResource(text: string): string | undefined {
  return checked(resourceprep(text))
}

/**
 * The domain part as it is kept and compared: a name without its last dot and in Unicode, whichever way it came (RFC 7622 §3.2), an
 * IPv4 address, or an IPv6 address in brackets.
 */
export function prepareHost(text: string): string | undefined {
  if (plainHost.test(text) && !text.includes('xn--')) return checked(text)
  if (text.startsWith('[')) {
    return text.endsWith(']') && isIPv6(text.slice(1, -1)) && !text.includes('%')
      ? text.toLowerCase()
      : undefined
  }
  // Also the dots of East Asian writing (RFC 3490 §3.1).
  const labels = text.split(/[.\u3002\uff0e\uff61]/).map(prepareLabel)
  return labels.includes(undefined) ? undefined : checkedHost(labels.join('.'))
}

function prepareLabel(label: string): string | undefined {
  const prepared = nameprep(label)
  // Some characters become a dot, but none that divides labels.
  if (prepared === undefined || prepared.includes('.')) return undefined
  if (!prepared.startsWith('xn--')) return prepared
  return isAscii(prepared) ? (unicodeLabel(prepared) ?? prepared) : undefined
}

/** What a label in Punycode stands for, if that is what the label would be made from. */
function unicodeLabel(label: string): string | undefined {
  // DNS knows no longer ones.
  const decoded = label.length > 63 ? undefined : decodePunycode(label.slice(4))
  if (decoded === undefined || isAscii(decoded) || decoded.startsWith('xn--')) return undefined
  return nameprep(decoded) === decoded && `xn--${encodePunycode(decoded)}` === label ? decoded : undefined
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text)
}

/** What most hosts are: nothing has to be prepared. */
const plainHost = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/

/** Letters, digits, hyphens, and `_`, which no host of the Internet has but many an internal one. No dot of any kind in a label. */
const hostName =
  /^[a-z0-9_\-\u0080-\u3001\u3003-\u{10ffff}]+(?:\.[a-z0-9_\-\u0080-\u3001\u3003-\u{10ffff}]+)*$/u

function checkedHost(text: string): string | undefined {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  return hostName.test(name) ? checked(name) : undefined
}

function checked(part: string | undefined): string | undefined {
  if (part === undefined || part === '') return undefined
  if (part.length * 3 > maxPartBytes && Buffer.byteLength(part) > maxPartBytes) return undefined
  return part
}

/** The same text in memory of its own: a slice would keep the whole text alive that it was cut from. */
function copy(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}
