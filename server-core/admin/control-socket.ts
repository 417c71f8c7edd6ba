/** The control sockets: UNIX sockets, each with its permissions, its group and its list of commands. */
import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { maxSocketPath } from '../config/checks.ts'
import { reason } from '../config/load-yaml.ts'
import type { ControlListener } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import type { AdminServer } from './admin-server.ts'
import type { CommandRegistry } from './command-registry.ts'
import { ControlConnection } from './control-connection.ts'

/** A control socket cannot be opened; the message is a sentence for the administrator. */
export class ControlSocketError extends Error {
  override readonly name = 'ControlSocketError'
}

export interface Control {
  readonly paths: readonly string[]
  /** Waits for the commands that run, up to the deadline; the socket files are gone afterwards. */
  close(ms?: number): Promise<void>
}

const maxConnections = 256
const closeDeadline = 5_000

/** Opens all of them, or none. */
export async function startControl(
  server: AdminServer,
  listeners: readonly ControlListener[],
  dataDir: string,
  registry: CommandRegistry,
  log: Logger,
): Promise<Control> {
  const open: ControlSocket[] = []
  try {
    for (const listener of listeners) {
      const path = listener.path ?? join(dataDir, 'gatehouse.sock')
      open.push(await ControlSocket.open(server, { ...listener, path }, registry, log))
    }
  } catch (error) {
    await Promise.all(open.map((socket) => socket.close(0)))
    throw error
  }
  return {
    paths: open.map((socket) => socket.path),
    async close(ms = closeDeadline) {
      await Promise.all(open.map((socket) => socket.close(ms)))
    },
  }
}

class ControlSocket {
  readonly path: string
  readonly #server: Server
  readonly #connections: Set<ControlConnection>
  readonly #inode: number

  static async open(
    admin: AdminServer,
    listener: ControlListener & { readonly path: string },
    registry: CommandRegistry,
    log: Logger,
  ): Promise<ControlSocket> {
    await removeStale(listener.path)
    const connections = new Set<ControlConnection>()
    const dispatcher = { registry, hooks: admin.hooks, log }
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new ControlConnection(socket, { server: admin, dispatcher, listener })
      connections.add(connection)
      socket.once('close', () => connections.delete(connection))
    })
    server.maxConnections = maxConnections
    server.on('error', (err) => log.error({ err, path: listener.path }, 'control socket'))
    const inode = await listenAt(server, listener)
    return new ControlSocket(listener.path, server, connections, inode)
  }

  private constructor(path: string, server: Server, connections: Set<ControlConnection>, inode: number) {
    this.path = path
    this.#server = server
    this.#connections = connections
    this.#inode = inode
  }

  async close(ms: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const stopped = Promise.all([...this.#connections].map((connection) => connection.stop(ms)))
    // Another server may have taken the path over.
    const there = await stat(this.path).catch(() => undefined)
    if (there?.ino === this.#inode) await unlink(this.path).catch(() => undefined)
    await stopped
    await closed
  }
}

/** A socket that nobody answers on was left behind by a crash. */
async function removeStale(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path)
  if (bytes > maxSocketPath) {
    throw new ControlSocketError(
      `the control socket's path ${path} has ${bytes} bytes; a UNIX socket may have ${maxSocketPath}`,
    )
  }
  const there = await stat(path).catch(() => undefined)
  if (!there) return
  if (!there.isSocket())
    throw new ControlSocketError(`${path} is there and is no socket; move it out of the way`)
  if (await somebodyAnswers(path)) {
    throw new ControlSocketError(`a server is running already: somebody answers on ${path}`)
  }
  await unlink(path).catch((error: unknown) => {
    throw new ControlSocketError(`the old control socket ${path} cannot be removed: ${reason(error)}`)
  })
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const finish = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(2_000, () => finish(true)) // connected or full: somebody has it open
    socket.once('connect', () => finish(true))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

/**
 * Listens in a folder of our own that nobody else can enter, sets permissions and group, and only then puts the socket where
 * others find it: nobody can connect before the permissions hold. Returns the socket's inode.
 */
async function listenAt(
  server: Server,
  listener: ControlListener & { readonly path: string },
): Promise<number> {
  const { path, mode, group } = listener
  let folder: string
  try {
    folder = await mkdtemp(join(dirname(path), '.'))
  } catch (error) {
    throw new ControlSocketError(
      `the control socket ${path} cannot be made: ${reason(error)} (${dirname(path)})`,
    )
  }
  try {
    const hidden = join(folder, 's')
    if (Buffer.byteLength(hidden) > maxSocketPath) {
      throw new ControlSocketError(`the control socket's path ${path} is too long`)
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(hidden, () => {
        server.off('error', reject)
        resolve()
      })
    })
    if (group !== undefined) await chown(hidden, -1, await groupId(group))
    await chmod(hidden, mode)
    await rename(hidden, path)
    return (await stat(path)).ino
  } catch (error) {
    server.close()
    if (error instanceof ControlSocketError) throw error
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === 'EPERM' && group !== undefined ? `the server may not give it to group ${group}` : reason(error)
    throw new ControlSocketError(`the control socket ${path} cannot be made: ${why}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Node has no look-up of groups by name. */
async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group)
  const entries = await promisify(execFile)('getent', ['group', group]).then(
    ({ stdout }) => stdout,
    () => readFile('/etc/group', 'utf8').catch(() => ''),
  )
  const entry = entries
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group)
  if (entry?.[2] === undefined)
    throw new ControlSocketError(`there is no group '${group}' for the control socket`)
  return Number(entry[2])
}
