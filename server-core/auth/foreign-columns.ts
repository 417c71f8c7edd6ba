/** Rows of other programs' tables that spread one password over several columns, as accounts/formats/columns.ts understands them. */
import { z } from 'zod'
import {
  ejabberdPassword,
  mongooseimPasswords,
  openfirePassword,
  prosodyPassword,
} from '../accounts/formats/columns.ts'
import { UnusableCredential } from '../accounts/formats/format.ts'
import { discourseValue } from '../accounts/formats/pbkdf2.ts'
import { BackendUnavailable } from './backend.ts'
import type { StoredPassword } from './stored-passwords.ts'

/** NULL is as good as nothing. */
const text = z
  .string()
  .nullable()
  .transform((value) => value ?? '')
/** Some tables keep numbers as text. */
const number = z.coerce.number()

interface Columns {
  /** Throws UnusableCredential, or ZodError when a column is missing. */
  read(row: unknown): readonly StoredPassword[]
}

function columns<T>(schema: z.ZodType<T>, read: (row: T) => readonly StoredPassword[]): Columns {
  return { read: (row) => read(schema.parse(row)) }
}

const sources = {
  discourse: columns(
    z.object({ password_algorithm: text, password_salt: text, password_hash: text }),
    (row) => [{ format: 'pbkdf2', value: discourseValue(row) }],
  ),
  ejabberd: columns(
    z.object({
      password: text,
      serverkey: text,
      salt: text,
      iterationcount: number,
      type: number.default(0),
    }),
    (row) => [ejabberdPassword(row)],
  ),
  mongooseim: columns(z.object({ password: text, pass_details: text }), mongooseimPasswords),
  openfire: columns(
    z.object({
      plainPassword: text.default(''),
      mechanism: text.default('SCRAM-SHA-1'),
      storedKey: text,
      serverKey: text,
      salt: text,
      iterations: number,
    }),
    ({ plainPassword, ...keys }) => [
      plainPassword === '' ? openfirePassword(keys) : prosodyPassword({ password: plainPassword }),
    ],
  ),
  prosody: columns(
    z.union([
      z.object({ stored_key: z.string(), server_key: z.string(), salt: z.string(), iteration_count: number }),
      z.object({ password: z.string() }),
    ]),
    (row) => [prosodyPassword(row)],
  ),
} as const satisfies Record<string, Columns>

export type ForeignColumns = keyof typeof sources

export const foreignColumns = Object.keys(sources) as [ForeignColumns, ...ForeignColumns[]]

/** Throws UnusableCredential, or BackendUnavailable when the row does not have these columns. */
export function passwordsOf(source: ForeignColumns, row: unknown): readonly StoredPassword[] {
  try {
    return sources[source].read(row)
  } catch (error) {
    if (error instanceof UnusableCredential || !(error instanceof z.ZodError)) throw error
    const missing = [...new Set(error.issues.map(({ path }) => path.join('.')).filter((path) => path !== ''))]
    throw new BackendUnavailable(
      `the query "password" gives no columns of ${source}${missing.length > 0 ? `: ${missing.join(', ')}` : ''}`,
    )
  }
}
