/**
 * service_prometheus: what happens in the server, as numbers for Prometheus, and two questions that whoever runs it asks: does
 * it live, is it ready. Off unless it is configured, and on this machine only unless told otherwise: nobody has to log in.
 */
import { z } from 'zod'
import { count } from '../config/fields.ts'
import { defineService, type ServiceContext } from '../extend/services.ts'
import { type Answer, serveHttp } from './prometheus/http.ts'
import { openMetrics } from './prometheus/metrics.ts'

/** A storage that does not answer for so long is not ready, in milliseconds. */
const readyTimeout = 2_000

export const servicePrometheus = defineService({
  name: 'service_prometheus',
  doc: 'Metrics for Prometheus, and whether the server lives and is ready',
  options: {
    ip: z
      .union([z.ipv4(), z.ipv6()])
      .default('127.0.0.1')
      .describe('address to listen on; nobody has to log in'),
    port: count(1, 65_535).default(9_091).describe('port to listen on'),
    path: z.string().startsWith('/').default('/metrics').describe('path of the metrics'),
  },

  async start(service, { ip, port, path }) {
    const metrics = await openMetrics(service)
    const pages: Readonly<Record<string, () => Promise<Answer>>> = {
      [path]: async () => ({ status: 200, type: metrics.contentType, text: await metrics.text() }),
      '/health': async () => json(200, { status: 'ok' }),
      '/ready': () => ready(service),
    }
    const server = await serveHttp({ ip, port, pages, log: service.log })
    service.onStop(() => server.close())
    if (!ip.startsWith('127.') && ip !== '::1') {
      service.log.warn({ ip, port }, 'metrics can be read by everybody who reaches this address')
    }
    service.log.info({ ip, port }, 'metrics can be read')
  },
})

async function ready(service: ServiceContext): Promise<Answer> {
  const { state } = service.admin
  if (state !== 'started') return json(503, { status: state })
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('late')), readyTimeout)
    })
    await Promise.race([service.storage.accounts.hosts(), late])
    return json(200, { status: 'ready' })
  } catch {
    // Why is in the log, which not everybody reads.
    return json(503, { status: 'the storage does not answer' })
  } finally {
    clearTimeout(timer)
  }
}

function json(status: number, value: object): Answer {
  return { status, type: 'application/json', text: `${JSON.stringify(value)}\n` }
}
