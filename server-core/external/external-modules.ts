/**
 * Modules of others: files that the configuration names (`external_modules`), read while the server runs, and read again when
 * they have changed. Whatever is wrong with them is said in one sentence and changes nothing.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import * as nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { z } from 'zod'
import { bundled } from '../bundled.ts'
import { findings, optionName } from '../config/complaint.ts'
import { isSchema } from '../config/fields.ts'
import { nearest } from '../config/nearest.ts'
import type { ModuleSpec } from '../extend/gen-mod.ts'
import { Turns } from '../extend/turns.ts'
import { Late, within } from '../extend/within.ts'
import { initialize, numbered, publicEntry, resolveSync, unnumbered } from './resolver.ts'

/** The module cannot be had, and why. */
export class ExternalModuleError extends Error {
  override readonly name = 'ExternalModuleError'
}

/** How long a file may take to be read and run, in milliseconds. */
const importTimeout = 10_000
/** Files of one module that are looked at for changes. */
const maxFiles = 1_000

interface Loaded {
  readonly fingerprint: string
  readonly spec: ModuleSpec
}

export class ExternalModules {
  readonly #ownNames: readonly string[]
  readonly #loaded = new Map<string, Loaded>()
  readonly #turns = new Turns()
  #loadings = 0

  /** @param ownNames those of the server's own modules, which nobody else's may have */
  constructor(ownNames: readonly string[]) {
    this.#ownNames = ownNames
  }

  /** Whether code of others has run: what it has begun may keep the process alive. */
  get haveRun(): boolean {
    return this.#loadings > 0
  }

  /**
   * The module as its files are now: the same object as long as they do not change. Rejects with ExternalModuleError.
   * @param path of a file, or of a folder with a package.json or an index file
   */
  load(name: string, path: string): Promise<ModuleSpec> {
    return this.#turns.take(name, () => this.#load(name, path))
  }

  /** All that a configuration names. */
  all(files: Readonly<Record<string, string>>): Promise<readonly ModuleSpec[]> {
    return Promise.all(Object.entries(files).map(([name, path]) => this.load(name, path)))
  }

  async #load(name: string, path: string): Promise<ModuleSpec> {
    if (!/^mod_[a-z][a-z0-9_]*$/.test(name)) {
      throw new ExternalModuleError('the name of a module is mod_ and small letters, digits and _')
    }
    if (this.#ownNames.includes(name)) {
      throw new ExternalModuleError(`${name} is a module of the server's own; yours needs another name`)
    }
    const file = await entryOf(path)
    const fingerprint = await fingerprintOf(file)
    const before = this.#loaded.get(name)
    if (before?.fingerprint === fingerprint) return before.spec
    const spec = specOf(name, file, await run(file, ++this.#loadings))
    this.#loaded.set(name, { fingerprint, spec })
    return spec
  }
}

/** The file that a path means: itself, or what a folder's package.json calls `main`, or its index. */
async function entryOf(path: string): Promise<string> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ExternalModuleError(
      code === 'ENOENT' ? `there is no file ${path}` : `${path} cannot be read: ${code}`,
    )
  }
  if (!isFolder) return path
  const main = await mainOf(join(path, 'package.json'))
  const names = main === undefined ? ['index.js', 'index.mjs', 'index.ts'] : [main]
  for (const name of names) {
    const file = join(path, name)
    if (await isFile(file)) return file
  }
  throw new ExternalModuleError(`in the folder ${path} there is no ${names.join(', ')}`)
}

