/** docs/gatehousectl.1 is made of the commands as they are: `npx vitest run test/contracts/man-page.test.ts -u` makes it anew. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { withLocal } from '../../ctl/help.ts'
import { manPage } from '../../ctl/man-page.ts'
import { describeCommand } from '../../server-core/admin/command-registry.ts'
import { coreFamilies, extraFamilies } from '../../server-core/admin/commands/index.ts'
import { bareServer } from '../harness/admin.ts'
import { root } from '../harness/paths.ts'

const server = bareServer()
const families = [...coreFamilies, ...Object.values(extraFamilies)]
const commands = withLocal(families.flatMap((family) => family(server)).map(describeCommand))
const page = manPage(commands)

test('the page in docs is the one that the commands make', async () => {
  await expect(page).toMatchFileSnapshot(`${root}/docs/gatehousectl.1`)
})

test('it has every command and every option, and nothing that roff would take for its own', () => {
  for (const { name } of commands) expect(page).toContain(`\\fB${name}\\fR`)
  for (const option of ['socket', 'output', 'yes']) expect(page).toContain(`\\-\\-${option}`)
  const known = /^\.(TH|SH|SS|TP|B|BI|I|RI|br)( |$)/
  for (const line of page.split('\n')) {
    if (/^[.']/.test(line)) expect(line).toMatch(known)
    // Every backslash begins an escape that is meant.
    expect(line.replace(/\\(-|e|&|f[BIR])/g, '')).not.toContain('\\')
  }
})

test('npm installs it', () => {
  const { man, files } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    man: string
    files: string[]
  }
  expect(man).toBe('docs/gatehousectl.1')
  expect(files).toContain('docs')
})
