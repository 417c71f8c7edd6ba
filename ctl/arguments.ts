/** The words behind a command's name → its parameters: which form they are, files and standard input read, gaps asked for. */
import type { FileHandle } from 'node:fs/promises'
import { resolve } from 'node:path'
import type {
  ArgumentDescription,
  CommandDescription,
  JsonValue,
} from '../server-core/admin/control-protocol.ts'
import { FileError, meaningOf, UsageError, type Word } from './words.ts'

/** A wrong number of words; the caller shows the command's page. */
export class WrongCount extends Error {
  override readonly name = 'WrongCount'
  /** How many more are wanted; below 0, how many less. */
  readonly more: number

  constructor(more: number) {
    super(`${more} more`)
    this.more = more
  }
}

/** What was given for the arguments: words in their order, or values by the arguments' names. */
export type Given = readonly Word[] | Readonly<Record<string, JsonValue>>

export interface ArgumentSource {
  /** The folder that paths are meant from. */
  readonly cwd: string
  /** Standard input as it comes. */
  readonly stdin: AsyncIterable<Buffer | string>
  /** Asks for an argument that is missing; undefined where there is no terminal. */
  readonly ask:
    | ((argument: ArgumentDescription, given: Readonly<Record<string, JsonValue>>) => Promise<string>)
    | undefined
}

export interface Arguments {
  readonly params: Record<string, JsonValue>
  /** The file that the server will ask for, portion by portion. */
  readonly file: AsyncIterator<string> | undefined
  /** Where the file that comes back is written; '-' is standard output. */
  readonly newFile: string | undefined
}

/** A portion of a file, in characters; far below the longest line. */
const portion = 131_072

export async function buildArguments(
  command: CommandDescription,
  hosts: readonly string[],
  given: Given,
  source: ArgumentSource,
): Promise<Arguments> {
  const byName = isWords(given) ? undefined : fromNames(command, given)
  const { words, options } = isWords(given)
    ? withoutOptions(command, given)
    : (byName ?? { words: [], options: {} })
  const names = byName?.names ?? chooseForm(command, hosts, words, () => source.ask !== undefined)
  const params: Record<string, JsonValue> = { ...options }
  let file: AsyncIterator<string> | undefined
  let newFile: string | undefined
  let stdinUser: string | undefined
  const fromStdin = (name: string): AsyncIterable<Buffer | string> => {
    if (stdinUser !== undefined)
      throw new UsageError(`only one argument can be '-', standard input (${stdinUser} is)`)
    stdinUser = name
    return source.stdin
  }
  for (const [i, word] of words.entries()) {
    const argument = argumentNamed(command, names[i] ?? '')
    const meaning = meaningOf(word)
    if (argument.names === 'file') {
      const path = 'path' in meaning ? meaning.path : 'text' in meaning ? meaning.text : 'standard input'
      const chunks = meaning.kind === 'stdin' ? fromStdin(argument.name) : await opened(path, source.cwd)
      file = decoded(chunks, path)[Symbol.asyncIterator]()
      params[argument.name] = { stream: true }
    } else if (word.text === '' && isPath(argument)) {
      throw new UsageError(`argument '${argument.name}' is empty; it is the name of a file`)
    } else if (argument.names === 'new-file') {
      newFile = word.text === '-' && !word.literal ? '-' : resolve(source.cwd, word.text)
      params[argument.name] = newFile
    } else if (argument.names === 'server-file') {
      params[argument.name] = resolve(source.cwd, word.text)
    } else {
      params[argument.name] = typed(
        argument,
        await textOf(meaning, source.cwd, () => fromStdin(argument.name)),
      )
    }
  }
  const gaps = missing(command, names, words.length)
  for (const argument of gaps) {
    if (byName) throw new UsageError(`argument '${argument.name}' is missing`)
    if (!source.ask) throw new WrongCount(gaps.length)
    const answer = await source.ask(argument, params)
    params[argument.name] = isPath(argument) ? resolve(source.cwd, answer) : typed(argument, answer)
    if (argument.names === 'new-file') newFile = resolve(source.cwd, answer)
  }
  return { params, file, newFile }
}

