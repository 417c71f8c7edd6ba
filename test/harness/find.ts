/** Where other people's programs are on this machine. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian keeps servers in sbin, which is not on everybody's PATH. */
const searchPath = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin']

/** Where a program is; undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  return searchPath
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

let python: string | false | undefined

/** A Python that has slixmpp: Debian's package belongs to Debian's interpreter, not to the first one on the PATH. */
export function slixmppPython(): string | undefined {
  python ??=
    ['/usr/bin/python3', findProgram('python3')].find(
      (path) => path !== undefined && spawnSync(path, ['-c', 'import slixmpp']).status === 0,
    ) ?? false
  return python === false ? undefined : python
}
