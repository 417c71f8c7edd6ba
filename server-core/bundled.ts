/** A file of the bundled program, for what is started or loaded by its path. Sources that run unbundled, as tests do, find it in dist/. */
export function bundled(file: string): URL {
  return new URL(import.meta.url.endsWith('.ts') ? `../dist/${file}` : `./${file}`, import.meta.url)
}
