/** How many processes there will be, whether they suffice for the logins, and whether they fit into the machine. */
import { type Finding, ok, type Section, warning } from '../findings.ts'
import type { HostSettings, ServerSettings } from './server-settings.ts'

export interface Machine {
  readonly cpus: number
  /** In MiB. */
  readonly memory: number
}

/** What one process of the program takes, in MiB; of the relay, in MiB. */
export const footprint = { program: 90, relay: 2 }

/** `perCheck`: how long one password takes, in milliseconds; undefined when another system judges it. */
export function judgePools(
  server: ServerSettings,
  machine: Machine,
  perCheck: number | undefined,
  isRelay: boolean,
): Section {
  const pools = new Map<string, { readonly size: number; readonly hosts: string[] }>()
  for (const settings of server.hosts) {
    if (!settings.methods.value.includes('external')) continue
    const key = settings.poolName === undefined ? `host ${settings.host}` : `pool ${settings.poolName.value}`
    const pool = pools.get(key)
    if (pool === undefined)
      pools.set(key, { size: sizeOf(settings, server, machine), hosts: [settings.host] })
    else pool.hosts.push(settings.host)
  }
  const total = [...pools.values()].reduce((sum, { size }) => sum + size, 0)
  const least = Math.min(...[...pools.values()].map(({ size }) => size))
  const { words, name } = server
  const findings: Finding[] = []
  if (total > 0) findings.push(ok(inWords(total, pools.size, perCheck, machine, isRelay)))
  const unnamed = [...pools.keys()].filter((key) => key.startsWith('host '))
  if (name === 'ejabberd' && server.kind === 'ejabberd' && unnamed.length > 1) {
    findings.push(
      warning(
        `each of ${unnamed.length} hosts has a pool of its own, ${total} processes in all`,
        'extauth_pool_name: gatehouse, so that they share one (ejabberd 18.09 and newer)',
      ),
    )
  }
  const isSizeSaid = server.hosts.some(({ poolSize }) => poolSize !== undefined)
  if (!isSizeSaid && total > 0 && words.usualPoolSize === 'cpus') {
    findings.push(
      warning(
        `${words.poolSize} is not set, so there is a process for each of ${machine.cpus} processors and pool`,
        `${words.poolSize}: ${advisedSize(machine)}`,
      ),
    )
  }
  if (least < 2 && total > 0) {
    findings.push(
      warning(
        'a pool has one process: one slow answer holds everybody, and its restart is an outage',
        `${words.poolSize}: ${advisedSize(machine)}`,
      ),
    )
  }
  const memory = total * (isRelay ? footprint.relay : footprint.program)
  const isCrowd = !isRelay && perCheck !== undefined && total > 4 && total > 2 * machine.cpus
  if (isCrowd || memory > machine.memory / 4) {
    findings.push(
      warning(
        `${total} processes take about ${memory} MiB, and ${machine.cpus} processors check no more passwords for them`,
        'fewer, or one gatehouse-extauth daemon with relays in the pools (docs/extauth.md, Deployment)',
      ),
    )
  }
  return { title: 'processes', findings }
}

/** Two at least, as many as there are processors, and no more than four without a reason. */
export function advisedSize({ cpus }: Machine): number {
  return Math.min(4, Math.max(2, cpus))
}

function sizeOf({ poolSize }: HostSettings, { words }: ServerSettings, { cpus }: Machine): number {
  if (poolSize !== undefined) return poolSize.value
  return words.usualPoolSize === 'cpus' ? cpus : words.usualPoolSize
}

function inWords(
  total: number,
  pools: number,
  perCheck: number | undefined,
  { cpus }: Machine,
  isRelay: boolean,
): string {
  const where = pools === 1 ? 'in one pool' : `in ${pools} pools`
  const processes = `${total} ${total === 1 ? 'process' : 'processes'} ${where}`
  if (isRelay) return `${processes}, relays of a daemon`
  if (perCheck === undefined) return processes
  const rate = (Math.min(total, cpus) * 1000) / perCheck
  return `${processes}; one password takes ${Math.round(perCheck)} ms here, so about ${rate.toFixed(rate < 10 ? 1 : 0)} logins a second`
}
