/** SHA-crypt, `$5$` and `$6$`, after Ulrich Drepper's specification "Unix crypt using SHA-256 and SHA-512". */
import { createHash, hash } from 'node:crypto'
import { crypt64 } from './crypt64.ts'

export interface ShaCryptInput {
  readonly digest: 'sha256' | 'sha512'
  readonly password: Uint8Array
  readonly salt: string
  readonly rounds: number
}

/** The last field of the value. Takes a core for some 2 µs a round. */
export function shaCrypt({ digest, password, salt: saltText, rounds }: ShaCryptInput): string {
  const salt = Buffer.from(saltText)
  const of = (...parts: readonly Uint8Array[]) => hash(digest, Buffer.concat(parts), 'buffer')

  // Steps 4 to 12: the first digest mixes both, by the length of the password and by its bits.
  const alternate = of(password, salt, password)
  const first = createHash(digest).update(password).update(salt).update(stretch(alternate, password.length))
  for (let bits = password.length; bits > 0; bits >>= 1) first.update(bits & 1 ? alternate : password)
  let last: Buffer = first.digest()

  // Steps 13 to 20: sequences as long as the password and as the salt.
  const repeated = createHash(digest)
  for (let count = 0; count < password.length; count++) repeated.update(password)
  const p = stretch(repeated.digest(), password.length)
  const s = stretch(of(...Array.from({ length: 16 + (last[0] ?? 0) }, () => salt)), salt.length)

  // Step 21. There are 42 ways in which a round puts its input together; what stays the same is laid out once for each.
  const layouts = Array.from({ length: 42 }, (_, round) => layout(round, p, s, last.length))
  for (let round = 0; round < rounds; round++) {
    const { input, at } = layouts[round % 42] as Layout
    input.set(last, at)
    last = hash(digest, input, 'buffer')
  }
  return crypt64(permute(last))
}

interface Layout {
  readonly input: Buffer
  /** Where the digest of the round before goes. */
  readonly at: number
}

function layout(round: number, p: Buffer, s: Buffer, digestLength: number): Layout {
  const last = Buffer.alloc(digestLength)
  const middle = [...(round % 3 ? [s] : []), ...(round % 7 ? [p] : [])]
  const input = Buffer.concat(round % 2 ? [p, ...middle, last] : [last, ...middle, p])
  return { input, at: round % 2 ? input.length - digestLength : 0 }
}

function stretch(digest: Buffer, length: number): Buffer {
  return Buffer.alloc(length, digest)
}

/** Step 22: in which order the bytes are written, three at a time, and what is left at the end. */
function permute(digest: Buffer): Buffer {
  const third = Math.floor(digest.length / 3)
  const order: number[] = []
  let [a, b, c] = [0, third, 2 * third]
  for (let group = 0; group < third; group++) {
    order.push(c, b, a)
    ;[a, b, c] = digest.length === 64 ? [b + 1, c + 1, a + 1] : [c + 1, a + 1, b + 1]
  }
  order.push(...(digest.length === 64 ? [63] : [30, 31]))
  return Buffer.from(order.map((at) => digest[at] ?? 0))
}
