/** gatehouse-extauth as a program: serves the pipe, or carries out a command. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { type Command, CommanderError } from 'commander'
import { setParallelDerivations } from '../server-core/accounts/derivations.ts'
import { BackendUnavailable } from '../server-core/auth/backend.ts'
import { createLogger } from '../server-core/log.ts'
import { addCommands } from './commands/index.ts'
import type { ExtauthContext } from './context.ts'
import { type HostKind, hostKindNames, hostKinds } from './host-kind.ts'
import { Keeper } from './keeper.ts'
import { loadPlan } from './load-plan.ts'
import type { WatchedMetrics } from './metrics.ts'
import { adjustLog, openLog } from './open-log.ts'
import { commandLine, type Flags, sourceOf, UsageError } from './options.ts'
import { type End, type Output, Serving } from './serve.ts'
import { handleSignals } from './signals.ts'
import { Statistics } from './statistics.ts'

/** How long backends may take to end, in milliseconds. */
const closeTimeout = 2000

/** For what a person reads: who has read enough (`… | head`) ends it. */
function forReaders(context: ExtauthContext): ExtauthContext {
  let output: Output | undefined
  const openAnswers = () => {
    if (output === undefined) {
      output = context.openAnswers()
      output.stream.on('error', () => context.exit(1))
    }
    return output
  }
  return { ...context, openAnswers }
}

/** Exit status: 0 the end of the input, a signal, or a command that did it; 1 failed; 2 wrong usage. */
export async function runExtauth(context: ExtauthContext): Promise<number> {
  // One thread stays free for files. More than a little above the number of cores would make no hash faster, and everything that is
  // answered beside them slower.
  setParallelDerivations(Math.min(context.threads - 1, availableParallelism() + 1))
  let status = 0
  const read = forReaders(context)
  const program = commandLine(readVersion())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void read.openAnswers().stream.write(text),
      writeErr: (text) => void context.stderr.write(text),
    })
    .action(async (flags: Flags) => {
      status = await serve(context, flags, program)
    })
  addCommands(program, read, (result) => {
    status = result
  })
  try {
    await program.parseAsync([...context.words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    if (!(error instanceof CommanderError || error instanceof UsageError)) throw error
    if (error instanceof UsageError) context.stderr.write(`gatehouse-extauth: ${error.message}\n`)
    const commands = [...program.commands.map((command) => command.name()), 'help']
    const isCommand = commands.some((command) => context.words.includes(command))
    if (isCommand || context.isTerminal) return 2
    const kind = hostKindNames.find((name) => context.words.includes(name)) ?? 'ejabberd'
    await serveNothing(context, hostKinds[kind], error.message)
    return 2
  }
  return status
}

async function serve(context: ExtauthContext, flags: Flags, program: Command): Promise<number> {
  if (context.isTerminal) {
    context.stderr.write(
      'gatehouse-extauth is started by an XMPP server, which asks through a pipe; standard input is a terminal here.\n\n',
    )
    program.outputHelp({ error: true })
    return 2
  }
  sourceOf(flags)
  const log = await openLog(flags)
  context.onFault((error) => log.error({ err: error }, 'a fault'))
  const output = context.openAnswers()
  const statistics = new Statistics()
  const keeper = new Keeper(() => loadPlan(flags, log), log, statistics, flags.hostKind)
  let metrics: WatchedMetrics | undefined
  let began: HostKind | undefined
  keeper.changed = async (plan) => {
    adjustLog(log, flags, plan.log)
    if (began !== undefined && began.wire !== keeper.kind.wire) {
      log.error('host_kind: frames or lines are spoken as at the start until the program is started anew')
    }
    if (plan.metricsFile === undefined && metrics === undefined) return
    metrics ??= new (await import('./metrics.ts')).WatchedMetrics(statistics, context.pid, log)
    await metrics.serve(undefined, plan.metricsFile)
  }
  await keeper.start()
  began = keeper.kind
  const wire = began.wire(() => keeper.failureReply(flags.failureReply))
  const serving = new Serving({
    input: context.openRequests(),
    output,
    wire,
    // A server may have started this process for a request that it has written already.
    since: 0,
    deadline: () => keeper.deadline,
    carryOut: (payload, signals) => keeper.carryOut(payload, signals),
    hold: (ms) => delay(Math.min(ms, keeper.shortHold)),
    log,
    statistics,
  })
  handleSignals(context, { stop: () => serving.stop(), keeper, statistics, log })
  log.info({ host_kind: keeper.kindName }, 'answering')
  const end = await serving.run()
  log.info({ end }, 'ending')
  await within(closeTimeout, Promise.all([keeper.close(), metrics?.close()]))
  const status = statusOf(end)
  context.exit(status)
  return status
}

/** A command line with mistakes: stays, as a program that ends at its start makes ejabberd give up, and knows nothing. */
async function serveNothing(context: ExtauthContext, kind: HostKind, reason: string): Promise<void> {
  const log = await createLogger({ level: 'info', pretty: false })
  log.error({ reason }, 'every request is answered with a failure: the command line has mistakes')
  const serving = new Serving({
    input: context.openRequests(),
    output: context.openAnswers(),
    wire: kind.wire(() => kind.failureReply),
    deadline: () => kind.deadline,
    carryOut: () => Promise.reject(new BackendUnavailable('the command line has mistakes')),
    log,
  })
  context.onSignal(['SIGTERM', 'SIGINT'], () => serving.stop())
  await serving.run()
  context.exit(2)
}

function statusOf(end: End): number {
  return end === 'done' ? 0 : 1
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, new Promise((resolve) => setTimeout(resolve, ms))])
}

/** From package.json, which lies beside dist/ as it lies above the sources. */
function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
