/**
 * One call of a command: may the caller, are the arguments right, run it, audit it. Here, and nowhere else, what a command
 * throws becomes an error reply.
 */
import { z } from 'zod'
import { BackendUnavailable } from '../auth/backend.ts'
import { findings } from '../config/complaint.ts'
import type { ControlListener } from '../config/schema.ts'
import { type Caller, CommandError, type CommandResult, type CommandSpec } from '../extend/command.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import type { Logger } from '../log.ts'
import { StorageUnavailable } from '../storage/storage.ts'
import { prepareHost } from '../xmpp/jid.ts'
import { type CommandRegistry, describeArgument } from './command-registry.ts'
import { type ArgumentDescription, type ErrorReply, errorCodes } from './control-protocol.ts'

/** A reply that is an error; its message is for the person who runs the command. */
export class CallError extends Error {
  override readonly name = 'CallError'
  readonly code: number
  readonly data: ErrorReply['data']

  constructor(code: number, message: string, data?: ErrorReply['data']) {
    super(message)
    this.code = code
    this.data = data
  }
}

export interface Call {
  readonly name: string
  readonly params: Readonly<Record<string, unknown>>
  /** Only to say what would be done. */
  readonly isPreview: boolean
}

export interface Dispatcher {
  readonly registry: CommandRegistry
  readonly hooks: HookRegistry
  readonly log: Logger
  /** For the record of each call; see auditLog. */
  readonly audit: Logger
}

/**
 * The log of a dispatcher's records. They hold no secrets, as each argument says whether it is one, so nothing in them is
 * looked for by its name, which would take longer than the command.
 */
export function auditLog(log: Logger): Logger {
  return log.child({}, { redact: [] })
}

/**
 * Runs a command and hands its result to `deliver`, which sends it; that belongs to the call, since a list is made while it is
 * sent. Rejects with CallError only.
 */
export async function dispatch(
  { registry, hooks, log, audit }: Dispatcher,
  listener: ControlListener,
  { name, params, isPreview }: Call,
  caller: Caller,
  deliver: (result: CommandResult, spec: CommandSpec) => Promise<void>,
): Promise<void> {
  const began = performance.now()
  const spec = registry.get(name, hostOf(params))
  if (!spec) throw unknownCommand(registry, listener, name)
  let outcome = 'ok'
  try {
    const refused = refusal(spec, listener)
    if (refused !== undefined) throw new CallError(errorCodes.notAllowed, refused)
    const args = checkArguments(spec, params)
    needHost(registry, spec, params)
    if (isPreview && !spec.preview) {
      throw new CallError(errorCodes.invalidParams, `${name} cannot say what it would do`)
    }
    const result = await (isPreview ? spec.preview?.(args, caller) : spec.run(args, caller))
    if (isNo(result)) outcome = 'no'
    await deliver(result, spec)
  } catch (error) {
    const reply = asCallError(error, name, caller, log)
    outcome = reply.message
    throw reply
  } finally {
    const safe = withoutSecrets(spec, params)
    const ms = Math.round(performance.now() - began)
    audit.info(
      {
        command: name,
        arguments: safe,
        result: outcome,
        ms,
        ...(isPreview ? { preview: true } : {}),
        listener: caller.listener,
        claimed_login: caller.login,
      },
      'command',
    )
    await hooks.run('api_call', '', {
      caller: `${caller.login} (claimed) through ${caller.listener}`,
      command: name,
      arguments: safe,
      result: outcome,
    })
  }
}

function unknownCommand(registry: CommandRegistry, listener: ControlListener, name: string): CallError {
  const nearest = registry.nearest(name, (other) => refusal(other, listener) === undefined)
  return new CallError(errorCodes.unknownCommand, `command "${name}" not known.`, { nearest })
}

/** Whether modules may be asked about words that are no command: they decide what those do, so only where all may be done. */
export function takesWords({ hooks }: Dispatcher, { commands }: ControlListener): boolean {
  return commands === 'all' && hooks.has('ejabberd_ctl_process', '')
}

/** Words that are no command, for the modules; gives the answer of the one that knows them. Rejects with CallError only. */
export async function dispatchWords(
  dispatcher: Dispatcher,
  listener: ControlListener,
  words: readonly string[],
  { login, listener: path }: Pick<Caller, 'login' | 'listener'>,
): Promise<string> {
  const { registry, hooks, audit } = dispatcher
  const [name = ''] = words
  if (registry.get(name) || !takesWords(dispatcher, listener)) throw unknownCommand(registry, listener, name)
  const caller = `${login} (claimed) through ${path}`
  const answer = await hooks.fold('ejabberd_ctl_process', '', '', { words, caller })
  if (answer === '') throw unknownCommand(registry, listener, name)
  // nobody knows which of the words are secret
  audit.info({ command: name, arguments: {}, result: 'ok', listener: path, claimed_login: login }, 'command')
  await hooks.run('api_call', '', { caller, command: name, arguments: {}, result: 'ok' })
  return answer
}