/** One that travels as an absolute path. */
function isPath({ names }: ArgumentDescription): boolean {
  return names === 'new-file' || names === 'server-file'
}

export function isWords(given: Given): given is readonly Word[] {
  return Array.isArray(given)
}

/** Takes out the command's own options: `--name VALUE` or `--name=VALUE`, unless they are behind `--`. Throws UsageError. */
function withoutOptions(
  command: CommandDescription,
  given: readonly Word[],
): { readonly words: readonly Word[]; readonly options: Readonly<Record<string, string>> } {
  const named = command.args.filter(({ option }) => option)
  if (named.length === 0) return { words: given, options: {} }
  const words: Word[] = []
  const options: Record<string, string> = {}
  for (let i = 0; i < given.length; i++) {
    const word = given[i] as Word
    const [, flag = '', value] = /^(--[^=]+)(?:=(.*))?$/s.exec(word.literal ? '' : word.text) ?? []
    const argument = named.find(({ name }) => `--${name}` === flag)
    if (!argument) {
      words.push(word)
      continue
    }
    const text = value ?? given[++i]?.text
    if (text === undefined) throw new UsageError(`${flag} needs a value: ${argument.doc}`)
    const { name } = argument
    options[name] = options[name] === undefined ? text : `${options[name]};${text}`
  }
  return { words, options }
}

/** Whether all that the command needs stands there: no file, no standard input, nothing that is written here. */
export function isPlainText(command: CommandDescription, given: Given): boolean {
  if (command.args.some(({ names }) => names?.endsWith('file'))) return false
  return !isWords(given) || given.every((word) => meaningOf(word).kind === 'text')
}

/** Whether words are missing, so that somebody has to be asked. */
export function hasGaps(command: CommandDescription, given: Given): boolean {
  if (!isWords(given)) return false
  const fits = command.forms.find(({ names }) => names.length === given.length)
  return !fits || missing(command, fits.names, given.length).length > 0
}

/** The form that has exactly these arguments, and what is given for them. Throws UsageError. */
function fromNames(
  command: CommandDescription,
  values: Readonly<Record<string, JsonValue>>,
): {
  readonly names: readonly string[]
  readonly words: readonly Word[]
  readonly options: Readonly<Record<string, string>>
} {
  const all = Object.keys(values).filter((name) => values[name] !== null)
  const isOption = (name: string) => command.args.some((arg) => arg.name === name && arg.option)
  const options = Object.fromEntries(
    all.filter(isOption).map((name) => [name, textFrom(name, values[name] ?? null)]),
  )
  const given = all.filter((name) => !isOption(name))
  const unknown = given.find((name) => !command.args.some((argument) => argument.name === name))
  if (unknown !== undefined) {
    const known = command.args.map(({ name }) => name).join(', ') || 'none'
    throw new UsageError(`${command.name} has no argument '${unknown}'; there are: ${known}`)
  }
  const { forms } = command
  const fits = forms.filter(({ names }) => given.every((name) => names.includes(name)))
  const [form] = fits.sort((a, b) => a.names.length - b.names.length)
  if (!form) throw new UsageError(`${given.join(', ')} do not go together in ${command.name}`)
  const gap = form.names.find((name) => !given.includes(name))
  if (gap !== undefined) throw new UsageError(`argument '${gap}' is missing`)
  const words = form.names.map((name) => ({ text: textFrom(name, values[name] ?? null), literal: true }))
  return { names: form.names, words, options }
}

function textFrom(name: string, value: JsonValue): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  throw new UsageError(`argument '${name}' must be a text or a number`)
}

/** What of the command's arguments no word was given for: the rest of the form, and secrets that the form leaves out. */
function missing(
  command: CommandDescription,
  names: readonly string[],
  given: number,
): ArgumentDescription[] {
  const rest = names.slice(given).map((name) => argumentNamed(command, name))
  const leftOut = command.args.filter(({ name, optional }) => !optional && !names.includes(name))
  return [...rest, ...leftOut]
}

