/** What signals do, on the pipe and in the daemon. */
import type { Logger } from '../server-core/log.ts'
import type { ExtauthContext } from './context.ts'
import type { Keeper } from './keeper.ts'
import type { Statistics } from './statistics.ts'

export interface Signalled {
  /** Ends in good order. */
  stop(): void
  readonly keeper: Keeper
  readonly statistics: Statistics
  readonly log: Logger
}

export function handleSignals(context: ExtauthContext, { stop, keeper, statistics, log }: Signalled): void {
  let isStopping = false
  context.onSignal(['SIGTERM', 'SIGINT'], (signal) => {
    if (isStopping) context.exit(0)
    isStopping = true
    log.info({ signal }, 'told to end')
    stop()
  })
  context.onSignal(['SIGHUP'], () => {
    keeper.reload().then(
      () => log.info('the configuration was read again'),
      (error: unknown) =>
        log.error({ reason: (error as Error).message }, 'the configuration stays as it was'),
    )
  })
  context.onSignal(['SIGUSR2'], () => log.info(statistics.summary(), 'statistics'))
  // Node opens a debugger port at this signal unless somebody listens.
  context.onSignal(['SIGUSR1'], () => undefined)
}
