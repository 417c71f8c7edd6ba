/** The daemon from its flags to its end. */
import { readFile } from 'node:fs/promises'
import { UnixSocketError } from '../../server-core/unix-socket.ts'
import type { ExtauthContext } from '../context.ts'
import { Keeper } from '../keeper.ts'
import { loadPlan } from '../load-plan.ts'
import { WatchedMetrics } from '../metrics.ts'
import { adjustLog, openLog } from '../open-log.ts'
import { type Flags, sourceOf } from '../options.ts'
import type { DaemonPlan } from '../plan.ts'
import { handleSignals } from '../signals.ts'
import { Statistics } from '../statistics.ts'
import { Daemon } from './daemon.ts'
import { handedOver, Sockets } from './sockets.ts'

export interface DaemonFlags extends Flags {
  readonly listen?: string
  readonly listenLines?: string
}

/** How long the end may take: a request's deadline and a little, and what backends may take to end; in milliseconds. */
const times = { margin: 500, close: 2000 }

/** Exit status: 0 after a signal, 1 when it cannot listen. */
export async function runDaemon(context: ExtauthContext, flags: DaemonFlags): Promise<number> {
  sourceOf(flags)
  const log = await openLog(flags)
  context.onFault((error) => log.error({ err: error }, 'a fault'))
  const statistics = new Statistics()
  // Its frames always tell a failure from a "no"; what becomes of that is the relay's to know.
  const load = async () => ({ ...(await loadPlan(flags, log)), hostKind: 'gatehouse' as const })
  const keeper = new Keeper(load, log, statistics)
  const stopped = new Promise<void>((stop) => handleSignals(context, { stop, keeper, statistics, log }))
  await keeper.start()
  const wanted = () => daemonPlan(flags, keeper.plan?.daemon)
  const descriptors = await descriptorsFor()
  const service = new Daemon({
    maxConnections: () => Math.min(wanted().maxConnections, descriptors),
    deadline: () => keeper.deadline,
    carryOut: (payload, signals) => keeper.carryOut(payload, signals),
    log,
    statistics,
  })
  const sockets = new Sockets(
    (socket, protocol) => service.connected(socket, protocol),
    (error) => log.warn({ reason: error.message }, 'a connection could not be accepted'),
  )
  const watched = new WatchedMetrics(statistics, context.pid, log)
  const answering = () =>
    log.info({ sockets: sockets.open.map(({ protocol, where }) => `${protocol} at ${where}`) }, 'answering')
  try {
    const handed = handedOver(context.env, context.pid)
    const plan = wanted()
    if (handed.length === 0 && plan.path === undefined && plan.linePath === undefined) {
      throw new UnixSocketError(
        keeper.plan === undefined
          ? 'nothing can be listened on before the configuration is right'
          : 'nothing says where to listen: give --listen PATH, `daemon: {path: …}` in extauth.yml, or a systemd socket',
      )
    }
    await sockets.adopt(handed)
    await sockets.listen(plan)
    await watched.serve(plan.metrics, keeper.plan?.metricsFile)
    keeper.changed = async ({ metricsFile, log: logPlan }) => {
      adjustLog(log, flags, logPlan)
      try {
        await sockets.listen(wanted())
        answering()
      } catch (error) {
        log.error({ reason: (error as Error).message }, 'the sockets stay as they were')
      }
      await watched.serve(wanted().metrics, metricsFile)
    }
    answering()
    await stopped
    keeper.changed = () => Promise.resolve()
    await sockets.close()
    await service.stop(keeper.deadline + times.margin)
    log.info('ending')
    return 0
  } catch (error) {
    if (!(error instanceof UnixSocketError)) throw error
    log.error({ reason: error.message }, 'cannot listen')
    await sockets.close()
    await service.stop(0)
    return 1
  } finally {
    await watched.close()
    await Promise.race([keeper.close(), new Promise((resolve) => setTimeout(resolve, times.close).unref())])
  }
}

function daemonPlan(flags: DaemonFlags, configured: DaemonPlan | undefined): DaemonPlan {
  const plan = configured ?? { mode: 0o600, maxConnections: 1024 }
  return {
    ...plan,
    path: flags.listen ?? plan.path,
    linePath: flags.listenLines ?? plan.linePath,
  }
}

/** So many connections leave descriptors for databases, directories and the log. */
async function descriptorsFor(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  return Math.max(8, limit - 64)
}