function argumentNamed(command: CommandDescription, name: string): ArgumentDescription {
  const argument = command.args.find((candidate) => candidate.name === name)
  if (!argument) throw new Error(`${command.name} has no argument ${name}`)
  return argument
}

/** The form that these words are; with a terminal the beginning of one is enough. Throws WrongCount or UsageError. */
function chooseForm(
  command: CommandDescription,
  hosts: readonly string[],
  words: readonly Word[],
  canAsk: () => boolean,
): readonly string[] {
  const forms = command.forms.filter(({ names }) => names.length === words.length)
  if (forms.length === 1) return forms[0]?.names ?? []
  if (forms.length > 1) {
    const isHost = (at: number | undefined) =>
      at === undefined || hosts.includes((words[at]?.text ?? '').toLowerCase())
    const chosen = forms.find(({ hostAt }) => isHost(hostAt))
    if (chosen) return chosen.names
    const given = words.map(({ text }) => `'${text}'`).join(' and ')
    throw new UsageError(`neither of ${given} is a host of this server (${hosts.join(', ')})`)
  }
  const longest = command.forms.reduce((a, b) => (b.names.length > a.names.length ? b : a))
  if (words.length < longest.names.length && canAsk()) return longest.names
  const differences = command.forms.map(({ names }) => names.length - words.length)
  throw new WrongCount(differences.reduce((best, more) => (Math.abs(more) < Math.abs(best) ? more : best)))
}

/** Whether it is an integer is the server's to say; it gets one when it looks like one. */
function typed(argument: ArgumentDescription, text: string): JsonValue {
  return argument.type === 'integer' && /^[+-]?\d{1,15}$/.test(text) ? Number(text) : text
}

async function textOf(
  meaning: ReturnType<typeof meaningOf>,
  cwd: string,
  stdin: () => AsyncIterable<Buffer | string>,
): Promise<string> {
  if (meaning.kind === 'text') return meaning.text
  const [chunks, name]: [AsyncIterable<Buffer | string>, string] =
    meaning.kind === 'stdin' ? [stdin(), 'standard input'] : [await opened(meaning.path, cwd), meaning.path]
  let text = ''
  for await (const part of decoded(chunks, name)) {
    text += part
    if (text.length > 1_000_000) throw new FileError(`${name} is too long for an argument`)
  }
  // The line end that every editor and echo puts there.
  return text.replace(/\r?\n$/, '')
}

/** UTF-8 in portions that fit a line; throws FileError. */
async function* decoded(chunks: AsyncIterable<Buffer | string>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    for await (const chunk of chunks) {
      const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
      for (let at = 0; at < text.length; at += portion) yield text.slice(at, at + portion)
    }
    const rest = decoder.decode()
    if (rest !== '') yield rest
  } catch (error) {
    if (error instanceof TypeError) throw new FileError(`${name} is not UTF-8 text`)
    throw unreadable(error, name)
  }
}

/** Opened at once, so that a missing file is noticed before anything is asked of the server. */
async function opened(path: string, cwd: string): Promise<AsyncIterable<Buffer | string>> {
  return (await openedFile(path, cwd)).createReadStream()
}

/** Throws FileError. */
export async function openedFile(path: string, cwd: string): Promise<FileHandle> {
  if (path === '') throw new FileError('Cannot read a file without a name')
  const { open } = await import('node:fs/promises')
  try {
    const handle = await open(resolve(cwd, path))
    if (!(await handle.stat()).isDirectory()) return handle
    await handle.close()
  } catch (error) {
    throw unreadable(error, path)
  }
  throw new FileError(`Cannot read ${path}: ${reasons['EISDIR']}`)
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
}

function unreadable(error: unknown, name: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  return code === undefined ? error : new FileError(`Cannot read ${name}: ${reasons[code] ?? code}`)
}
