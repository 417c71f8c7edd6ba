/** extauth.yml, or the part of a gatehouse.yml that is about accounts: read, checked whole, and made a plan. */
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import type { AuthBackend } from '../server-core/auth/backend.ts'
import { type Complaint, formatComplaint } from '../server-core/config/complaint.ts'
import { count, duration, hostName } from '../server-core/config/fields.ts'
import { inOrder, loadYaml } from '../server-core/config/load-yaml.ts'
import { configSchema, hostConfig } from '../server-core/config/schema.ts'
import type { Logger } from '../server-core/log.ts'
import { type BackendType, backendTypes } from './backends.ts'
import { allOperations, hostKindComplaint, hostKindNames } from './host-kind.ts'
import { brokenBackend, type Plan } from './plan.ts'
import { SqliteBackend, type SqliteOptions } from './sqlite.ts'

/** Its message is all complaints, one a line. */
export class ConfigMistakes extends Error {
  override readonly name = 'ConfigMistakes'
  constructor(complaints: readonly Complaint[]) {
    super(complaints.map(formatComplaint).join('\n'))
  }
}

const name = z.string().regex(/^[a-z0-9_-]+$/i, 'must be a word')

function schemaOf(types: ReadonlyMap<string, BackendType>) {
  const variants = [...types].map(([type, { options }]) =>
    z.strictObject({ type: z.literal(type), ...options }),
  )
  const backend = z.discriminatedUnion('type', variants as [(typeof variants)[0], ...typeof variants])
  return z.strictObject({
    host_kind: z.enum(hostKindNames).optional().describe('the server that runs this program'),
    failure_reply: z
      .enum(['deny', 'error-frame'])
      .optional()
      .describe('the answer when it cannot be found out'),
    deadline: duration({ min: 100 }).optional().describe('how long a request may take, from its arrival'),
    operations: z.array(z.enum(allOperations)).optional().describe('what may be asked; all when absent'),
    ban_prefix: z
      .boolean()
      .default(false)
      .describe("close the account when ejabberd's ban_account sets its password"),
    throttle: count(0, 250)
      .default(250)
      .describe('how long a wrong answer may be held after ten, in milliseconds'),
    hosts: z
      .record(hostName(), z.strictObject({ chain: z.array(name).min(1) }))
      .optional()
      .describe('served hosts, each with its backends in order; absent: every host, with all backends'),
    backends: z.record(name, backend).refine((all) => Object.keys(all).length > 0, 'must have one at least'),
  })
}

/** Rejects with ConfigMistakes. */
export async function loadExtauthConfig(file: string, log: Logger): Promise<Plan> {
  const types = new Map<string, BackendType>()
  for (const [type, load] of Object.entries(backendTypes)) types.set(type, await load())
  const loaded = await loadYaml(schemaOf(types), file)
  if (!loaded.ok) throw new ConfigMistakes(loaded.complaints)
  const { value, source } = loaded
  const complaints: Complaint[] = []
  const complain = (path: readonly (string | number)[], message: string) =>
    complaints.push(source.complaint({ path, at: 'value', message }))

  const together = hostKindComplaint(value.host_kind ?? 'ejabberd', value.failure_reply)
  if (together !== undefined) complain(['failure_reply'], together)
  for (const [host, { chain }] of Object.entries(value.hosts ?? {})) {
    for (const [index, link] of chain.entries()) {
      if (Object.hasOwn(value.backends, link)) continue
      complain(
        ['hosts', host, 'chain', index],
        `'${link}' is not in backends (${Object.keys(value.backends).join(', ')})`,
      )
    }
  }
  for (const [backend, options] of Object.entries(value.backends)) {
    const found = types.get(options.type)?.complaints?.(options as never) ?? []
    for (const message of found) complain(['backends', backend], message)
  }
  if (complaints.length > 0) throw new ConfigMistakes(inOrder(complaints))

  const base = dirname(resolve(file))
  return {
    hostKind: value.host_kind,
    failureReply: value.failure_reply,
    deadline: value.deadline,
    operations: value.operations,
    banPrefix: value.ban_prefix,
    throttle: value.throttle,
    hosts: value.hosts && new Map(Object.entries(value.hosts).map(([host, { chain }]) => [host, chain])),
    backends: Object.entries(value.backends).map(([backend, written]) => {
      const options = absolute(written, base)
      const paths = Object.entries(options).filter(([key]) => isPath(key))
      return {
        name: backend,
        type: written.type,
        paths: paths.flatMap(([, path]) => (typeof path === 'string' ? [path] : [])),
        backend: opened(backend, types.get(written.type), options, log),
      }
    }),
  }
}

/** A backend that cannot be made now (a file is missing) takes only its own accounts down. */
function opened(backend: string, type: BackendType | undefined, options: object, log: Logger): AuthBackend {
  try {
    if (type === undefined) throw new Error('a type that is not known')
    return type.open(options as never, log.child({ backend }))
  } catch (error) {
    const reason = `the backend ${backend} cannot be used: ${(error as Error).message}`
    log.error(reason)
    return brokenBackend(reason)
  }
}

/** Paths in a file are meant from the folder that the file is in. */
function absolute(options: Readonly<Record<string, unknown>>, base: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key,
      isPath(key) && typeof value === 'string' ? resolve(base, value) : value,
    ]),
  )
}

function isPath(key: string): boolean {
  return /(^|_)(file|folder|cacertfile|certfile)$/.test(key)
}

/** The accounts of a gatehouse server: its hosts, its database, and its way to keep new passwords. */
export async function loadGatehouseConfig(file: string, log: Logger): Promise<Plan> {
  const loaded = await loadYaml(configSchema, file)
  if (!loaded.ok) throw new ConfigMistakes(loaded.complaints)
  const config = loaded.value
  const database = join(resolve(dirname(file), config.data_dir), 'gatehouse.sqlite')
  const internal = config.hosts.filter((host) => hostConfig(config, host).auth_method.includes('internal'))
  // Hosts that keep passwords in different ways need a backend each, over the same database.
  const formats = new Set(internal.map((host) => hostConfig(config, host).auth_password_format))
  return {
    banPrefix: false,
    throttle: 250,
    hosts: new Map(internal.map((host) => [host, [hostConfig(config, host).auth_password_format]])),
    backends: [...formats].map((format) => {
      const options: SqliteOptions = {
        file: database,
        password_format: format,
        rehash: false,
        must_exist: true,
      }
      return {
        name: format,
        type: 'sqlite',
        paths: [database],
        backend: new SqliteBackend(options, log),
      }
    }),
  }
}
