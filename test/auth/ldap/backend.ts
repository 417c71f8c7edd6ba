/** A backend from options as they stand in a file, and what it logged. */
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { z } from 'zod'
import type { LdapOptions } from '../../../server-core/auth/ldap/options.ts'
import { type LdapBackend, ldapBackend, ldapFields } from '../../../server-core/auth/ldap.ts'

export interface TestBackend extends LdapBackend {
  readonly log: readonly LogLine[]
  /** checkPassword with text, for a host called example.org. */
  login(
    user: string,
    password: string | Buffer,
    signal?: AbortSignal,
  ): ReturnType<LdapBackend['checkPassword']>
  exists(user: string): Promise<boolean>
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

export const host = 'example.org'
export const never = new AbortController().signal

export function parseOptions(options: Readonly<Record<string, unknown>>): LdapOptions {
  return z.strictObject(ldapFields).parse(options)
}

export function testBackend(options: Readonly<Record<string, unknown>>): TestBackend {
  const log: LogLine[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      log.push(JSON.parse(chunk.toString()) as LogLine)
      done()
    },
  })
  const backend = ldapBackend(parseOptions(options), pino({ level: 'trace', base: null }, stream))
  return Object.assign(backend, {
    log,
    login: (user: string, password: string | Buffer, signal = never) =>
      backend.checkPassword(user, host, Buffer.from(password as string), signal),
    exists: (user: string) => backend.accountExists(user, host, never),
  })
}
