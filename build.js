// Bundles the three programs into dist/: plain JavaScript, our own code in a few shared chunks. Libraries stay in
// node_modules, so that native ones work and the heavy ones are loaded only where they are needed.
// gatehousectl runs for a moment only, and somebody waits for the first answer of gatehouse-extauth: each is one CommonJS file,
// which Node starts faster than ES modules. gatehousectl's command line parser is another, read when there are options; as a library
// of many files it would take a fifth of the time of a command.
import { spawnSync } from 'node:child_process'
import { chmod, cp, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { build } from 'esbuild'

const programs = {
  gatehouse: 'server-core/main.ts',
  'hash-worker': 'server-core/accounts/formats/hashing/worker.ts',
  'self-signed-worker': 'server-core/net/self-signed-worker.ts',
  module: 'server-core/module.ts',
  'module-resolver': 'server-core/external/resolver.ts',
}

// Made beside dist and moved there file by file: programs that run from there load chunks later, and must find theirs.
const made = `dist-${process.pid}`
const options = {
  outdir: made,
  bundle: true,
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
}
await build({ ...options, entryPoints: programs, format: 'esm', splitting: true })
const quickStart = {
  ...options,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  minifyWhitespace: true,
  minifySyntax: true,
}
await build({
  ...quickStart,
  minifyIdentifiers: true,
  entryPoints: { gatehousectl: 'ctl/main.ts' },
  alias: { commander: './commander.cjs' },
  external: ['./commander.cjs'],
})
// commander would start programs for subcommands, of which there are none here; loading what can do that takes long.
const withoutPrograms = {
  name: 'commander without child_process',
  setup(build) {
    build.onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes('/node_modules/commander/') ? { path: 'node:events', external: true } : undefined,
    )
  },
}
await build({
  ...quickStart,
  minifyIdentifiers: true,
  entryPoints: { commander: 'commander' },
  packages: 'bundle',
  sourcemap: false,
  plugins: [withoutPrograms],
})
// Of the libraries those come along that every start needs: finding and reading many small files takes longer than running them.
const { dependencies } = JSON.parse(await readFile('package.json', 'utf8'))
await build({
  ...quickStart,
  entryPoints: { 'gatehouse-extauth-main': 'auth-script/main.ts' },
  packages: 'bundle',
  external: Object.keys(dependencies).filter((name) => !['commander', 'pino'].includes(name)),
  plugins: [withoutPrograms],
  define: { 'import.meta.url': 'ownUrl' },
  banner: { js: "const ownUrl = require('node:url').pathToFileURL(__filename).href;" },
})
await cp('auth-script/launcher.sh', `${made}/gatehouse-extauth`)
await cp('auth-script/relay/relay.c', `${made}/relay.c`)
// The launcher compiles the relay at its first use; here it is done early, if there is a compiler.
spawnSync('cc', ['-O2', '-o', `${made}/gatehouse-extauth-relay`, `${made}/relay.c`], { stdio: 'inherit' })

// What modules of others are written against; the code is dist/module.js.
const types = ['node_modules/.bin/tsc', '-p', 'tsconfig.types.json', '--outDir', `${made}/types`]
const { status } = spawnSync(process.execPath, types, { stdio: 'inherit' })
if (status !== 0) throw new Error('the declarations of types could not be made')

for (const file of ['gatehouse.js', 'gatehousectl.cjs', 'gatehouse-extauth'])
  await chmod(`${made}/${file}`, 0o755)
await mkdir('dist', { recursive: true })
const files = await readdir(made)
await rm('dist/types', { recursive: true, force: true })
for (const file of files) await rename(`${made}/${file}`, `dist/${file}`)
await rm(made, { recursive: true })
const tenMinutes = 600_000
for (const file of await readdir('dist')) {
  if (files.includes(file)) continue
  const { mtimeMs } = await stat(`dist/${file}`)
  if (Date.now() - mtimeMs > tenMinutes) await rm(`dist/${file}`, { recursive: true, force: true })
}

// In a checkout `npx gatehousectl …` finds the programs here, as it would in an installed package.
const bins = {
  gatehouse: 'gatehouse.js',
  gatehousectl: 'gatehousectl.cjs',
  'gatehouse-extauth': 'gatehouse-extauth',
}
await mkdir('node_modules/.bin', { recursive: true })
for (const [name, file] of Object.entries(bins)) {
  await symlink(`../../dist/${file}`, `node_modules/.bin/${name}-${process.pid}`)
  await rename(`node_modules/.bin/${name}-${process.pid}`, `node_modules/.bin/${name}`)
}
