/**
 * The short start tags that were read last, whole: a few dozens, such as `<body>` and `<active xmlns='…'/>`, make up most of
 * what is in stanzas. What they are is found by their bytes, and all elements that begin with them share one list of attributes.
 */
import type { Attribute } from './element.ts'
import { areEqual, hashOf } from './names.ts'

export interface KnownTag {
  readonly name: string
  readonly attributes: readonly Attribute[]
  readonly xmlns: string | undefined
  readonly isEmpty: boolean
  /** In bytes, from `<` to `>`. */
  readonly length: number
}

interface Entry extends KnownTag {
  readonly bytes: Uint8Array
}

const maxLength = 96
const table = new Array<Entry | undefined>(512).fill(undefined)
const gt = 0x3e

/** The tag whose `<` stands at pos, if it is known. It ends with the first `>`, as known tags have no other. */
export function recallTag(bytes: Buffer, pos: number, end: number): KnownTag | undefined {
  const limit = Math.min(end, pos + maxLength)
  let hash = 0
  let i = pos
  for (; i < limit; i++) {
    const byte = bytes[i] as number
    if (byte === gt) break
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  if (i === limit) return undefined
  const entry = table[slotOf(hash)]
  return entry !== undefined && areEqual(entry.bytes, bytes, pos, i + 1 - pos) ? entry : undefined
}

/** Remembers the tag in these bytes, unless it is long or one of its values has a `>`. */
export function learnTag(bytes: Buffer, pos: number, end: number, tag: Omit<KnownTag, 'length'>): void {
  if (end - pos > maxLength || bytes.subarray(pos, end - 1).includes(gt)) return
  const own = Uint8Array.from(bytes.subarray(pos, end))
  table[slotOf(hashOf(bytes, pos, end - 1))] = { ...tag, bytes: own, length: own.length }
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 10)) & 511
}
