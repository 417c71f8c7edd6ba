/** Punycode (RFC 3492): labels beyond ASCII as domain names carry them, without their `xn--`. */

const base = 36
const tMin = 1
const tMax = 26
const skew = 38
const damp = 700
const initialBias = 72
const initialCode = 128

/** Undefined when the text encodes nothing. */
export function decodePunycode(text: string): string | undefined {
  const hyphen = text.lastIndexOf('-')
  const codes = hyphen < 0 ? [] : Array.from(text.slice(0, hyphen), (char) => char.charCodeAt(0))
  let code = initialCode
  let bias = initialBias
  let place = 0
  for (let at = hyphen + 1; at < text.length; ) {
    const before = place
    for (let weight = 1, k = base; ; k += base) {
      const digit = digitOf(text.charCodeAt(at++))
      if (digit < 0) return undefined
      place += digit * weight
      if (place > 0x7fffffff) return undefined
      const threshold = thresholdOf(k, bias)
      if (digit < threshold) break
      weight *= base - threshold
    }
    bias = adapt(place - before, codes.length + 1, before === 0)
    code += Math.floor(place / (codes.length + 1))
    place %= codes.length + 1
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined
    codes.splice(place++, 0, code)
  }
  return String.fromCodePoint(...codes)
}

export function encodePunycode(text: string): string {
  const codes = Array.from(text, (char) => char.codePointAt(0) as number)
  const basic = codes.filter((code) => code < initialCode)
  let result = String.fromCharCode(...basic)
  if (basic.length > 0) result += '-'
  let code = initialCode
  let bias = initialBias
  let delta = 0
  for (let done = basic.length; done < codes.length; ) {
    const next = Math.min(...codes.filter((other) => other >= code))
    delta += (next - code) * (done + 1)
    code = next
    for (const other of codes) {
      if (other < code) delta++
      if (other !== code) continue
      result += digits(delta, bias)
      bias = adapt(delta, done + 1, done === basic.length)
      delta = 0
      done++
    }
    delta++
    code++
  }
  return result
}

/** A number in digits of growing weight. */
function digits(delta: number, bias: number): string {
  let text = ''
  let rest = delta
  for (let k = base; ; k += base) {
    const threshold = thresholdOf(k, bias)
    if (rest < threshold) return text + letter(rest)
    const over = rest - threshold
    text += letter(threshold + (over % (base - threshold)))
    rest = Math.floor(over / (base - threshold))
  }
}

function thresholdOf(k: number, bias: number): number {
  return Math.min(Math.max(k - bias, tMin), tMax)
}

/** §6.1 */
function adapt(delta: number, count: number, isFirst: boolean): number {
  let rest = Math.floor(delta / (isFirst ? damp : 2))
  rest += Math.floor(rest / count)
  let k = 0
  for (; rest > ((base - tMin) * tMax) / 2; k += base) rest = Math.floor(rest / (base - tMin))
  return k + Math.floor(((base - tMin + 1) * rest) / (rest + skew))
}

/** a to z are 0 to 25, 0 to 9 are 26 to 35. */
function letter(digit: number): string {
  return String.fromCharCode(digit < 26 ? digit + 0x61 : digit - 26 + 0x30)
}

function digitOf(char: number): number {
  if (char >= 0x61 && char <= 0x7a) return char - 0x61
  return char >= 0x30 && char <= 0x39 ? char - 0x30 + 26 : -1
}
