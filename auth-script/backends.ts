/**
 * The table of what a backend in extauth.yml can be (`type`). To add one: a file in server-core/auth and a line here. What a
 * type needs is loaded when it is used.
 */
import type { z } from 'zod'
import type { AuthBackend } from '../server-core/auth/backend.ts'
import type { Logger } from '../server-core/log.ts'

export interface BackendType {
  readonly options: Readonly<Record<string, z.ZodType>>
  /** Throws an Error with a sentence for the administrator. `options` are as the schema gives them, paths absolute. */
  open(options: never, log: Logger): AuthBackend
  /** What single options do not show, in sentences that begin with the option's name. */
  complaints?(options: never): readonly string[]
}

export const backendTypes: Readonly<Record<string, () => Promise<BackendType>>> = {
  command: async () => {
    const { commandBackend, commandOptions } = await import('../server-core/auth/command.ts')
    return { options: commandOptions, open: commandBackend }
  },
  file: async () => {
    const { fileBackend, fileOptions } = await import('../server-core/auth/file.ts')
    return { options: fileOptions, open: fileBackend }
  },
  http: async () => {
    const { httpBackend, httpOptions } = await import('../server-core/auth/http.ts')
    return { options: httpOptions, open: httpBackend }
  },
  ldap: async () => {
    const { ldapBackend, ldapComplaints, ldapFields } = await import('../server-core/auth/ldap.ts')
    return { options: ldapFields, open: ldapBackend, complaints: ldapComplaints }
  },
  'prosody-folder': async () => {
    const { prosodyFolderBackend, prosodyFolderOptions } = await import(
      '../server-core/auth/prosody-folder.ts'
    )
    return { options: prosodyFolderOptions, open: prosodyFolderBackend }
  },
  sqlite: async () => {
    const [{ SqliteBackend }, { sqliteOptions }] = await Promise.all([
      import('./sqlite.ts'),
      import('./sqlite-options.ts'),
    ])
    return { options: sqliteOptions, open: (options, log) => new SqliteBackend(options, log) }
  },
  'sqlite-table': async () => {
    const { sqliteTableBackend, sqliteTableOptions } = await import('../server-core/auth/sqlite-table.ts')
    return { options: sqliteTableOptions, open: sqliteTableBackend }
  },
}
