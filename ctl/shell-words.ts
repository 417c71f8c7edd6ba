/** A line → words, as a POSIX shell cuts them: blanks separate, quotes and backslashes keep together, `#` begins a comment. */
import { UsageError } from './words.ts'

export function shellWords(line: string): string[] {
  const words: string[] = []
  let word: string | undefined
  let quote: '"' | "'" | undefined
  const chars = [...line]
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? ''
    const next = chars[i + 1]
    if (quote === "'") {
      if (char === "'") quote = undefined
      else word = (word ?? '') + char
    } else if (char === '\\' && next !== undefined && (quote === undefined || '"\\$`'.includes(next))) {
      word = (word ?? '') + next
      i++
    } else if (quote === '"') {
      if (char === '"') quote = undefined
      else word = (word ?? '') + char
    } else if (char === '"' || char === "'") {
      quote = char
      word ??= ''
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (char === '#' && word === undefined) {
      break
    } else {
      word = (word ?? '') + char
    }
  }
  if (quote !== undefined) throw new UsageError(`a ${quote} is not closed`)
  if (word !== undefined) words.push(word)
  return words
}
