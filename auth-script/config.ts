/** extauth.yml, or the part of a gatehouse.yml that is about accounts: read, checked whole, and made a plan. */
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import type { AuthBackend } from '../server-core/auth/backend.ts'
import { type Complaint, formatComplaint } from '../server-core/config/complaint.ts'
import { count, duration, hostName } from '../server-core/config/fields.ts'
import { inOrder, loadYaml } from '../server-core/config/load-yaml.ts'
import { configSchema, hostConfig } from '../server-core/config/schema.ts'
import { type Logger, type LogLevel, logLevels } from '../server-core/log.ts'
import { type BackendType, backendTypes } from './backends.ts'
import { cached, type Lifetimes } from './cache.ts'
import { allOperations, deadlineComplaint, hostKindComplaint, hostKindNames } from './host-kind.ts'
import { brokenBackend, type DaemonPlan, type LogPlan, type Plan } from './plan.ts'
import { SqliteBackend, type SqliteOptions } from './sqlite.ts'

/** Its message is all complaints, one a line. */
export class ConfigMistakes extends Error {
  override readonly name = 'ConfigMistakes'
  constructor(complaints: readonly Complaint[]) {
    super(complaints.map(formatComplaint).join('\n'))
  }
}

const name = z.string().regex(/^[a-z0-9_-]+$/i, 'must be a word')

async function allTypes(): Promise<ReadonlyMap<string, BackendType>> {
  const types = new Map<string, BackendType>()
  for (const [type, load] of Object.entries(backendTypes)) types.set(type, await load())
  return types
}

/** What extauth.yml may say. */
export async function extauthSchema(): Promise<ReturnType<typeof schemaOf>> {
  return schemaOf(await allTypes())
}

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
    refused_setpass: z
      .enum(['deny', 'error-frame'])
      .default('deny')
      .describe(
        'the answer to a password change that is refused (ejabberd tells users that a denied one was made)',
      ),
    deadline: duration({ min: 100 }).optional().describe('how long a request may take, from its arrival'),
    operations: z.array(z.enum(allOperations)).optional().describe('what may be asked; all when absent'),
    ban_prefix: z
      .boolean()
      .default(false)
      .describe("close the account when ejabberd's ban_account sets its password"),
    throttle: count(0, 250)
      .default(250)
      .describe('how long a wrong answer may be held after ten, in milliseconds'),
    learn: name
      .optional()
      .describe('backend that a password is written to once another one of the chain has accepted it'),
    cache: cacheOptions.optional().describe('remember passwords that a backend has accepted; absent: never'),
    log: logOptions.optional().describe('the log; flags count more'),
    daemon: daemonOptions.optional().describe('the sockets of gatehouse-extauth daemon'),
    metrics_file: z
      .string()
      .optional()
      .describe("where Prometheus metrics are written every 15 seconds; %p in it is the process's number"),
    hosts: z
      .record(hostName(), z.strictObject({ chain: z.array(name).min(1) }))
      .optional()
      .describe('served hosts, each with its backends in order; absent: every host, with all backends'),
    backends: z
      .record(name, backend)
      .refine((all) => Object.keys(all).length > 0, 'must have one at least')
      .describe('where accounts are: a name for each, its type and the options of that type'),
  })
}

const cacheOptions = z.strictObject({
  since_verification: duration({ min: 1000 })
    .default(3_600_000)
    .describe('how long a password is taken without asking the backend, since the backend accepted it'),
  since_use: duration({ min: 1000 })
    .default(3_600_000)
    .describe('how long it is taken so since it was used last'),
  unreachable: duration()
    .default(604_800_000)
    .describe('how long it is taken since the backend accepted it while the backend cannot be reached'),
  backends: z
    .array(name)
    .optional()
    .describe('the backends that are remembered for; absent: all but those of type sqlite'),
})

type CacheOptions = z.output<typeof cacheOptions>

const logOptions = z.strictObject({
  level: z
    .enum(Object.keys(logLevels) as [LogLevel, ...LogLevel[]])
    .optional()
    .describe('what is logged; info when absent'),
  file: z.string().min(1).optional().describe('file to append to; standard error when absent'),
  format: z.enum(['json', 'plain']).optional().describe('an object a line, or words; json when absent'),
})

/** What the file says about the log, if that much is right in it: complaints about the rest go there. */
export async function peekLogPlan(file: string): Promise<LogPlan | undefined> {
  const loaded = await loadYaml(z.looseObject({ log: logOptions.optional().catch(undefined) }), file)
  return loaded.ok ? logPlanOf(loaded.value.log, dirname(resolve(file))) : undefined
}

