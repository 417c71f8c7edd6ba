/** A whole server in the test's own process: what runs is the source, nothing has to be built. */
import { writeFileSync } from 'node:fs'
import { commandNames } from '../../server-core/admin/commands/index.ts'
import { formatComplaint, loadConfig, withDomain } from '../../server-core/config/load.ts'
import { ExternalModules } from '../../server-core/external/external-modules.ts'
import { type Logger, silentLogger } from '../../server-core/log.ts'
import { modules } from '../../server-core/modules/index.ts'
import { startServer } from '../../server-core/server.ts'
import { services } from '../../server-core/services/index.ts'
import { type CtlOptions, ctl } from './admin.ts'
import { type Folder, temporaryFolder } from './folder.ts'
import type { Result } from './process.ts'

export interface ServerInPlace {
  readonly folder: Folder
  /** Writes another configuration, with the same port for clients, for it to be read again. */
  configure(config: Readonly<Record<string, unknown>>): void
  /** c2s with STARTTLS. */
  readonly port: number
  readonly socket: string
  /** Runs the command line against it, in the server's folder. */
  ctl(words: readonly string[], options?: CtlOptions): Promise<Result>
  stop(): Promise<void>
}

export async function serverInPlace(
  config: Readonly<Record<string, unknown>> = {},
  log: Logger = silentLogger(),
): Promise<ServerInPlace> {
  const folder = temporaryFolder('place')
  const path = folder.file('gatehouse.yml')
  const listener = { port: 0, ip: '127.0.0.1', module: 'c2s', shaper: 'none' }
  const configure = (now: Readonly<Record<string, unknown>>) =>
    writeFileSync(path, JSON.stringify({ hosts: ['localhost'], listen: [listener], ...now }))
  configure(config)
  const load = (file = path) => loadConfig({ path: file, modules, services, commands: commandNames() })
  const loaded = await load()
  if (!loaded.ok) throw new Error(loaded.complaints.map(formatComplaint).join('\n'))
  let running: Awaited<ReturnType<typeof startServer>> | undefined
  const stop = async () => {
    await running?.stop()
    running = undefined
  }
  running = await startServer({
    config: loaded.config,
    version: '0.0.0',
    pid: 1,
    memoryUsage: () => process.memoryUsage(),
    log,
    logDestination: 'nowhere',
    external: new ExternalModules([]),
    withDomain: (now, host, own) =>
      withDomain(now, host, own, { modules, services, commands: commandNames() }),
    load,
    onStopRequest: () => void stop(),
    onRestartRequest: () => undefined,
  })
  const socket = running.controlPaths[0] ?? ''
  return {
    folder,
    configure,
    port: running.listeners[0]?.port ?? 0,
    socket,
    ctl: (words, options) => ctl(['--socket', socket, ...words], { cwd: folder.path, ...options }),
    async stop() {
      await stop()
      folder.remove()
    },
  }
}
