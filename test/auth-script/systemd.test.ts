/** The units in docs/examples/systemd are what systemd takes, and harden the service. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { findProgram } from '../harness/find.ts'
import { temporaryFolder } from '../harness/folder.ts'
import { root } from '../harness/paths.ts'
import { run } from '../harness/process.ts'

const analyze = findProgram('systemd-analyze')
const folder = temporaryFolder('units')
afterAll(() => folder.remove())

test.skipIf(analyze === undefined)('the units are without mistakes', async () => {
  const source = `${root}/docs/examples/systemd`
  const units = readdirSync(source).map((name) => {
    // The program is not installed where it is tested.
    const text = readFileSync(`${source}/${name}`, 'utf8').replaceAll(
      '/usr/bin/gatehouse-extauth',
      '/bin/true',
    )
    writeFileSync(folder.file(name), text)
    return folder.file(name)
  })
  expect(units.length).toBeGreaterThan(2)
  expect(await run(analyze as string, ['verify', ...units])).toMatchObject({ code: 0, stderr: '' })
  const service = folder.file('gatehouse-extauth.service')
  const { stdout } = await run(analyze as string, ['security', '--offline=true', '--no-pager', service])
  expect(stdout).toMatch(/Overall exposure level for .*: [01]\.\d OK/)
})
