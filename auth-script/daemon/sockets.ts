/**
 * The sockets that the daemon listens on: its own, made here, or those that systemd hands over (LISTEN_FDS, LISTEN_PID,
 * LISTEN_FDNAMES: see sd_listen_fds(3)), which stay systemd's.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { listenAt, removeStale, UnixSocketError, unlinkSocket } from '../../server-core/unix-socket.ts'
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

/** Opens all of them, or none; rejects with UnixSocketError. */
export async function openSockets(
  handed: readonly HandedOver[],
  plan: DaemonPlan,
  connected: (socket: Socket, protocol: Protocol) => void,
  failed: (error: Error) => void,
): Promise<Listening[]> {
  const open: Listening[] = []
  const serverFor = (protocol: Protocol) => {
    const server = createServer({ allowHalfOpen: true }, (socket) => connected(socket, protocol))
    // Descriptors that run out are reported here, and end nothing.
    server.on('error', failed)
    return server
  }
  try {
    for (const { fd, protocol } of handed) {
      const server = serverFor(protocol)
      await listenOn(server, fd)
      open.push({ protocol, where: `descriptor ${fd}`, close: () => closed(server) })
    }
    if (handed.length > 0) return open
    const own = [
      { protocol: 'frames', path: plan.path },
      { protocol: 'lines', path: plan.linePath },
    ] as const
    for (const { protocol, path } of own) {
      if (path === undefined) continue
      const options = { what: 'socket', path, mode: plan.mode, group: plan.group }
      await removeStale(options)
      const server = serverFor(protocol)
      const inode = await listenAt(server, options)
      open.push({
        protocol,
        where: path,
        close: async () => {
          const end = closed(server)
          await unlinkSocket(path, inode)
          await end
        },
      })
    }
    return open
  } catch (error) {
    await Promise.all(open.map((one) => one.close()))
    throw error
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
