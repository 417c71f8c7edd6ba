import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createLogger, logLevelOf, setLogLevel } from '../server-core/log.ts'
import { temporaryFolder } from './harness/folder.ts'

test('a level that is changed while the program runs holds for every part of it', async () => {
  const folder = temporaryFolder('log')
  const file = folder.file('log')
  const log = await createLogger({ level: 'warning', file, pretty: false })
  const part = log.child({ module: 'mod_x' })
  const grandchild = part.child({ session: 1 })
  grandchild.info('not this')
  setLogLevel(log, 'debug')
  expect(logLevelOf(log)).toBe('debug')
  part.debug('this')
  grandchild.debug('and this')
  setLogLevel(log, 'none')
  part.error('not this either')
  const messages = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { msg: string }).msg)
  expect(messages).toEqual(['this', 'and this'])
  folder.remove()
})
