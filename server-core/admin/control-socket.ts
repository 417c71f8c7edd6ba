/** The control sockets: UNIX sockets, each with its permissions, its group and its list of commands. */
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { ControlListener } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { listenAt, removeStale, unlinkSocket } from '../unix-socket.ts'
import type { AdminServer } from './admin-server.ts'
import type { CommandRegistry } from './command-registry.ts'
import { ControlConnection } from './control-connection.ts'

export interface Control {
  readonly paths: readonly string[]
  /** Waits for the commands that run, up to the deadline; the socket files are gone afterwards. */
  close(ms?: number): Promise<void>
}

const maxConnections = 256
const closeDeadline = 5_000

/** Opens all of them, or none; rejects with UnixSocketError. */
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
    const place = { what: 'control socket', ...listener }
    await removeStale(place)
    const connections = new Set<ControlConnection>()
    const dispatcher = { registry, hooks: admin.hooks, log }
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new ControlConnection(socket, { server: admin, dispatcher, listener })
      connections.add(connection)
      socket.once('close', () => connections.delete(connection))
    })
    server.maxConnections = maxConnections
    server.on('error', (err) => log.error({ err, path: listener.path }, 'control socket'))
    const inode = await listenAt(server, place)
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
    await unlinkSocket(this.path, this.#inode)
    await stopped
    await closed
  }
}
