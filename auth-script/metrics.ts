/** The metrics in a file, for collectors that read text files, or over HTTP on loopback. */
import { rename, rm, writeFile } from 'node:fs/promises'
import type { Logger } from '../server-core/log.ts'
import type { Statistics } from './statistics.ts'

/** In milliseconds. */
const interval = 15_000

export interface Metrics {
  close(): Promise<void>
}

interface Address {
  readonly host: string
  readonly port: number
}

/** Writes beside the file and renames. `%p` in its name is the process's number, as servers start several. */
function writeMetrics(pattern: string, statistics: Statistics, pid: number, log: Logger): Metrics {
  const isOne = !pattern.includes('%p')
  const file = pattern.replaceAll('%p', String(pid))
  const beside = `${file}.${pid}.new`
  let hasFailed = false
  const write = async () => {
    try {
      await writeFile(beside, statistics.prometheus(isOne ? undefined : pid))
      await rename(beside, file)
      hasFailed = false
    } catch (error) {
      if (!hasFailed) log.warn({ reason: (error as Error).message }, 'the metrics cannot be written')
      hasFailed = true
    }
  }
  let running = write()
  const timer = setInterval(() => {
    running = running.then(write)
  }, interval)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      await running
      await write()
      // The number will be another process's.
      if (!isOne) await rm(file, { force: true })
    },
  }
}

/** Rejects when the address cannot be listened on. */
async function serveMetrics(
  address: Address,
  statistics: Statistics,
): Promise<Metrics & { readonly port: number }> {
  const { createServer } = await import('node:http')
  const server = createServer({ headersTimeout: 5000, requestTimeout: 5000 }, (request, response) => {
    const isMetrics = request.url?.split('?')[0] === '/metrics'
    if (request.method !== 'GET' || !isMetrics) {
      response.writeHead(isMetrics ? 405 : 404).end()
      return
    }
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
    response.end(statistics.prometheus())
  })
  server.maxConnections = 16
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address.port, address.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  server.on('error', () => undefined)
  const bound = server.address()
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : address.port,
    async close() {
      const end = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await end
    },
  }
}

/** Where the metrics can be had, which a new configuration may change. */
export class WatchedMetrics {
  readonly #statistics: Statistics
  readonly #pid: number
  readonly #log: Logger
  #file: { readonly path: string; readonly metrics: Metrics } | undefined
  #address: { readonly at: string; readonly metrics: Metrics } | undefined

  constructor(statistics: Statistics, pid: number, log: Logger) {
    this.#statistics = statistics
    this.#pid = pid
    this.#log = log
  }

  async serve(address: Address | undefined, file: string | undefined): Promise<void> {
    if (this.#file?.path !== file) {
      await this.#file?.metrics.close()
      this.#file =
        file === undefined
          ? undefined
          : { path: file, metrics: writeMetrics(file, this.#statistics, this.#pid, this.#log) }
    }
    const at = address && `${address.host} ${address.port}`
    if (this.#address?.at === at) return
    await this.#address?.metrics.close()
    this.#address = undefined
    if (address === undefined || at === undefined) return
    try {
      this.#address = { at, metrics: await serveMetrics(address, this.#statistics) }
    } catch (error) {
      // Nobody is to be locked out because nobody can watch.
      this.#log.error({ reason: (error as Error).message }, 'the metrics cannot be served')
    }
  }

  async close(): Promise<void> {
    await this.#file?.metrics.close()
    await this.#address?.metrics.close()
  }
}