function logPlanOf(log: z.output<typeof logOptions> | undefined, base: string): LogPlan | undefined {
  return log && { ...log, file: log.file && resolve(base, log.file) }
}

const loopback = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]):(\d{1,5})$/

const daemonOptions = z.strictObject({
  path: z.string().min(1).optional().describe('socket for relays'),
  line_path: z.string().min(1).optional().describe("socket for Prosody's mod_auth_gatehouse"),
  mode: z
    .string()
    .refine((text) => /^0?[0-7]{3}$/.test(text), "must be permissions in quotes, such as '0660'")
    .default('0600')
    .transform((text) => Number.parseInt(text, 8))
    .describe('permissions of the sockets'),
  group: z.string().min(1).optional().describe('group of the sockets'),
  max_connections: count(1, 100_000).default(1024).describe('connections at once'),
  metrics: z
    .string()
    .refine((text) => loopback.test(text), 'must be an address on this machine, such as 127.0.0.1:9464')
    .optional()
    .describe('where Prometheus asks for /metrics'),
})

/** Rejects with ConfigMistakes. */
export async function loadExtauthConfig(file: string, log: Logger): Promise<Plan> {
  const types = await allTypes()
  const loaded = await loadYaml(schemaOf(types), file)
  if (!loaded.ok) throw new ConfigMistakes(loaded.complaints)
  const { value, source } = loaded
  const complaints: Complaint[] = []
  const complain = (path: readonly (string | number)[], message: string) =>
    complaints.push(source.complaint({ path, at: 'value', message }))

  const together = hostKindComplaint(value.host_kind ?? 'ejabberd', value.failure_reply)
  if (together !== undefined) complain(['failure_reply'], together)
  const late = deadlineComplaint(value.host_kind ?? 'ejabberd', value.deadline)
  if (late !== undefined) complain(['deadline'], late)
  for (const [host, { chain }] of Object.entries(value.hosts ?? {})) {
    for (const [index, link] of chain.entries()) {
      if (Object.hasOwn(value.backends, link)) continue
      complain(
        ['hosts', host, 'chain', index],
        `'${link}' is not in backends (${Object.keys(value.backends).join(', ')})`,
      )
    }
  }
  for (const link of [value.learn, ...(value.cache?.backends ?? [])]) {
    if (link === undefined || Object.hasOwn(value.backends, link)) continue
    const path =
      link === value.learn ? ['learn'] : ['cache', 'backends', value.cache?.backends?.indexOf(link) ?? 0]
    complain(path, `'${link}' is not in backends (${Object.keys(value.backends).join(', ')})`)
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
    refusedSetpass: value.refused_setpass,
    deadline: value.deadline,
    operations: value.operations,
    banPrefix: value.ban_prefix,
    throttle: value.throttle,
    learn: value.learn,
    log: logPlanOf(value.log, base),
    daemon: value.daemon && daemonPlanOf(value.daemon, base),
    metricsFile: value.metrics_file && resolve(base, value.metrics_file),
    hosts: value.hosts && new Map(Object.entries(value.hosts).map(([host, { chain }]) => [host, chain])),
    backends: Object.entries(value.backends).map(([backend, written]) => {
      const options = absolute(written, base)
      const made = opened(backend, types.get(written.type), options, log)
      const paths = Object.entries(options).filter(([key]) => isPath(key))
      return {
        name: backend,
        type: written.type,
        paths: paths.flatMap(([, path]) => (typeof path === 'string' ? [path] : [])),
        backend:
          value.cache && isCached(value.cache, backend, written.type)
            ? cached(made, lifetimesOf(value.cache), log)
            : made,
      }
    }),
  }
}

/** Our own accounts are as near as a memory of them. */
function isCached({ backends }: CacheOptions, backend: string, type: string): boolean {
  return type !== 'sqlite' && (backends?.includes(backend) ?? true)
}

function lifetimesOf(cache: CacheOptions): Lifetimes {
  return {
    sinceVerification: cache.since_verification,
    sinceUse: cache.since_use,
    unreachable: cache.unreachable,
  }
}

function daemonPlanOf(daemon: z.output<typeof daemonOptions>, base: string): DaemonPlan {
  const [, host = '', port] = loopback.exec(daemon.metrics ?? '') ?? []
  return {
    path: daemon.path && resolve(base, daemon.path),
    linePath: daemon.line_path && resolve(base, daemon.line_path),
    mode: daemon.mode,
    group: daemon.group,
    maxConnections: daemon.max_connections,
    ...(port === undefined ? {} : { metrics: { host: host.replace(/[[\]]/g, ''), port: Number(port) } }),
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
