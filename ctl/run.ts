/** One run of the command line: understands the words, asks the server, prints, gives the exit code. */
import manifest from '../package.json' with { type: 'json' }
import {
  type ArgumentDescription,
  type CommandDescription,
  type Description,
  errorCodes,
  type JsonValue,
  methods,
} from '../server-core/admin/control-protocol.ts'
import { type ArgumentSource, buildArguments, type Given, hasGaps, isWords, WrongCount } from './arguments.ts'
import { type Client, findSockets, NoServer, openClient, Refused } from './client.ts'
import { parseCommandLine } from './command-line.ts'
import { exit, Stopped } from './exit.ts'
import { isLocal, localCommands } from './local.ts'
import type { NewFile } from './new-file.ts'
import { Printer } from './print.ts'
import { Progress } from './progress.ts'
import { CannotWrite, type Output, type OutputStream, outputTo, ReaderGone, styleFor } from './terminal.ts'
import {
  type CommandLine,
  commandName,
  FileError,
  type GlobalOptions,
  type OutputFormat,
  UsageError,
  type Word,
} from './words.ts'

export interface Context {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdin: NodeJS.ReadStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** Who runs it, as far as the program can tell. */
  readonly login: string
  /** Calls once at Ctrl-C; returns what takes the listener away. */
  onInterrupt(call: () => void): () => void
}

/** Where one of many command lines prints, and who interrupts it. */
export interface Surroundings {
  readonly out?: Output
  readonly err?: Output
  readonly onInterrupt?: Context['onInterrupt']
  /** The call has been sent. */
  readonly onSent?: () => void
  readonly isOneOfMany?: boolean
}

/** When it resolves everything is written, and the process may end at once. */
export async function runCtl(context: Context): Promise<number> {
  const program = new Program(context)
  try {
    const code = await program.run(await parseCommandLine(context.argv))
    await program.out.settled()
    return code
  } catch (error) {
    return await program.failed(error)
  } finally {
    program.close()
    await program.written()
  }
}

export class Program {
  readonly context: Context
  readonly out: Output
  options: GlobalOptions = {}
  #client: Client | undefined
  /** All commands, for those who run many; otherwise each is asked for by itself. */
  #description: Description | undefined
  /** One command line of many: what it says is kept short. */
  readonly #isOneOfMany: boolean
  readonly #onInterrupt: Context['onInterrupt']
  readonly #onSent: (() => void) | undefined
  /** Opened when first used: most commands print nothing there, and opening a stream takes its time. */
  #err: Output | undefined
  #progress: Progress | undefined

  constructor(context: Context, surroundings: Surroundings = {}) {
    this.context = context
    this.out = surroundings.out ?? outputTo(context.stdout)
    this.#err = surroundings.err
    this.#onInterrupt = surroundings.onInterrupt ?? ((call) => context.onInterrupt(call))
    this.#onSent = surroundings.onSent
    this.#isOneOfMany = surroundings.isOneOfMany ?? false
  }

  get err(): Output {
    this.#err ??= outputTo(this.context.stderr)
    return this.#err
  }

  get progress(): Progress {
    this.#progress ??= new Progress(this.err)
    return this.#progress
  }

