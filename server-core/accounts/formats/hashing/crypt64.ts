/** crypt(3)'s base64: `./0-9A-Za-z`, the least significant six bits first, no padding. */

const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

export function crypt64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 3) {
    const group = bytes.subarray(at, at + 3)
    let bits = (group[0] ?? 0) | ((group[1] ?? 0) << 8) | ((group[2] ?? 0) << 16)
    for (let digit = 0; digit <= group.length; digit++) {
      text += alphabet.charAt(bits & 63)
      bits >>= 6
    }
  }
  return text
}

/** The value of one digit, -1 when it is none. */
export function crypt64Digit(digit: string): number {
  return digit.length === 1 ? alphabet.indexOf(digit) : -1
}
