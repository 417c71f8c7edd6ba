/** A text for a value, equal for two values exactly when they are equal by value. */

/** Deeper than any sensible key; a value that holds itself ends here. */
const maxDepth = 32

/**
 * Takes texts, numbers, bigints, booleans, null, undefined, bytes, dates, lists, and plain objects, whose order of names does
 * not count. Throws TypeError for anything else: a function or an object of a class has no value to compare.
 */
export function valueKey(value: unknown, depth = 0): string {
  if (depth > maxDepth) throw new TypeError(`a key may be nested ${maxDepth} levels deep at most`)
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Object.is(value, -0) ? '0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'object':
      return value === null ? 'null' : objectKey(value, depth)
    default:
      throw new TypeError(`a ${typeof value} cannot be a key`)
  }
}

function objectKey(value: object, depth: number): string {
  if (Array.isArray(value)) return `[${value.map((item) => valueKey(item, depth + 1)).join(',')}]`
  if (value instanceof Uint8Array) return `bytes:${Buffer.from(value).toString('base64')}`
  if (value instanceof Date) return `date:${value.getTime()}`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`an object of class ${value.constructor.name} cannot be a key`)
  }
  const members = Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${valueKey(member, depth + 1)}`)
  return `{${members.join(',')}}`
}
