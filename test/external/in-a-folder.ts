/** A server, and a folder of somebody else's modules beside its configuration. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { type Server, startServer } from '../harness/server.ts'

export interface Place {
  readonly server: Server
  readonly folder: Folder
  /** Writes a file, from the folder of the configuration. */
  write(path: string, text: string): void
  /** Puts other options into the configuration. */
  configure(options: Readonly<Record<string, unknown>>): void
  stop(): Promise<void>
}

export async function place(
  files: Readonly<Record<string, string>>,
  config: Readonly<Record<string, unknown>>,
): Promise<Place> {
  const folder = temporaryFolder('others')
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(folder.file(path)), { recursive: true })
    writeFileSync(folder.file(path), text)
  }
  for (const [path, text] of Object.entries(files)) write(path, text)
  const server = await startServer({ folder, config })
  return {
    server,
    folder,
    write,
    configure(options) {
      const before = JSON.parse(readFileSync(server.configFile, 'utf8')) as object
      writeFileSync(server.configFile, JSON.stringify({ ...before, ...options }))
    },
    async stop() {
      await server.stop()
      folder.remove()
    },
  }
}
