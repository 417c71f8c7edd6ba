/** The arguments that commands share: their documentation, what completion offers, which of them are secret. */
import { z } from 'zod'
import { isXmlText } from '../../xml/serialize.ts'
import type { ArgumentMeta } from '../command-registry.ts'

function text(description: string, meta: ArgumentMeta = {}) {
  return z.string().meta({ description, ...meta })
}

/** What may end in a stanza, sooner or later: so nothing that no stanza can hold. */
export function word(description: string, choices?: readonly string[]) {
  return z
    .string()
    .refine(isXmlText, 'has a character that no stanza can hold, such as a control character')
    .meta({ description, ...(choices ? { choices } : {}) })
}

/** Texts that may be left out, each given as `--name VALUE`; the command gets them joined with `;`. */
export function option(description: string) {
  return text(description, { option: true }).optional()
}

/** Elements as XML: the command itself says what is wrong with them. */
export function xml(description: string) {
  return text(description)
}

export function user(description = 'name of the account, without the host') {
  return text(description, { names: 'user' })
}

/** One that is not there yet: nothing is known that it could be. */
export function newUser() {
  return text('name of the new account')
}

export function host(description = 'host of the account') {
  return text(description, { names: 'host' })
}

export function resource(description = 'name of the connected resource') {
  return text(description, { names: 'resource' })
}

export function secret(description: string) {
  return text(description, { secret: true })
}

export function newSecret(description: string) {
  return text(description, { secret: true, isNew: true })
}

export function integer(description: string) {
  return z.int().meta({ description })
}

/** A file that the caller's side writes; the server never opens it. */
export function newFile(description: string) {
  return text(description, { names: 'new-file' })
}

/** A file of the server's: the caller's side makes the path absolute. For commands of the owner's only. */
export function serverFile(description: string) {
  return text(description, { names: 'server-file' })
}

/** A file of the caller's: the command line opens it, the command reads its text portion by portion. */
export function file(description: string) {
  const meta: ArgumentMeta = { names: 'file' }
  return z
    .custom<AsyncIterable<string>>((value) => typeof value === 'object' && value !== null, 'must be a file')
    .meta({ description, ...meta })
}
