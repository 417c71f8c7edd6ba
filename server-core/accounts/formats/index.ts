/** The table of formats that passwords can be kept in. To add one: a file in this folder and a line here. */
import { bcrypt } from './bcrypt.ts'
import type { PasswordFormat } from './format.ts'
import { plain } from './plain.ts'
import { scramSha1, scramSha256, scramSha512 } from './scram.ts'

export const formats: readonly PasswordFormat[] = [bcrypt, plain, scramSha1, scramSha256, scramSha512]

const byName = new Map(formats.map((format) => [format.name, format]))

export function formatByName(name: string): PasswordFormat | undefined {
  return byName.get(name)
}

/** The format of a value from elsewhere, by how it begins; undefined when nobody knows it: then it is nobody's password. */
export function recogniseFormat(value: string): PasswordFormat | undefined {
  return formats.find((format) => format.prefixes.some((prefix) => value.startsWith(prefix)))
}