async function mainOf(file: string): Promise<string | undefined> {
  if (!(await isFile(file))) return undefined
  try {
    const content = JSON.parse(await readFile(file, 'utf8')) as { main?: unknown } | null
    return typeof content?.main === 'string' ? content.main : undefined
  } catch (error) {
    throw new ExternalModuleError(`${file} cannot be read: ${(error as Error).message}`)
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}

const relativeImport = /(?:\bfrom|\bimport)\s*\(?\s*(['"])(\.{1,2}\/[^'"\n]+)\1/g

/** Of the file and of what it imports from beside it, as far as that can be read. */
async function fingerprintOf(entry: string): Promise<string> {
  const hash = createHash('sha256')
  const files = new Set([entry])
  for (const file of files) {
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (file === entry) throw new ExternalModuleError(`${file} cannot be read: ${(error as Error).message}`)
      continue
    }
    hash.update(`${file}\0${text.length}\0${text}`)
    for (const [, , specifier = ''] of text.matchAll(relativeImport)) {
      if (files.size < maxFiles) files.add(join(dirname(file), specifier))
    }
  }
  return hash.digest('base64')
}

/** The default export of a file that is run. */
async function run(file: string, loading: number): Promise<unknown> {
  hookResolution()
  const url = numbered(pathToFileURL(file), loading)
  try {
    const all = (await within(importTimeout, import(url))) as { readonly default?: unknown }
    if (!('default' in all)) {
      const names = Object.keys(all)
      throw new ExternalModuleError(
        `${file} has no default export (${names.length > 0 ? `only ${names.join(', ')}` : 'it exports nothing'}); write: export default defineModule({…})`,
      )
    }
    return all.default
  } catch (error) {
    if (error instanceof ExternalModuleError) throw error
    throw new ExternalModuleError(`${file} cannot be loaded: ${why(error, file)}`, { cause: error })
  }
}

function why(error: unknown, file: string): string {
  if (error instanceof Late) return `it does not come to an end within ${importTimeout / 1_000} s`
  if (!(error instanceof Error)) return `it throws ${String(error)}`
  const { code } = error as NodeJS.ErrnoException
  const message = unnumbered(error.message)
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && file.endsWith('.ts')) {
    return 'Node 22.18 or newer runs TypeScript as it is; for this one translate it to JavaScript'
  }
  if (code === 'ERR_MODULE_NOT_FOUND' && message.includes("'zod'")) {
    return `${message}: take z from '${publicEntry}', or install zod in its folder`
  }
  const place = placeIn(error)
  const hint = error instanceof SyntaxError && place === '' ? `; 'node ${file}' shows the place` : ''
  return `${error.name}: ${message}${place}${hint}`
}

/** The first place in a module's own files that a stack names. */
function placeIn(error: Error): string {
  const place = /file:\/\/([^\s()]+)\?gatehouse=\d+:(\d+)/.exec(error.stack ?? '')
  return place ? ` (${fileURLToPath(`file://${place[1]}`)}:${place[2]})` : ''
}

const isFunction = (value: unknown) => typeof value === 'function'
const aFunction = z.custom(isFunction, 'must be a function')

const shape = z.strictObject({
  name: z.string(),
  doc: z.string().min(1),
  options: z.record(
    z.string().regex(/^[a-z][a-z0-9_]*$/),
    z.custom(isSchema, `must be a schema of z, from '${publicEntry}'`),
  ),
  requires: z.array(z.string()).optional(),
  after: z.array(z.string()).optional(),
  start: aFunction,
  stop: aFunction.optional(),
  reload: aFunction.optional(),
})

/** What a file exports is a module, of the name that it is configured by. */
function specOf(name: string, file: string, value: unknown): ModuleSpec {
  const parsed = shape.safeParse(value)
  if (!parsed.success) {
    const problems = findings(parsed.error, shape, value).map(({ path, message }) =>
      path.length === 0 ? message : `${optionName(path)}: ${unknownPart(path, message)}`,
    )
    throw new ExternalModuleError(`what ${file} exports is no module: ${problems.join('; ')}`)
  }
  if (parsed.data.name !== name) {
    throw new ExternalModuleError(
      `${file} is the module ${parsed.data.name}, not ${name}: call it the same in both places`,
    )
  }
  return value as ModuleSpec
}

function unknownPart(path: readonly (string | number)[], message: string): string {
  if (!message.startsWith('unknown option')) return message
  const near = nearest(String(path.at(-1)), Object.keys(shape.shape))
  return near === undefined
    ? 'a module has no such part'
    : `a module has no such part, did you mean '${near}'?`
}

interface HooksOfNode {
  /** Since Node 22.15. */
  registerHooks?(hooks: { resolve: typeof resolveSync }): void
  register(specifier: string, options: { data: unknown }): void
}

let isHooked = false

/** Once, and only where there are modules of others. */
function hookResolution(): void {
  if (isHooked) return
  isHooked = true
  const data = { server: bundled('module.js').href }
  const node = nodeModule as unknown as HooksOfNode
  if (node.registerHooks) {
    initialize(data)
    node.registerHooks({ resolve: resolveSync })
  } else {
    node.register(bundled('module-resolver.js').href, { data })
  }
}
