/** The options of extauth.yml as tables of the manual. */
import { z } from 'zod'
import { backendTypes } from '../../auth-script/backends.ts'
import { extauthSchema } from '../../auth-script/config.ts'

const head = '| option | default | what it says |\n| --- | --- | --- |'

/** By heading: `general`, and each type of backend. LDAP has a page of its own. */
export async function optionTables(): Promise<Readonly<Record<string, string>>> {
  const { shape } = await extauthSchema()
  const { hosts, backends, ...rest } = shape
  const tables: Record<string, string> = { general: table({ ...rest, hosts, backends }) }
  for (const [type, load] of Object.entries(backendTypes)) {
    if (type !== 'ldap') tables[type] = table((await load()).options)
  }
  return tables
}

function table(options: Readonly<Record<string, z.ZodType>>): string {
  return [head, ...rows(options, '')].join('\n')
}

function rows(options: Readonly<Record<string, z.ZodType>>, prefix: string): string[] {
  return Object.entries(options).flatMap(([name, option]) => {
    const inner = unwrapped(option)
    const isGroup = inner instanceof z.ZodObject
    const doc = `${option.description ?? inner.description ?? ''}${choices(inner)}`
    const row = `| \`${prefix}${name}\` | ${shownDefault(name, option)} | ${doc} |`
    return [row, ...(isGroup ? rows(inner.shape as Record<string, z.ZodType>, `${prefix}${name}.`) : [])]
  })
}

function choices(schema: z.ZodType): string {
  const of = schema instanceof z.ZodArray ? (schema.element as z.ZodType) : schema
  return of instanceof z.ZodEnum ? `: ${of.options.map((word) => `\`${word}\``).join(' ')}` : ''
}

function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault)
    return unwrapped(schema.unwrap() as z.ZodType)
  return schema
}

function shownDefault(name: string, option: z.ZodType): string {
  const parsed = option.safeParse(undefined)
  if (!parsed.success) return 'must be given'
  if (parsed.data === undefined) return ''
  if (typeof parsed.data !== 'number') return `\`${String(parsed.data)}\``
  if (name === 'mode') return `'0${parsed.data.toString(8)}'`
  const isTime = /^since_|unreachable|_interval$/.test(name)
  return isTime ? inWords(parsed.data) : String(parsed.data)
}

function inWords(ms: number): string {
  if (ms % 86_400_000 === 0) return `${ms / 86_400_000} days`
  return ms % 3_600_000 === 0 ? `${ms / 3_600_000} hour` : `${ms / 1000} s`
}
