/** The structured logger: one JSON object a line on standard error, or lines for people when that is a terminal. */
import { type DestinationStream, destination, type Level, type Logger, pino } from 'pino'

export type { Logger } from 'pino'

/** ejabberd's names of the levels, most silent first, and pino's for them. */
export const logLevels = {
  none: 'silent',
  emergency: 'fatal',
  alert: 'fatal',
  critical: 'fatal',
  error: 'error',
  warning: 'warn',
  notice: 'info',
  info: 'info',
  debug: 'debug',
} as const satisfies Record<string, Level | 'silent'>

export type LogLevel = keyof typeof logLevels

export interface LogOptions {
  readonly level: LogLevel
  /** A file to append to; standard error when absent. */
  readonly file?: string | undefined
  /** Lines for people instead of JSON. */
  readonly pretty: boolean
}

/** Names that can hold a secret: whatever is logged under them is replaced, at any of the first levels. */
const secrets = ['password', 'newpass', 'newpassword', 'secret', 'token', 'credential', 'proof']

export async function createLogger(options: LogOptions): Promise<Logger> {
  let stream: DestinationStream
  if (options.pretty) {
    const { default: pretty } = await import('pino-pretty')
    stream = pretty({
      destination: options.file ?? 2,
      colorize: options.file === undefined,
      sync: true,
      ignore: 'pid,hostname',
      translateTime: 'SYS:HH:MM:ss',
      singleLine: true,
    })
  } else {
    stream = destination({ dest: options.file ?? 2, sync: true, append: true, mkdir: false })
  }
  return pino(
    {
      level: logLevels[options.level],
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
      redact: { paths: secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[secret]' },
    },
    stream,
  )
}

/** A logger that says nothing, for tests and for programs that were told so. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}