function hostOf(params: Readonly<Record<string, unknown>>): string | undefined {
  const { host } = params
  return typeof host === 'string' ? prepareHost(host) : undefined
}

function needHost(
  registry: CommandRegistry,
  spec: CommandSpec,
  params: Readonly<Record<string, unknown>>,
): void {
  const host = hostOf(params)
  if (host !== undefined && !registry.isOn(spec.name, host)) {
    throw new CommandError(
      `${spec.name} is not available on ${host}: the module that brings it is not loaded there`,
    )
  }
}

/**
 * Why a command may not be run through this socket; undefined when it may. A socket that others than the owner may open is not
 * the owner's. Help and completion know only what may be run.
 */
export function refusal(
  spec: CommandSpec,
  { path = '', commands, mode }: ControlListener,
): string | undefined {
  if (commands !== 'all' && !commands.includes(spec.name)) {
    return `${spec.name} may not be run through ${path}: it is not among the commands of this socket (option control)`
  }
  if (spec.ownerOnly && (mode & 0o077) !== 0) {
    return `${spec.name} is for the owner of the server only, and others may open ${path}: use a socket of mode 0600`
  }
  return undefined
}

function isNo(result: CommandResult): boolean {
  return typeof result === 'object' && 'ok' in result && !result.ok
}

/** What is made of a command's arguments once, and used for each call. */
interface Prepared {
  readonly schema: z.ZodObject
  readonly arguments: ReadonlyMap<string, ArgumentDescription>
}

const prepared = new WeakMap<CommandSpec, Prepared>()

/** The arguments of a command, described. */
export function argumentsOf(spec: CommandSpec): ReadonlyMap<string, ArgumentDescription> {
  return prepare(spec).arguments
}

function prepare(spec: CommandSpec): Prepared {
  let made = prepared.get(spec)
  if (!made) {
    const described = Object.entries(spec.args).map(
      ([name, schema]) => [name, describeArgument(name, schema)] as const,
    )
    made = { schema: z.strictObject(spec.args), arguments: new Map(described) }
    prepared.set(spec, made)
  }
  return made
}

function checkArguments(spec: CommandSpec, params: Readonly<Record<string, unknown>>) {
  const { schema } = prepare(spec)
  const parsed = schema.safeParse(params)
  if (parsed.success) return parsed.data
  const unknown = Object.keys(params).find((name) => !Object.hasOwn(spec.args, name))
  if (unknown !== undefined) {
    throw new CallError(errorCodes.invalidParams, `there is no argument '${unknown}'`, { argument: unknown })
  }
  const [first] = findings(parsed.error, schema, params)
  const name = String(first?.path[0] ?? '')
  throw new CallError(errorCodes.invalidParams, argumentMessage(spec, name, first?.message ?? '', params), {
    argument: name,
  })
}

function argumentMessage(
  spec: CommandSpec,
  name: string,
  message: string,
  params: Readonly<Record<string, unknown>>,
): string {
  if (params[name] === undefined) return `argument '${name}' is missing`
  const argument = prepare(spec).arguments.get(name)
  if (argument === undefined) return message
  if (argument.type === 'integer' && typeof params[name] !== 'number')
    return `Argument '${name}' must be an integer`
  // What was given is not repeated when it is a secret.
  return `Argument '${name}' ${argument.secret ? 'must be text' : message}`
}

function asCallError(error: unknown, name: string, caller: Caller, log: Logger): CallError {
  if (error instanceof CallError) return error
  if (error instanceof CommandError) return new CallError(errorCodes.failed, error.message)
  if (caller.signal.aborted) return new CallError(errorCodes.failed, 'cancelled')
  if (error instanceof StorageUnavailable || error instanceof BackendUnavailable) {
    log.error({ command: name, err: error }, 'a command could not find out')
    return new CallError(errorCodes.failed, error.message)
  }
  log.error({ command: name, err: error }, 'a command failed')
  return new CallError(errorCodes.internal, `${name} failed inside the server; its log says why`)
}

const longestLogged = 200

function withoutSecrets(
  spec: CommandSpec,
  params: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const safe: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(params)) {
    const argument = prepare(spec).arguments.get(name)
    if (!argument) continue
    if (argument.secret) safe[name] = '[secret]'
    else if (argument.names === 'file') safe[name] = '[file]'
    else safe[name] = typeof value === 'string' ? value.slice(0, longestLogged) : value
  }
  return safe
}
