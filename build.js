// Bundles the three programs into dist/: plain JavaScript, our own code in a few shared chunks. Libraries stay in
// node_modules, so that native ones work and the heavy ones are loaded only where they are needed.
import { spawnSync } from 'node:child_process'
import { chmod, cp, mkdir, rm, symlink } from 'node:fs/promises'
import { build } from 'esbuild'

const programs = {
  gatehouse: 'server-core/main.ts',
  gatehousectl: 'ctl/main.ts',
  'gatehouse-extauth-main': 'auth-script/main.ts',
  'hash-worker': 'server-core/accounts/formats/hashing/worker.ts',
}

await rm('dist', { recursive: true, force: true })
await build({
  entryPoints: programs,
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
})
await cp('auth-script/launcher.sh', 'dist/gatehouse-extauth')
await cp('auth-script/relay/relay.c', 'dist/relay.c')
// The launcher compiles the relay at its first use; here it is done early, if there is a compiler.
spawnSync('cc', ['-O2', '-o', 'dist/gatehouse-extauth-relay', 'dist/relay.c'], { stdio: 'inherit' })

// In a checkout `npx gatehousectl …` finds the programs here, as it would in an installed package.
const bins = {
  gatehouse: 'gatehouse.js',
  gatehousectl: 'gatehousectl.js',
  'gatehouse-extauth': 'gatehouse-extauth',
}
await mkdir('node_modules/.bin', { recursive: true })
for (const [name, file] of Object.entries(bins)) {
  await chmod(`dist/${file}`, 0o755)
  await rm(`node_modules/.bin/${name}`, { force: true })
  await symlink(`../../dist/${file}`, `node_modules/.bin/${name}`)
}
