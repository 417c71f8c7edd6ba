/** The log, where the flags say, else the configuration. */
import { createLogger, type Logger, logFileOf, reopenLog, setLogLevel } from '../server-core/log.ts'
import type { Flags } from './options.ts'
import type { LogPlan } from './plan.ts'

/** A log file that cannot be written is no reason not to answer. */
export async function openLog(flags: Flags): Promise<Logger> {
  const plan = flags.config === undefined ? undefined : await peek(flags.config)
  const level = flags.logLevel ?? plan?.level ?? 'info'
  const format = flags.logFormat ?? plan?.format
  try {
    return await createLogger({ level, file: flags.logFile ?? plan?.file, format, pretty: false })
  } catch (error) {
    const log = await createLogger({ level, format, pretty: false })
    log.error(
      { reason: (error as Error).message },
      'the log file cannot be written, logging to standard error',
    )
    return log
  }
}

async function peek(config: string): Promise<LogPlan | undefined> {
  const { peekLogPlan } = await import('./config.ts')
  return peekLogPlan(config)
}

/** For a configuration that was read again: the level, and the file, which may have been moved away to begin a new one. */
export function adjustLog(log: Logger, flags: Flags, plan: LogPlan | undefined): void {
  setLogLevel(log, flags.logLevel ?? plan?.level ?? 'info')
  const now = logFileOf(log)
  const file = flags.logFile ?? plan?.file
  if ((file === undefined) !== (now === undefined)) {
    log.warn(
      'the log goes to a file, or to standard error, as at the start until the program is started anew',
    )
    return
  }
  try {
    reopenLog(log, file)
  } catch (error) {
    log.error({ reason: (error as Error).message }, 'the log file cannot be opened anew')
  }
}
