/** The texts of a roster item, whoever writes them: a client, a command, a file. */
import { isXmlText } from '../xml/serialize.ts'

/** Of a name and of a group, in bytes (RFC 6121 §2.1.2 leaves the limit to the server). */
const maxTextBytes = 1_023

/** What is wrong with the name of a contact or one of its groups; undefined when nothing is. */
export function rosterTextProblem(name: string, groups: readonly string[]): string | undefined {
  return problem('name', name) ?? groups.map((group) => problem('group', group)).find((text) => text)
}

function problem(what: string, text: string): string | undefined {
  if (Buffer.byteLength(text) > maxTextBytes) return `the ${what} is longer than ${maxTextBytes} bytes`
  return isXmlText(text) ? undefined : `the ${what} has a character that no stanza can hold`
}
