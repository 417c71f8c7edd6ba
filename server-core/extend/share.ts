/** Which of several equal ones serves a key: always the same one, as long as there are as many. */

/** 0 … n−1, by the text alone. */
export function shareOf(key: string, n: number): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0
  return hash % n
}
