/**
 * The vocabulary of options: every option of the server, a module, a service, a command says its type, its documentation,
 * its default and its check once, as a schema made here. Times are given in seconds or as '5 minutes' and become
 * milliseconds; sizes are bytes or '20 MiB' and become bytes.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { prepareHost } from '../xmpp/jid.ts'

export type Fields = Readonly<Record<string, z.ZodType>>
export type Values<F extends Fields> = { readonly [K in keyof F]: z.output<F[K]> }

/** Whether something is a schema of this vocabulary's library, whichever copy of it has made it. */
export function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '_zod' in value && 'safeParse' in value
}

const timeUnits: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  s: 1_000,
  sec: 1_000,
  second: 1_000,
  min: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
}

const sizeUnits: Readonly<Record<string, number>> = {
  b: 1,
  byte: 1,
  kib: 1_024,
  kb: 1_024,
  mib: 1_048_576,
  mb: 1_048_576,
  gib: 1_073_741_824,
  gb: 1_073_741_824,
}

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim())
  if (!match) return undefined
  const word = (match[2] ?? '').toLowerCase()
  const unit = units[word] ?? units[word.replace(/s$/, '')]
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit)
}

/** A time span: whole or decimal seconds, or a number with a unit; milliseconds. 'infinity' where it is allowed. */
export function duration(options: { readonly min?: number; readonly infinity?: boolean } = {}) {
  return z.union([z.number(), z.string()]).transform((value, context) => {
    if (value === 'infinity' && options.infinity) return Number.POSITIVE_INFINITY
    const ms = typeof value === 'number' ? Math.round(value * 1_000) : withUnit(value, timeUnits)
    if (ms === undefined || !Number.isFinite(ms) || ms < (options.min ?? 0)) {
      context.addIssue({
        code: 'custom',
        message: `must be a time such as 15 (seconds), '5 minutes'${options.infinity ? " or 'infinity'" : ''}${
          options.min ? `, at least ${options.min / 1_000} seconds` : ''
        }`,
      })
      return z.NEVER
    }
    return ms
  })
}

/** An amount of data: bytes, or a number with a unit; bytes. */
export function size(options: { readonly min?: number; readonly max?: number } = {}) {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options
  return z.union([z.number(), z.string()]).transform((value, context) => {
    const bytes = typeof value === 'number' ? value : withUnit(value, sizeUnits)
    if (bytes === undefined || !Number.isInteger(bytes) || bytes < min || bytes > max) {
      const bounds = `${min > 0 ? `, at least ${min}` : ''}${options.max === undefined ? '' : `, at most ${max}`}`
      context.addIssue({
        code: 'custom',
        message: `must be a size such as 65536 (bytes) or '20 MiB'${bounds}`,
      })
      return z.NEVER
    }
    return bytes
  })
}

/** A whole number from min to max. */
export function count(min = 0, max = Number.MAX_SAFE_INTEGER) {
  return z.int().min(min).max(max)
}

/** Permissions of a file by their octal digits, 0660 or '0660'; a number afterwards. */
export function fileMode() {
  return z.union([z.string(), z.number()]).transform((value, context) => {
    if (/^0?[0-7]{3}$/.test(String(value))) return Number.parseInt(String(value), 8)
    context.addIssue({ code: 'custom', message: "must be three octal digits, for example '0660'" })
    return z.NEVER
  })
}

/** A domain name, prepared (RFC 7622 §3.2). */
export function hostName() {
  return z.string().transform((value, context) => {
    const host = prepareHost(value)
    if (host !== undefined) return host
    context.addIssue({ code: 'custom', message: `'${value}' is not a host name` })
    return z.NEVER
  })
}

/** An IP address, or a network such as 192.0.2.0/24. */
export function network() {
  return z.string().refine(
    (text) => {
      const [, address = '', prefix = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
      return isIP(address) !== 0 && Number(prefix) <= (isIP(address) === 6 ? 128 : 32)
    },
    { message: "must be an IP address or a network, such as '192.0.2.0/24'" },
  )
}

/** A value, or a list of them; always a list afterwards. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.union([z.array(item), item.transform((value) => [value])])
}
