/** docs/configuration.md has every option as the schema says it: `npx vitest run test/config/manual.test.ts -u` makes it anew. */
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ldapFields } from '../../server-core/auth/ldap/options.ts'
import { configSchema, hostOptionNames } from '../../server-core/config/schema.ts'
import { root } from '../harness/paths.ts'

type Shape = Readonly<Record<string, z.ZodType>>

/** What is written where nothing is said; times are milliseconds inside. */
function defaultOf(name: string, schema: z.ZodType): string {
  if (name === 'listen') return 'see below'
  if (name === 'control') return 'one, see below'
  const { success, data } = schema.safeParse(undefined)
  if (!success) return 'must be given'
  if (data === undefined) return ''
  const isTime = /timeout|interval|delay/.test(name) && typeof data === 'number'
  if (isTime) return data % 60_000 === 0 && data > 0 ? `${data / 60_000} min` : `${data / 1_000} s`
  if (name === 'mode') return `'0${Number(data).toString(8)}'`
  return `\`${JSON.stringify(data)}\``.replaceAll('"', '')
}

function table(shape: Shape, names = Object.keys(shape)): string {
  const rows = names.map((name) => {
    const schema = shape[name] as z.ZodType
    return `| \`${name}\` | ${defaultOf(name, schema)} | ${descriptionOf(name, schema)} |`
  })
  return ['| option | default | |', '| --- | --- | --- |', ...rows].join('\n')
}

function descriptionOf(name: string, schema: z.ZodType): string {
  const said =
    schema.description ?? ('unwrap' in schema ? (schema.unwrap as () => z.ZodType)().description : undefined)
  expect(said, `${name} says what it is`).toBeTruthy()
  return said ?? ''
}

/** The entries of a list. */
function entry(schema: z.ZodType | undefined): Shape {
  const list = schema instanceof z.ZodDefault ? schema.unwrap() : schema
  if (list instanceof z.ZodArray && list.element instanceof z.ZodObject) return list.element.shape as Shape
  throw new Error('not a list of objects')
}

test('the page has every option, as it is', async () => {
  const { shape } = configSchema
  const ldap = Object.keys(ldapFields)
  const own = hostOptionNames.filter((name) => !ldap.includes(name))
  const server = Object.keys(shape).filter((name) => !(hostOptionNames as readonly string[]).includes(name))
  const page = `# Configuration

One YAML file, \`gatehouse.yml\`: \`--config FILE\`, else \`$GATEHOUSE_CONFIG\`, else the one in the working folder; without any, all
defaults. Names are ejabberd's where ejabberd has the option. Times are seconds or text such as \`5 minutes\`, sizes are bytes or text
such as \`20 MiB\`; paths are meant from the folder of the file. \`gatehouse check [FILE]\` finds every mistake and starts nothing;
\`gatehousectl reload_config\` puts a changed file in place while the server runs, and says what of it needs a restart.

## The server

${table(shape, server)}

## Hosts

These hold for all hosts, and under \`host_config: NAME:\` for one; there may also be \`modules\`, besides those of all hosts.
[login.md](login.md) explains them.

${table(shape, own)}

The options of a directory, ${ldap.map((name) => `\`${name}\``).join(', ')}, are those of [ldap.md](ldap.md).

## listen

A list, one entry for each port. Without it the server listens on loopback only, on 5222 (STARTTLS) and 5223 (direct TLS).

${table(entry(shape.listen))}

## control

A list of UNIX sockets for \`gatehousectl\`. [commands.md](commands.md) has the commands.

${table(entry(shape.control))}
`
  await expect(page).toMatchFileSnapshot(`${root}/docs/configuration.md`)
})
