/** The numbers: counted where things happen, by hooks, or looked up when somebody asks. */
import type { Registry } from 'prom-client'
import type { ServiceContext } from '../../extend/services.ts'

export interface Metrics {
  readonly contentType: string
  /** In Prometheus' text format. */
  text(): Promise<string>
}

/** Of the process itself (memory, CPU, event loop, collections): once, as what measures them cannot be taken away again. */
let ofProcess: Registry | undefined

export async function openMetrics(service: ServiceContext): Promise<Metrics> {
  const { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } = await import('prom-client')
  if (!ofProcess) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
  }
  const own = new Registry()
  const registers = [own]
  const { admin, storage } = service

  new Gauge({
    name: 'gatehouse_info',
    help: 'Version of the server; always 1',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: admin.version, node: admin.node }, 1)
  new Gauge({
    name: 'gatehouse_sessions',
    help: 'Sessions of clients that are bound now',
    labelNames: ['host'],
    registers,
    collect() {
      this.reset()
      for (const host of admin.hosts) this.set({ host }, admin.sessions.count(host))
    },
  })
  new Gauge({
    name: 'gatehouse_registered_users',
    help: 'Accounts that are kept in the database of the server',
    labelNames: ['host'],
    registers,
    async collect() {
      this.reset()
      for (const host of admin.hosts) this.set({ host }, await storage.accounts.count(host))
    },
  })
  new Gauge({
    name: 'gatehouse_auth_requests',
    help: 'Programs that authenticate (running, busy) and requests that wait for one',
    labelNames: ['host', 'backend', 'state'],
    registers,
    collect() {
      this.reset()
      for (const host of admin.hosts) {
        for (const { backend, ...load } of admin.authenticator(host)?.loads() ?? []) {
          for (const [state, value] of Object.entries(load)) this.set({ host, backend, state }, value)
        }
      }
    },
  })
  new Gauge({
    name: 'gatehouse_storage_waiting',
    help: 'Changes that wait to be written',
    registers,
    collect() {
      this.set(storage.waiting)
    },
  })
  const written = new Histogram({
    name: 'gatehouse_storage_write_seconds',
    help: 'Time from asking for a change until it is durable',
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    registers,
  })
  service.onStop(storage.onWritten((ms) => written.observe(ms / 1_000)))

  const stanzas = new Counter({
    name: 'gatehouse_stanzas_total',
    help: 'Stanzas that were routed',
    labelNames: ['kind'],
    registers,
  })
  const byKind = {
    message: stanzas.labels({ kind: 'message' }),
    presence: stanzas.labels({ kind: 'presence' }),
    iq: stanzas.labels({ kind: 'iq' }),
  }
  service.hook('filter_packet', (stanza) => {
    if (stanza) byKind[stanza.kind].inc()
  })

  const logins = new Counter({
    name: 'gatehouse_logins_total',
    help: 'Attempts to log in; the result is ok, or the condition of the refusal',
    labelNames: ['host', 'mechanism', 'result'],
    registers,
  })
  perHost(service, (host) =>
    admin.hooks.add(
      'c2s_auth_result',
      host,
      (_, { result, mechanism }) => logins.inc({ host, mechanism, result }),
      50,
      'service_prometheus',
    ),
  )
  const commands = new Counter({
    name: 'gatehouse_commands_total',
    help: 'Commands that administrators ran',
    labelNames: ['result'],
    registers,
  })
  service.hook('api_call', (_, { result }) => {
    commands.inc({ result: result === 'ok' || result === 'no' ? result : 'error' })
  })

  new Counter({
    name: 'gatehouse_hook_failures_total',
    help: 'Handlers of hooks that threw, answered nonsense or did not answer in time; the log says why',
    labelNames: ['hook', 'module'],
    registers,
    collect() {
      this.reset()
      for (const { hook, module, count } of admin.hooks.failures) this.inc({ hook, module }, count)
    },
  })

  const processMetrics = ofProcess
  return {
    contentType: own.contentType,
    text: async () => `${await own.metrics()}\n${await processMetrics.metrics()}`,
  }
}

/** For every host, those that come later too; what it returns runs when the host goes, or the service stops. */
function perHost(service: ServiceContext, begin: (host: string) => () => void): void {
  const begun = new Map<string, () => void>()
  const up = (host: string): void => {
    if (!begun.has(host)) begun.set(host, begin(host))
  }
  for (const host of service.admin.hosts) up(host)
  service.hook('host_up', (_, { host }) => up(host))
  service.hook('host_down', (_, { host }) => {
    begun.get(host)?.()
    begun.delete(host)
  })
  service.onStop(() => {
    for (const end of begun.values()) end()
  })
}
