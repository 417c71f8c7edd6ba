/**
 * How the imports in modules of others are found (Node's customization hooks): `gatehouse-xmpp/module` is the server that runs
 * them, wherever their files are and whatever is installed beside them; and each loading of a module has all of its own files
 * anew, as Node would otherwise give those that it has read once.
 *
 * Runs in the server's thread where Node can do that (22.15), else in the thread that Node has for it.
 */

export const publicEntry = 'gatehouse-xmpp/module'

/** In the addresses of a module's files; the number is that of the loading. */
const marker = /[?&]gatehouse=\d+/

/** The address of a file for the nth loading. */
export function numbered(url: URL, n: number): string {
  return `${url.href}?gatehouse=${n}`
}

/** Addresses, and texts with addresses, as people know them. */
export function unnumbered(text: string): string {
  return text.replaceAll(/\?gatehouse=\d+/g, '')
}

/** Whether an error arose in the code of a module of others. */
export function isFromModule(error: unknown): boolean {
  return error instanceof Error && marker.test(error.stack ?? '')
}

export interface Resolution {
  readonly url: string
  readonly format?: string | null
  readonly shortCircuit?: boolean
}

interface ResolveContext {
  readonly parentURL?: string
}

type Next<R> = (specifier: string, context: ResolveContext) => R

let server = ''

/** @param data.server the address of what `gatehouse-xmpp/module` is */
export function initialize(data: { readonly server: string }): void {
  server = data.server
}

/** For the thread of its own. */
export async function resolve(
  specifier: string,
  context: ResolveContext,
  next: Next<Promise<Resolution>>,
): Promise<Resolution> {
  if (specifier === publicEntry) return { url: server, shortCircuit: true }
  return followed(specifier, context, await next(specifier, context))
}

/** The same for the server's thread. */
export function resolveSync(specifier: string, context: ResolveContext, next: Next<Resolution>): Resolution {
  if (specifier === publicEntry) return { url: server, shortCircuit: true }
  return followed(specifier, context, next(specifier, context))
}

/** What a module's file imports from its own folders belongs to the same loading; packages are as they always are. */
function followed(specifier: string, { parentURL = '' }: ResolveContext, found: Resolution): Resolution {
  const number = marker.exec(specifier) ?? marker.exec(parentURL)
  const url = new URL(found.url)
  if (number === null || url.protocol !== 'file:' || url.pathname.includes('/node_modules/')) return found
  url.search = number[0].replace('&', '?')
  // ES modules, whatever a package.json says or does not say about them
  const isScript = url.pathname.endsWith('.js')
  return { ...found, url: url.href, ...(isScript ? { format: 'module' } : {}) }
}
