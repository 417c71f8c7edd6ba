/** Temporary folders that go away with what used them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Folder {
  readonly path: string
  file(name: string): string
  remove(): void
}

/** A new folder; its name stays short, since a socket's path may have 107 bytes. */
export function temporaryFolder(kind: string): Folder {
  const path = mkdtempSync(join(tmpdir(), `gh-${kind}-`))
  return {
    path,
    file: (name) => join(path, name),
    remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}
