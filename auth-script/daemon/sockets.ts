/**
 * The sockets that the daemon listens on: its own, made here, or those that systemd hands over (LISTEN_FDS, LISTEN_PID,
 * LISTEN_FDNAMES: see sd_listen_fds(3)), which stay systemd's.
 */
import { createServer, type Server, type Socket } from 'node:net'
import {
  listenAt,
  removeStale,
  setPermissions,
  UnixSocketError,
  type UnixSocketOptions,
  unlinkSocket,
} from '../../server-core/unix-socket.ts'
import type { DaemonPlan } from '../plan.ts'

/** What is spoken on a socket. */
export type Protocol = 'frames' | 'lines'

export interface HandedOver {
  readonly fd: number
  readonly protocol: Protocol
}

export interface Listening {
  readonly protocol: Protocol
  readonly where: string
  /** Nobody can connect any more. */
  close(): Promise<void>
}

const firstDescriptor = 3

/** Empty when nothing was handed over to this process. Throws UnixSocketError for a name that is not known. */
export function handedOver(env: Readonly<Record<string, string | undefined>>, pid: number): HandedOver[] {
  if (env['LISTEN_PID'] !== String(pid)) return []
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':')
  return Array.from({ length: Number(env['LISTEN_FDS']) || 0 }, (_, index) => {
    const name = names[index] ?? ''
    // A socket unit that names nothing gives the unit's own name.
    if (name !== 'lines' && name !== 'frames' && name !== '' && !/\.socket$|^unknown$/.test(name)) {
      throw new UnixSocketError(
        `the socket '${name}' is not known: FileDescriptorName= is 'frames' for the relay or 'lines' for Prosody`,
      )
    }
    return { fd: firstDescriptor + index, protocol: name === 'lines' ? 'lines' : 'frames' }
  })
}

/** What the daemon listens on, which a new configuration may move while connections go on. */
export class Sockets {
  readonly #connected: (socket: Socket, protocol: Protocol) => void
  readonly #failed: (error: Error) => void
  #handed: Listening[] = []
  /** Our own, by path. */
  #own = new Map<string, Listening>()

  /** `failed` is told what single connections fail of; that ends nothing. */
  constructor(connected: (socket: Socket, protocol: Protocol) => void, failed: (error: Error) => void) {
    this.#connected = connected
    this.#failed = failed
  }

  get open(): readonly Listening[] {
    return [...this.#handed, ...this.#own.values()]
  }

  /** Takes over those of systemd, in whose place no others are made; rejects with UnixSocketError. */
  async adopt(handed: readonly HandedOver[]): Promise<void> {
    for (const { fd, protocol } of handed) {
      const server = this.#serverFor(protocol)
      await listenOn(server, fd)
      this.#handed.push({ protocol, where: `descriptor ${fd}`, close: () => closed(server) })
    }
  }

  /**
   * Listens where the plan says, and nowhere else any more. Rejects with UnixSocketError, and everything is as before, when
   * one of its sockets cannot be made.
   */
  async listen(plan: DaemonPlan): Promise<void> {
    if (this.#handed.length > 0) return
    const now = new Map<string, Listening>()
    const made: Listening[] = []
    try {
      for (const [protocol, path] of [
        ['frames', plan.path],
        ['lines', plan.linePath],
      ] as const) {
        if (path === undefined) continue
        const options = { what: 'socket', path, mode: plan.mode, group: plan.group }
        const there = this.#own.get(path)
        if (there !== undefined && there.protocol !== protocol) {
          throw new UnixSocketError(`${path} is the other socket until the daemon is started anew`)
        }
        if (there !== undefined) await setPermissions(options)
        const listening = there ?? (await this.#make(protocol, options))
        if (there === undefined) made.push(listening)
        now.set(path, listening)
      }
    } catch (error) {
      await Promise.all(made.map((one) => one.close()))
      throw error
    }
    const gone = [...this.#own].flatMap(([path, listening]) => (now.has(path) ? [] : [listening]))
    this.#own = now
    await Promise.all(gone.map((one) => one.close()))
  }

  async close(): Promise<void> {
    await Promise.all(this.open.map((one) => one.close()))
  }

  async #make(protocol: Protocol, options: UnixSocketOptions): Promise<Listening> {
    await removeStale(options)
    const server = this.#serverFor(protocol)
    const inode = await listenAt(server, options)
    return {
      protocol,
      where: options.path,
      close: async () => {
        const end = closed(server)
        await unlinkSocket(options.path, inode)
        await end
      },
    }
  }

  #serverFor(protocol: Protocol): Server {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#connected(socket, protocol))
    // Descriptors that run out are reported here, and end nothing.
    server.on('error', this.#failed)
    return server
  }
}

async function listenOn(server: Server, fd: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new UnixSocketError(`descriptor ${fd} is no listening socket: ${error.message}`))
    })
    server.listen({ fd }, resolve)
  })
}

/** Does not wait for the connections. */
function closed(server: Server): Promise<void> {
  server.close()
  return Promise.resolve()
}
