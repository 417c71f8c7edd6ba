/** One password against stored credentials, and new credentials of a password, over the table of formats. */

import type { Credential } from '../storage/storage.ts'
import { resourceprep, saslprep } from '../xmpp/stringprep.ts'
import { textOf } from '../xmpp/utf8.ts'
import { type PasswordFormat, UnusableCredential } from './formats/format.ts'
import { formatByName } from './formats/index.ts'
import { formatScramKeys, scramFormatName, scramIterations } from './formats/scram.ts'

/** What a new password is kept as. */
export const passwordFormats = {
  bcrypt: ['bcrypt'],
  plain: ['plain'],
  scram: [scramFormatName('SHA-256'), scramFormatName('SHA-1')],
} as const satisfies Record<string, readonly string[]>

export type NewPasswordFormat = keyof typeof passwordFormats

/** Values of nobody's password. */
const nobodys: Readonly<Record<NewPasswordFormat, Pick<Credential, 'format' | 'value'>>> = {
  bcrypt: { format: 'bcrypt', value: `$2b$12$${'.'.repeat(53)}` },
  plain: { format: 'plain', value: '{PLAIN}' },
  scram: {
    format: scramFormatName('SHA-256'),
    value: formatScramKeys({
      hash: 'SHA-256',
      iterations: scramIterations['SHA-256'],
      salt: Buffer.alloc(16),
      storedKey: Buffer.alloc(32),
      serverKey: Buffer.alloc(32),
    }),
  },
}

/** In bytes; longer ones are nobody's password. */
export const maxPasswordLength = 4096

/** Throws UnusableCredential when the credential can never be verified. */
export async function verifyCredential(
  credential: Pick<Credential, 'format' | 'value'>,
  password: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  const format = formatByName(credential.format)
  if (format === undefined) throw new UnusableCredential(`there is no format ${credential.format}`)
  for (const candidate of candidates(password, format.of)) {
    if (await format.verify(credential.value, candidate, signal)) return true
  }
  return false
}

/** New credentials of a password; undefined when it cannot be kept so, as it has no prepared form. */
export async function makeCredentials(
  kind: NewPasswordFormat,
  password: Buffer,
  label: string,
  signal: AbortSignal,
): Promise<readonly Credential[] | undefined> {
  const made: Credential[] = []
  for (const format of newFormats(kind)) {
    const bytes = preparedPassword(password) ?? (format.of === 'bytes' ? password : undefined)
    if (bytes === undefined) return undefined
    const changed = Math.floor(Date.now() / 1000)
    made.push({ label, format: format.name, value: await format.make(bytes, signal), changed })
  }
  return made
}

/** Takes the time of a check for an account that is not there; its answer means nothing. */
export async function verifyNobody(
  kind: NewPasswordFormat,
  password: Buffer,
  signal: AbortSignal,
): Promise<void> {
  await verifyCredential(nobodys[kind], password, signal)
}

/** Whether these credentials are what `makeCredentials` would make today: the same formats, none weaker. */
export function areCurrent(kind: NewPasswordFormat, credentials: readonly Credential[]): boolean {
  const wanted: readonly string[] = passwordFormats[kind]
  return (
    credentials.length === wanted.length &&
    credentials.every((own) => wanted.includes(own.format) && isCurrent(own))
  )
}

function isCurrent({ format, value }: Credential): boolean {
  try {
    return formatByName(format)?.isCurrent?.(value) ?? true
  } catch (error) {
    if (error instanceof UnusableCredential) return false
    throw error
  }
}

/** The password after SASLprep (RFC 4013); undefined when it is no UTF-8, or holds what must not be in a password. */
export function preparedPassword(password: Buffer): Buffer | undefined {
  const text = textOf(password)
  const prepared = text === undefined ? undefined : saslprep(text)
  return prepared === undefined || prepared === '' ? undefined : Buffer.from(prepared)
}

/**
 * The byte strings that the stored value may have been made of. Hashes were made of what was typed or of its prepared form;
 * SCRAM keys of the SASLprep'd form (RFC 5802 §2.2), or of the resourceprep'd one, which is ejabberd's way.
 */
function candidates(password: Buffer, of: PasswordFormat['of']): Buffer[] {
  if (password.every((byte) => byte >= 0x20 && byte < 0x7f)) return [password]
  const text = textOf(password)
  const prepared = text === undefined ? [] : [saslprep(text), resourceprep(text)]
  const forms = prepared.flatMap((form) => (form === undefined ? [] : [Buffer.from(form)]))
  const all = of === 'bytes' ? [password, ...forms] : [...forms, password]
  return all.filter((form, index) => all.findIndex((other) => other.equals(form)) === index)
}

function newFormats(kind: NewPasswordFormat): (PasswordFormat & Required<Pick<PasswordFormat, 'make'>>)[] {
  return passwordFormats[kind].map((name) => {
    const format = formatByName(name)
    if (format?.make === undefined)
      throw new Error(`${name} is not in the table of formats, or cannot be made`)
    return { ...format, make: format.make }
  })
}
