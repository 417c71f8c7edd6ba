// Bundles the benchmarks and runs them: Node 20 does not read TypeScript. They lie two folders deep, as their sources do,
// so that paths relative to a module stay true.
import { build } from 'esbuild'

const outfile = 'dist/bench/main.js'
await build({
  entryPoints: ['bench/main.ts'],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
})
await import(`../${outfile}`)