  /** Nothing that was printed is still on its way, or can get anywhere. */
  async written(): Promise<void> {
    await Promise.allSettled([this.out.settled(), this.#err?.settled()])
  }

  /** One more command line on the same connection, with options of its own. */
  child(options: GlobalOptions, surroundings: Surroundings = {}): Program {
    const child = new Program(this.context, surroundings)
    child.options = { ...this.options, ...options }
    child.#client = this.#client
    child.#description = this.#description
    return child
  }

  /** A command that was learnt. */
  known(name: string): CommandDescription | undefined {
    return this.#description?.commands.find((command) => command.name === name)
  }

  /** Learns all commands at once. */
  async learn(): Promise<Description> {
    this.#description = await (await this.client()).describe()
    return this.#description
  }

  /** Whether somebody can be asked: both ends are a terminal. */
  get canAsk(): boolean {
    // In this order: opening standard input takes longer than a whole command.
    return this.err.isTerminal && this.context.stdin.isTTY === true
  }

  get format(): OutputFormat {
    return this.options.output ?? (this.out.isTerminal ? 'table' : 'text')
  }

  close(): void {
    this.#client?.close()
  }

  async run(line: CommandLine): Promise<number> {
    this.options = line.options
    const [first, ...rest] = line.words
    if (line.options.version) {
      await this.out.write(`gatehousectl ${manifest.version}\n`)
      return exit.done
    }
    if (first === undefined) {
      const { shortUsage } = await import('./help.ts')
      if (line.options.help) return this.#help([])
      await this.err.write(`${shortUsage()}\n`)
      return exit.usage
    }
    if (line.options.help) return this.#help([first])
    // Behind the command such a word is an argument (a password); no command begins so.
    if (first.text.startsWith('-')) {
      throw new UsageError(`there is no option '${first.text}'; 'gatehousectl --help' lists them`)
    }
    const name = commandName(first)
    return this.dispatch(name, rest)
  }

  /** Runs a command, the program's own or the server's. */
  async dispatch(name: string, given: Given): Promise<number> {
    if (!isLocal(name)) return this.#remote(name, given)
    if (!isWords(given))
      throw new UsageError(`the arguments of ${name} have no names: they are given in their order`)
    return this.#local(name, given)
  }

  async client(): Promise<Client> {
    if (!this.#client) {
      const places = await findSockets(this.options, this.context)
      if (this.options.verbose) await this.err.write(`asking ${places.map(({ path }) => path).join(', ')}\n`)
      this.#client = await openClient(places, this.context.login)
    }
    return this.#client
  }

  async #remote(name: string, given: Given): Promise<number> {
    const client = await this.client()
    const description = this.#description ?? (await client.describe(name))
    const command = description.commands.find((candidate) => candidate.name === name)
    if (!command) {
      const asked = description.nearest ? description : await client.describe(name)
      const { nearest = [], notAllowed } = asked
      if (notAllowed !== undefined) throw new Refused({ code: -32001, message: notAllowed })
      if (asked.takesWords && isWords(given) && !this.options.dryRun) {
        const said = await this.#words(client, [name, ...given.map(({ text }) => text)])
        if (said !== undefined) return said
      }
      const { unknownCommand } = await import('./help.ts')
      await this.err.write(`${unknownCommand(name, nearest)}\n`)
      return exit.usage
    }
    const isOnlyNamed = this.options.dryRun === true && !command.preview
    if (isOnlyNamed && !this.#isOneOfMany) {
      throw new UsageError(`${name} has no --dry-run; the commands that destroy something do`)
    }
    let built: Awaited<ReturnType<typeof buildArguments>>
    try {
      built = await buildArguments(command, description.hosts, given, this.#source(client, description))
    } catch (error) {
      if (!(error instanceof WrongCount)) throw error
      return this.#wrongCount(command, error.more)
    }
    if (isOnlyNamed) {
      await this.out.write(`${name} would be run\n`)
      return exit.done
    }
    if (!(await this.#mayDestroy(client, command, built.params))) return exit.no
    return this.#call(client, command, built)
  }

  /** What is no command may mean something to a module; undefined when it does not. */
  async #words(client: Client, words: readonly string[]): Promise<number | undefined> {
    try {
      const reply = await client.call(methods.words, { words })
      return new Printer(
        this.out,
        { kind: 'string', name: 'answer' },
        {
          format: this.format,
          fields: this.options.fields,
          style: styleFor(this.out, this.context.environment),
        },
      ).finish(reply)
    } catch (error) {
      if (error instanceof Refused && error.code === errorCodes.unknownCommand) return undefined
      throw error
    }
  }

  async #wrongCount(command: CommandDescription, more: number): Promise<number> {
    const { wrongCount, wrongCountMessage } = await import('./help.ts')
    const message = this.#isOneOfMany
      ? wrongCountMessage(command, more)
      : wrongCount(command, more, await this.helpOptions(this.err))
    await this.err.write(`${message}\n`)
    return exit.usage
  }

  async #call(
    client: Client,
    command: CommandDescription,
    { params, file, newFile }: Awaited<ReturnType<typeof buildArguments>>,
  ): Promise<number> {
    const style = styleFor(this.out, this.context.environment)
    const printer = new Printer(this.out, command.result, {
      format: this.format,
      fields: this.options.fields,
      style,
    })
    const target = newFile === undefined ? undefined : await this.#newFile(newFile)
    let callId = -1
    // Before the command is sent: from then on Ctrl-C is the command's.
    const stop = this.#interruption(client, () => callId)
    const { name } = command
    const [method, sent] = this.options.dryRun ? [methods.preview, { command: name, params }] : [name, params]
    const call = client.call(
      method,
      sent,
      {
        rows: (rows) => printer.rows(rows),
        bytes: async (bytes) => target?.write(bytes),
        progress: (done, total, text) => this.#showProgress(done, total, text),
        file,
      },
      (id) => {
        callId = id
        this.#onSent?.()
      },
    )
    try {
      const reply = await Promise.race([call, stop.promise])
      this.#progress?.clear()
      if ('bytes' in reply) await target?.finish()
      const code = await printer.finish(reply)
      if (printer.isEmptyTable && this.err.isTerminal && !this.#isOneOfMany)
        await this.err.write(`${style.dim('(nothing)')}\n`)
      return code
    } finally {
      stop.dispose()
      this.#progress?.clear()
      await target?.discard()
    }
  }

  async #newFile(path: string): Promise<NewFile> {
    const { NewFile } = await import('./new-file.ts')
    return NewFile.at(path, this.out)
  }

  /** Rejects at Ctrl-C and when the time is over, and tells the server that nobody waits any more. */
  #interruption(client: Client, id: () => number): { promise: Promise<never>; dispose: () => void } {
    let dispose = () => undefined as undefined
    const promise = new Promise<never>((_, reject) => {
      const end = (error: Error) => {
        client.cancel(id()).catch(() => undefined)
        reject(error)
      }
      const off = this.#onInterrupt(() => end(new Stopped()))
      const { timeout } = this.options
      const timer =
        timeout === undefined
          ? undefined
          : setTimeout(
              () => end(new NoServer(`No answer within ${timeout} seconds; the command may have been done.`)),
              timeout * 1_000,
            )
      dispose = () => {
        off()
        clearTimeout(timer)
        return undefined
      }
    })
    promise.catch(() => undefined)
    return { promise, dispose: () => dispose() }
  }

