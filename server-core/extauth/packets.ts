/**
 * The wire between an XMPP server and an external authentication program, both directions: a request is a 16-bit length,
 * big-endian, and that many bytes of `op:user:host[:password]`; an answer is the length 2 and a 16-bit 1 for yes or 0 for no.
 * Reading is incremental: a chunk may hold half a frame or many.
 */
/** In bytes, of what follows the length. */
export const maxFrameLength = 65_535

export interface Request {
  readonly op: string
  readonly user: string
  readonly host: string
  /** Everything behind the third colon, as bytes; undefined for operations without one. */
  readonly password: Buffer | undefined
}

/** Operations whose last field is a password, and those that have none. */
export const operations = {
  auth: { password: true },
  isuser: { password: false },
  removeuser: { password: false },
  removeuser3: { password: true },
  setpass: { password: true },
  tryregister: { password: true },
} as const

export type Operation = keyof typeof operations

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #chunks: Buffer[] = []
  #length = 0
  /** How many bytes make the next step possible. */
  #needed = 2

  /** The payloads of the frames that are complete now. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.#length < this.#needed) return []
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const frames: Buffer[] = []
    let at = 0
    for (;;) {
      this.#needed = bytes.length - at < 2 ? 2 : 2 + bytes.readUInt16BE(at)
      if (bytes.length - at < this.#needed) break
      frames.push(bytes.subarray(at + 2, at + this.#needed))
      at += this.#needed
    }
    this.#chunks = at === bytes.length ? [] : [bytes.subarray(at)]
    this.#length = bytes.length - at
    return frames
  }

  /** Bytes of a frame that is not complete. */
  get waiting(): number {
    return this.#length
  }
}

/** A request that cannot be sent, as the other side would read something else. The text holds no field. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused'
}

export function encodeRequest(request: Request): Buffer {
  const { op, user, host, password } = request
  if (user.includes(':') || host.includes(':')) throw new RequestRefused('a colon in the user or the host')
  if (user.includes('\0') || host.includes('\0') || password?.includes(0))
    throw new RequestRefused('a NUL byte')
  const names = Buffer.from(`${op}:${user}:${host}`)
  const payload = password === undefined ? names : Buffer.concat([names, Buffer.from(':'), password])
  if (payload.length > maxFrameLength) throw new RequestRefused(`more than ${maxFrameLength} bytes`)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(payload.length)
  return Buffer.concat([length, payload])
}

/**
 * The fields of a request; undefined when there are too few, or names that are no UTF-8. The host of an operation without a
 * password is everything behind the second colon; that of one with a password ends at the third, or, when it is an IPv6
 * literal, behind its closing bracket; `hosts` are served hosts, among which one may have colons. An unknown operation keeps
 * the rest as its host.
 */
export function decodeRequest(payload: Buffer, hosts: Iterable<string> = []): Request | undefined {
  const first = payload.indexOf(colon)
  const second = payload.indexOf(colon, first + 1)
  if (first === -1 || second === -1) return undefined
  const op = operationOf(utf8(payload, 0, first))
  const user = utf8(payload, first + 1, second)
  if (op === undefined) return undefined
  const hasPassword = isOperation(op) && operations[op].password
  const third = hasPassword ? endOfHost(payload, second + 1, hosts) : payload.length
  if (third === -1) return undefined
  const host = utf8(payload, second + 1, third)
  if (user === undefined || host === undefined) return undefined
  return { op, user, host, password: hasPassword ? payload.subarray(third + 1) : undefined }
}

const names = Object.keys(operations)

/** The one text of an operation, with which everything is found sooner than with a copy; what is not known as it is. */
function operationOf(text: string | undefined): string | undefined {
  return names.find((name) => name === text) ?? text
}

export function isOperation(op: string): op is Operation {
  return Object.hasOwn(operations, op)
}

const yes = Buffer.from([0, 2, 0, 1])
const no = Buffer.from([0, 2, 0, 0])

export function encodeAnswer(isYes: boolean): Buffer {
  return isYes ? yes : no
}

/** A frame that is neither yes nor no: ejabberd since 18.06 takes it for "could not find out" and keeps the program. */
export const errorAnswer: Buffer = Buffer.from([0, 2, 0, 2])

/** Reads answers one at a time. */
export class AnswerReader {
  #bytes: Buffer = Buffer.alloc(0)

  /**
   * 'malformed' as soon as the bytes cannot become an answer, or more than one has come: then it is unknown what belongs to
   * which request. 'neither' is a well-formed answer that says neither yes nor no. Undefined: more bytes are needed.
   */
  push(chunk: Buffer): 'yes' | 'no' | 'neither' | 'malformed' | undefined {
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(0, yes.length + 1)])
    const isBegun = this.#bytes.subarray(0, 2).equals(yes.subarray(0, Math.min(2, this.#bytes.length)))
    if (!isBegun || this.#bytes.length > yes.length) return 'malformed'
    if (this.#bytes.length < yes.length) return undefined
    const answer = this.#bytes
    this.#bytes = Buffer.alloc(0)
    if (answer.equals(yes)) return 'yes'
    return answer.equals(no) ? 'no' : 'neither'
  }
}

const colon = 0x3a
const bracket = 0x5b

function endOfHost(payload: Buffer, start: number, hosts: Iterable<string>): number {
  for (const host of hosts) {
    const end = start + Buffer.byteLength(host)
    if (payload[end] === colon && payload.toString('utf8', start, end) === host) return end
  }
  if (payload[start] !== bracket) return payload.indexOf(colon, start)
  const closing = payload.indexOf(']:', start)
  return closing === -1 ? -1 : closing + 1
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(payload: Buffer, start: number, end: number): string | undefined {
  // Nearly all are; a decoder takes several times as long.
  const text = payload.toString('latin1', start, end)
  if (/^[\0-\x7f]*$/.test(text)) return text
  try {
    return decoder.decode(payload.subarray(start, end))
  } catch {
    return undefined
  }
}
