/** The structured logger: one JSON object a line on standard error, or lines for people when that is a terminal. */
import { closeSync, openSync } from 'node:fs'
import { type DestinationStream, destination, type Level, type Logger, pino, stdSerializers } from 'pino'

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
  /** Lines for people at a terminal instead of JSON. */
  readonly pretty: boolean
  /** What lines look like that are not pretty: `plain` is for files that people read, JSON is for programs. */
  readonly format?: LogFormat | undefined
}

export type LogFormat = 'json' | 'plain'

/** Names that can hold a secret: whatever is logged under them is replaced, at any of the first levels. */
const secrets = ['password', 'newpass', 'newpassword', 'secret', 'token', 'credential', 'proof']

/** An outage says itself in a sentence; where in our code it was noticed helps nobody. Anything else is a fault of ours. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  return error.name.endsWith('Unavailable') ? error.message : stdSerializers.err(error)
}

export async function createLogger(options: LogOptions): Promise<Logger> {
  let stream: DestinationStream
  const family: Family = { level: options.level, file: undefined, reopen: undefined, children: [] }
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
    const target = destination({ dest: options.file ?? 2, sync: true, append: true, mkdir: false })
    // A log that nobody reads any more, or a full disk, ends no program.
    target.on('error', () => undefined)
    stream = options.format === 'plain' ? { write: (line) => void target.write(plainLine(line)) } : target
    family.file = options.file
    if (options.file !== undefined) family.reopen = (file) => target.reopen(file)
  }
  const logger = pino(
    {
      level: logLevels[options.level],
      onChild: (child) => remember(family, child as Logger),
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
      serializers: { err: describeError },
      redact: { paths: secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[secret]' },
    },
    stream,
  )
  families.set(logger, family)
  return logger
}

/** `TIME LEVEL message name=value …`; values with spaces are in quotes, as JSON has them, so one entry stays one line. */
function plainLine(line: string): string {
  const { level, time, msg, ...more } = JSON.parse(line) as Record<string, unknown>
  const pairs = Object.entries(more).map(([name, value]) => {
    const isBare = typeof value === 'string' && /^[^\s"=\p{C}]+$/u.test(value)
    return `${name}=${isBare ? value : visible(JSON.stringify(value))}`
  })
  return `${[time, level, msg, ...pairs].join(' ')}\n`
}

/** What JSON leaves as it is, and terminals or editors would obey. */
function visible(json: string): string {
  return json.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from(
      { length: char.length },
      (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
}

/** Loggers of parts of the program have a level of their own, which has to follow. */
interface Family {
  level: LogLevel
  file: string | undefined
  /** Only of a log that goes to a file. */
  reopen: ((file: string) => void) | undefined
  children: WeakRef<Logger>[]
}

const families = new WeakMap<Logger, Family>()

function remember(family: Family, child: Logger): void {
  // Those of parts that have ended are forgotten, now and then.
  if (family.children.length % 64 === 63) family.children = family.children.filter((ref) => ref.deref())
  family.children.push(new WeakRef(child))
}

/** Of a logger that createLogger made; 'none' of any other. */
export function logLevelOf(logger: Logger): LogLevel {
  return families.get(logger)?.level ?? 'none'
}

/** Changes how much is logged from now on, by the logger of createLogger and by all that were made from it. */
export function setLogLevel(logger: Logger, level: LogLevel): void {
  const family = families.get(logger)
  if (!family) return
  logger.level = logLevels[level]
  family.level = level
  for (const child of family.children) {
    const alive = child.deref()
    if (alive) alive.level = logLevels[level]
  }
}

/** The file that a logger of createLogger writes to; undefined when it is none. */
export function logFileOf(logger: Logger): string | undefined {
  return families.get(logger)?.file
}

/**
 * Opens the log's file again, after it was moved away, or another one. False when the log goes to no file. Throws the
 * system's error when the file cannot be opened; the log then stays where it is.
 */
export function reopenLog(logger: Logger, file = logFileOf(logger)): boolean {
  const family = families.get(logger)
  if (!family?.reopen || file === undefined) return false
  closeSync(openSync(file, 'a'))
  family.reopen(file)
  family.file = file
  return true
}

/** A logger that says nothing, for tests and for programs that were told so. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}