  #showProgress(done: number, total: number | undefined, text = ''): void {
    if (this.#isOneOfMany) return
    const amount = total === undefined ? `${done}` : `${done} of ${total}`
    this.progress.show(done, total, text === '' ? amount : `${amount}  ${text}`)
  }

  /** Where arguments come from that are no words; looked at only when one is needed. */
  #source(client: Client, description: Description): ArgumentSource {
    const program = this
    const { context } = this
    return {
      cwd: context.cwd,
      get stdin() {
        return context.stdin
      },
      get ask() {
        return program.canAsk ? ask : undefined
      },
    }
    async function ask(argument: ArgumentDescription, given: Readonly<Record<string, JsonValue>>) {
      const { openPrompts } = await import('./prompt.ts')
      const prompts = await openPrompts(context.stdin, context.stderr)
      if (argument.secret) return prompts.secret(argument)
      const { searchFor } = await import('./suggestions.ts')
      return prompts.argument(argument, searchFor(client, description, argument, given))
    }
  }

  /** Whether a person is asked before the command runs: for what is missing, or whether it is meant. */
  asksAbout(command: CommandDescription, given: Given): boolean {
    if (!this.canAsk) return false
    return (
      hasGaps(command, given) || (command.destroys !== undefined && !this.options.yes && !this.options.dryRun)
    )
  }

  /** What destroys asks on a terminal; elsewhere what destroys in bulk needs --yes. */
  async #mayDestroy(
    client: Client,
    command: CommandDescription,
    params: Readonly<Record<string, JsonValue>>,
  ): Promise<boolean> {
    const { destroys, destroysIf } = command
    if (destroys === undefined || this.options.yes || this.options.dryRun) return true
    if (destroysIf && params[destroysIf.argument] !== destroysIf.value) return true
    if (!this.canAsk) {
      if (destroys === 'one') return true
      throw new UsageError(`${command.name} destroys in bulk; say --yes when that is meant`)
    }
    const would = await this.#wouldBe(client, command, params)
    if (would?.ok === false) {
      await this.out.write(`${would.text}\n`)
      return false
    }
    const { openPrompts } = await import('./prompt.ts')
    const prompts = await openPrompts(this.context.stdin, this.context.stderr)
    const what = would?.text ?? inWords(command, params)
    const isLong = what.includes('\n')
    if (isLong) await this.err.write(`${what}\n`)
    const sure = await prompts.confirm(isLong ? 'Go on?' : `${what}. Go on?`)
    if (!sure) await this.err.write('Nothing was done.\n')
    return sure
  }

  /** What the command would do, in a sentence; undefined where that is a list. */
  async #wouldBe(
    client: Client,
    { name, preview, result }: CommandDescription,
    params: Readonly<Record<string, JsonValue>>,
  ): Promise<{ readonly ok: boolean; readonly text: string } | undefined> {
    if (!preview || (result.kind !== 'rescode' && result.kind !== 'restuple')) return undefined
    const reply = await client.call(methods.preview, { command: name, params })
    return 'ok' in reply && reply.text ? { ok: reply.ok, text: reply.text } : undefined
  }

  async #local(name: string, words: readonly Word[]): Promise<number> {
    const command = localCommands.find((candidate) => candidate.name === name)
    if (command && !command.takesMore && words.length > command.args.length) {
      return this.#wrongCount(command, command.args.length - words.length)
    }
    switch (name) {
      case 'batch':
        return (await import('./batch.ts')).runBatch(this, words)
      case 'complete_words':
        return (await import('./completion.ts')).completeWords(this, words)
      case 'completion':
        return (await import('./completion.ts')).completionScript(this, words)
      case 'help':
        return this.#help(words)
      case 'man':
        return (await import('./help-command.ts')).runMan(this)
      case 'shell':
        return (await import('./shell.ts')).runShell(this)
      case 'watch':
        return (await import('./watch.ts')).runWatch(this, words)
      default:
        return (await import('./wait.ts')).waitForServer(this, name === 'started')
    }
  }

  async helpOptions(output: Output) {
    const style = styleFor(output, this.context.environment)
    const width = output.isTerminal && output.columns ? output.columns - 2 : 78
    return { style, width }
  }

  async #help(words: readonly Word[]): Promise<number> {
    const { runHelp } = await import('./help-command.ts')
    return runHelp(
      this,
      words.map(({ text }) => text),
    )
  }

  /** What went wrong, as the person sees it; gives the exit code. */
  async failed(error: unknown): Promise<number> {
    try {
      return await this.#failed(error)
    } catch (second) {
      if (second instanceof ReaderGone) return exit.done
      // Nowhere left to say it.
      if (second instanceof CannotWrite) return exit.no
      throw second
    }
  }

  async #failed(error: unknown): Promise<number> {
    if (error instanceof ReaderGone) return exit.done
    if (error instanceof Stopped || (error instanceof Error && error.name === 'Interrupted')) {
      // Behind the terminal's ^C.
      if (this.err.isTerminal) await this.err.write('\n')
      return exit.interrupted
    }
    if (error instanceof CannotWrite) {
      await this.err.write(`Error: ${error.message}\n`)
      return exit.no
    }
    if (error instanceof UsageError) {
      await this.err.write(`Error: ${error.message}\n`)
      return exit.usage
    }
    if (error instanceof NoServer) {
      await this.err.write(`${error.message}\n`)
      return exit.noServer
    }
    if (error instanceof Refused || error instanceof FileError) {
      const isJson = this.format === 'json' || this.format === 'jsonl'
      const { message } = error
      const code = error instanceof Refused ? error.code : errorCodes.failed
      await this.err.write(
        isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `Error: "${message}"\n`,
      )
      // JSON-RPC: method not found, invalid params.
      return code === -32601 || code === -32602 ? exit.usage : exit.no
    }
    throw error
  }
}

/** A command with its arguments, secrets left out. */
function inWords({ name, args }: CommandDescription, params: Readonly<Record<string, JsonValue>>): string {
  const shown = args.filter((arg) => !arg.secret && params[arg.name] !== undefined)
  const words = shown.map(({ name: arg, option }) => {
    const text = String(params[arg])
    const word = /^[^\s"']+$/.test(text) ? text : JSON.stringify(text)
    return option ? `--${arg} ${word}` : word
  })
  return [name, ...words].join(' ')
}
