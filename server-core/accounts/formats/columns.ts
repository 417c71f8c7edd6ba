/**
 * Passwords that other servers spread over several columns, brought into one credential of ours: for migrations, and for backends
 * that read those databases. SCRAM keys become values of scram.ts, so that SCRAM logins go on working. What cannot be used
 * throws UnusableCredential.
 *
 * ejabberd and MongooseIM prepare passwords with resourceprep (RFC 6122 appendix B) where SCRAM says SASLprep; verification
 * tries both.
 */
import type { Credential } from '../../storage/storage.ts'
import { readBase64, readHex } from './fields.ts'
import { UnusableCredential } from './format.ts'
import { plain } from './plain.ts'
import { formatScramKeys, type ScramHash, type ScramKeys, scramFormatName, scramKeyLength } from './scram.ts'
import { checkedKeys, mongooseimKeys } from './scram-texts.ts'

export type StoredPassword = Pick<Credential, 'format' | 'value'>

/** A row of ejabberd's `users`; `type` exists since 25.03. */
export interface EjabberdRow {
  readonly password: string
  readonly serverkey: string
  readonly salt: string
  /** 0: the password is plain. */
  readonly iterationcount: number
  /** 0 as before there were types, 1 plain, 2 SHA-1, 3 SHA-256, 4 SHA-512. */
  readonly type?: number
}

export function ejabberdPassword(row: EjabberdRow): StoredPassword {
  const { type = 0, iterationcount } = row
  if (type === 1 || (type === 0 && iterationcount === 0)) return plainPassword(row.password)
  // Without a type the hash is named before the key, SHA-1 by no name.
  const [, word, key] = /^(?:(sha|sha1|sha256|sha512):)?(.*)$/s.exec(row.password) ?? []
  const hash = type === 0 ? ejabberdHashes[word ?? 'sha'] : ejabberdTypes[type]
  if (hash === undefined) throw new UnusableCredential(`ejabberd's password type ${type} is not known`)
  return scramPassword({
    hash,
    iterations: iterationcount,
    salt: readBase64(row.salt),
    storedKey: readBase64(type === 0 ? key : row.password),
    serverKey: readBase64(row.serverkey),
  })
}

const ejabberdHashes: Readonly<Record<string, ScramHash>> = {
  sha: 'SHA-1',
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha512: 'SHA-512',
}

const ejabberdTypes: Readonly<Record<number, ScramHash>> = { 2: 'SHA-1', 3: 'SHA-256', 4: 'SHA-512' }

/** A row of MongooseIM's `users`: the password is plain where there are no details. */
export function mongooseimPasswords(row: {
  readonly password: string
  readonly pass_details: string | null
}): StoredPassword[] {
  if (row.pass_details === null || row.pass_details === '') return [plainPassword(row.password)]
  return mongooseimKeys(row.pass_details).map(scramPassword)
}

/** What Prosody keeps in `accounts`; the keys are hexadecimal, the salt is text, the hash follows from the length. */
export type ProsodyAccount =
  | { readonly password: string }
  | {
      readonly stored_key: string
      readonly server_key: string
      readonly salt: string
      /** May be a Lua float, `10000.0`. */
      readonly iteration_count: number
    }

export function prosodyPassword(account: ProsodyAccount): StoredPassword {
  if ('password' in account) return plainPassword(account.password)
  const storedKey = readHex(account.stored_key)
  const hash = (['SHA-1', 'SHA-256', 'SHA-512'] as const).find(
    (one) => scramKeyLength(one) === storedKey.length,
  )
  if (hash === undefined) throw new UnusableCredential('a key of no known length')
  return scramPassword({
    hash,
    iterations: account.iteration_count,
    salt: Buffer.from(account.salt),
    storedKey,
    serverKey: readHex(account.server_key),
  })
}

/** Openfire's columns of `ofUser` (SHA-1) and `ofUserScram`. */
export interface OpenfireScramRow {
  /** `SCRAM-SHA-256`; absent in `ofUser`. */
  readonly mechanism?: string
  readonly storedKey: string
  readonly serverKey: string
  readonly salt: string
  readonly iterations: number
}

export function openfirePassword(row: OpenfireScramRow): StoredPassword {
  return scramPassword({
    hash: mechanismHash(row.mechanism ?? 'SCRAM-SHA-1'),
    iterations: row.iterations,
    salt: readBase64(row.salt),
    storedKey: readBase64(row.storedKey),
    serverKey: readBase64(row.serverKey),
  })
}

/** `scram-credentials` of XEP-0227 §4.2. */
export interface ScramCredentials {
  readonly mechanism: string
  readonly iterations: number
  readonly salt: string
  readonly storedKey: string
  readonly serverKey: string
}

/** ejabberd's exports are base64 of base64, which shows in the length of the keys. */
export function xep0227Password(credentials: ScramCredentials): StoredPassword {
  const hash = mechanismHash(credentials.mechanism)
  const storedKey = readBase64(credentials.storedKey)
  const isTwice = storedKey.length !== scramKeyLength(hash)
  const read = (text: string) =>
    isTwice ? readBase64(readBase64(text).toString('latin1')) : readBase64(text)
  return scramPassword({
    hash,
    iterations: credentials.iterations,
    salt: read(credentials.salt),
    storedKey: read(credentials.storedKey),
    serverKey: read(credentials.serverKey),
  })
}

function mechanismHash(mechanism: string): ScramHash {
  const [, hash] = /^SCRAM-(SHA-1|SHA-256|SHA-512)$/i.exec(mechanism) ?? []
  if (hash === undefined) throw new UnusableCredential('SCRAM keys of an unknown hash')
  return hash.toUpperCase() as ScramHash
}

function scramPassword(keys: ScramKeys): StoredPassword {
  const value = formatScramKeys(checkedKeys(keys))
  return { format: scramFormatName(keys.hash), value }
}

function plainPassword(password: string): StoredPassword {
  if (password === '') throw new UnusableCredential('the account has no password')
  return { format: plain.name, value: `{PLAIN}${password}` }
}
