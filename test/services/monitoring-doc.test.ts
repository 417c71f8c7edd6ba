/** docs/monitoring.md says what the server says. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/paths.ts'

const page = readFileSync(join(root, 'docs/monitoring.md'), 'utf8')
const table = /<!-- log lines -->([\s\S]*)<!-- \/log lines -->/.exec(page)?.[1] ?? ''
const lines = [...table.matchAll(/^\| (\w+), `([^`]+)` \|/gm)].map(([, level = '', msg = '']) => ({
  level,
  msg,
}))

const sources = readdirSync(join(root, 'server-core'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(root, 'server-core', name), 'utf8'))

test('the lines are those of the table', () => {
  expect(lines.length).toBeGreaterThan(5)
})

test.each(lines)('$level: $msg', ({ level, msg }) => {
  const call = new RegExp(`\\.${level}\\([^)]*?'${msg}'`)
  expect(sources.some((source) => call.test(source))).toBe(true)
})
