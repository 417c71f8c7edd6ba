/** Before any test: the programs are bundled once, since journeys and peers run what users run. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { root } from './paths.ts'

const entries = ['server-core/main.ts', 'ctl/main.ts', 'auth-script/main.ts']

export async function setup(): Promise<void> {
  const missing = entries.filter((entry) => !existsSync(`${root}/${entry}`))
  if (missing.length > 0) {
    process.stderr.write(`not built, there is no ${missing.join(', ')}: tests of the programs will fail\n`)
    return
  }
  await promisify(execFile)(process.execPath, ['build.js'], { cwd: root })
}
