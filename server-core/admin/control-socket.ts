/** The control sockets: UNIX sockets, each with its permissions, its group and its list of commands. */
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ControlListener } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { listenAt, removeStale, setPermissions, unlinkSocket } from '../unix-socket.ts'
import type { AdminServer } from './admin-server.ts'
import type { CommandRegistry } from './command-registry.ts'
import { ControlConnection } from './control-connection.ts'
import { auditLog } from './dispatch.ts'

export interface Control {
  readonly paths: readonly string[]
  /** What differs from these, for people. */
  difference(listeners: readonly ControlListener[]): ControlDifference
  /**
   * Opens and closes sockets, so that there are these. Rejects with UnixSocketError, and nothing is changed, when one
   * cannot be opened. Permissions and groups change at once, lists of commands for those who connect from then on.
   */
  change(listeners: readonly ControlListener[]): Promise<void>
  /** Waits for the commands that run, up to the deadline; the socket files are gone afterwards. */
  close(ms?: number): Promise<void>
}

/** Paths of sockets. */
export interface ControlDifference {
  readonly opened: readonly string[]
  readonly closed: readonly string[]
  readonly changed: readonly string[]
}

const maxConnections = 1_024
const closeDeadline = 5_000

/** Opens all of them, or none; rejects with UnixSocketError. */
export async function startControl(
  server: AdminServer,
  listeners: readonly ControlListener[],
  dataDir: string,
  registry: CommandRegistry,
  log: Logger,
): Promise<Control> {
  let open: readonly ControlSocket[] = []
  const withPath = (listener: ControlListener): PlacedListener => ({
    ...listener,
    path: listener.path ?? join(dataDir, 'gatehouse.sock'),
  })
  const openAll = async (wanted: readonly PlacedListener[]): Promise<ControlSocket[]> => {
    const opened: ControlSocket[] = []
    try {
      for (const listener of wanted) opened.push(await ControlSocket.open(server, listener, registry, log))
      return opened
    } catch (error) {
      await Promise.all(opened.map((socket) => socket.close(0)))
      throw error
    }
  }
  const compare = (wanted: readonly PlacedListener[]) => ({
    fresh: wanted.filter(({ path }) => !open.some((socket) => socket.path === path)),
    gone: open.filter((socket) => !wanted.some(({ path }) => path === socket.path)),
    changed: open.flatMap((socket) => {
      const now = wanted.find(({ path }) => path === socket.path)
      return now && !isDeepStrictEqual(now, socket.listener) ? [{ socket, now }] : []
    }),
  })
  open = await openAll(listeners.map(withPath))
  return {
    get paths() {
      return open.map((socket) => socket.path)
    },
    difference(wanted) {
      const { fresh, gone, changed } = compare(wanted.map(withPath))
      return {
        opened: fresh.map(({ path }) => path),
        closed: gone.map(({ path }) => path),
        changed: changed.map(({ socket }) => socket.path),
      }
    },
    async change(wanted) {
      const { fresh, gone, changed } = compare(wanted.map(withPath))
      const opened = await openAll(fresh)
      try {
        for (const { socket, now } of changed) await socket.change(now)
      } catch (error) {
        await Promise.all(opened.map((socket) => socket.close(0)))
        throw error
      }
      open = [...open.filter((socket) => !gone.includes(socket)), ...opened]
      // Not waited for: the command that wants this may have come through one of them.
      for (const socket of gone) void socket.close(closeDeadline)
    },
    async close(ms = closeDeadline) {
      await Promise.all(open.map((socket) => socket.close(ms)))
    },
  }
}

type PlacedListener = ControlListener & { readonly path: string }

class ControlSocket {
  readonly path: string
  listener: PlacedListener
  readonly #server: Server
  readonly #connections: Set<ControlConnection>
  readonly #inode: number

  static async open(
    admin: AdminServer,
    listener: PlacedListener,
    registry: CommandRegistry,
    log: Logger,
  ): Promise<ControlSocket> {
    const place = { what: 'control socket', ...listener }
    await removeStale(place)
    const connections = new Set<ControlConnection>()
    const dispatcher = { registry, hooks: admin.hooks, log, audit: auditLog(log) }
    let opened: ControlSocket | undefined
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const options = { server: admin, dispatcher, listener: opened?.listener ?? listener }
      const connection = new ControlConnection(socket, options)
      connections.add(connection)
      socket.once('close', () => connections.delete(connection))
    })
    server.maxConnections = maxConnections
    server.on('error', (err) => log.error({ err, path: listener.path }, 'control socket'))
    const inode = await listenAt(server, place)
    opened = new ControlSocket(listener, server, connections, inode)
    return opened
  }

  private constructor(
    listener: PlacedListener,
    server: Server,
    connections: Set<ControlConnection>,
    inode: number,
  ) {
    this.path = listener.path
    this.listener = listener
    this.#server = server
    this.#connections = connections
    this.#inode = inode
  }

  async change(now: PlacedListener): Promise<void> {
    await setPermissions({ what: 'control socket', ...now })
    this.listener = now
  }

  async close(ms: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const stopped = Promise.all([...this.#connections].map((connection) => connection.stop(ms)))
    await unlinkSocket(this.path, this.#inode)
    await stopped
    await closed
  }
}
